import { defineDriver } from 'tsd-engine/sdk'
import { BridgeNetworks } from './driver.js'
import { SpawnerHelper } from './helper.js'

export default defineDriver({
  kind: 'network',
  name: 'bridge',
  async create(ctx) {
    const driver = new BridgeNetworks(ctx, new SpawnerHelper(ctx.spawner))
    await driver.init()
    return driver
  },
})

import { defineDriver } from 'tsd-engine/sdk'
import { LocalVolumes } from './driver.js'

export default defineDriver({
  kind: 'volume',
  name: 'local',
  async create(ctx) {
    const driver = new LocalVolumes(ctx)
    await driver.sweep()
    return driver
  },
})

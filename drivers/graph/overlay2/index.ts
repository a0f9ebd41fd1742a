import { defineDriver } from 'tsd-engine/sdk'
import { Overlay2 } from './driver.js'
import { probe } from './probe.js'

export default defineDriver({
  kind: 'graph',
  name: 'overlay2',
  probe,
  async create(ctx) {
    const driver = new Overlay2(ctx)
    await driver.init()
    return driver
  },
})

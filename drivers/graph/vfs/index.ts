import { defineDriver } from 'tsd-engine/sdk'
import { Vfs } from './driver.js'

export default defineDriver({
  kind: 'graph',
  name: 'vfs',
  async create(ctx) {
    const driver = new Vfs(ctx)
    await driver.init()
    return driver
  },
})

import { testGraphDriver } from 'tsd-engine/sdk/testing'
import { graphSubject } from '../../../test/fixtures/graph.js'
import { rootTest } from '../../../test/fixtures/root.js'
import { Vfs } from './driver.js'

testGraphDriver(
  (name, run) => rootTest(name, async (t) => void (await t.notThrowsAsync(run))),
  graphSubject(async (ctx) => {
    const driver = new Vfs(ctx)
    await driver.init()
    return driver
  }),
)

import path from 'node:path'
import { EngineCopy } from '../fixtures/engine-copy.js'
import { imageTests } from '../fixtures/images.js'
import { lifecycleTests } from '../fixtures/lifecycle.js'
import { daemonSuite } from '../fixtures/suite.js'
import { volumeTests } from '../fixtures/volumes.js'

// The bundled drivers have no power that a third party's has not: outside of the tree they do the same.
const daemonTest = daemonSuite({
  title: 'local and vfs in a configured folder outside the tree',
  prepare: (dir) => {
    const engine = EngineCopy.make(path.join(dir, 'engine'))
    const folder = path.join(dir, 'elsewhere')
    engine.moveOut('drivers/volume/local', folder)
    engine.moveOut('drivers/graph/vfs', folder)
    return { packageRoot: engine.root, config: { 'plugin-folders': [folder], 'storage-driver': 'vfs' } }
  },
})

daemonTest('they are the ones in use', async (t, d) => {
  const drivers = (await d.api('GET', '/tsd/v1/drivers')).json<
    { kind: string; name: string; source: string; state: string; selected: boolean }[]
  >()
  for (const [kind, name] of [
    ['volume', 'local'],
    ['graph', 'vfs'],
  ]) {
    const driver = drivers.find((one) => one.kind === kind && one.name === name)
    t.regex(driver?.source ?? '', /\/elsewhere\//)
    t.is(driver?.state, 'active')
    t.true(driver?.selected)
  }
  t.is(await d.ok('info', '-f', '{{.Driver}}'), 'vfs')
})

imageTests(daemonTest, 'vfs')
lifecycleTests(daemonTest)
volumeTests(daemonTest)

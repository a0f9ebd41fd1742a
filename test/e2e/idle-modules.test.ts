import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { run, TestDaemon } from '../fixtures/daemon.js'
import { missing } from '../fixtures/root.js'

const lacking = missing('root', 'ip')
const idleTest = lacking === undefined ? test : (name: string, _run: unknown) => test.skip(`${name} [needs ${lacking}]`, () => undefined)
const judge = path.resolve(import.meta.dirname, '../../../scripts/check-eager.mjs')

idleTest('an idle daemon has loaded nothing that it does not need', async (t: import('ava').ExecutionContext) => {
  const daemon = await TestDaemon.start()
  try {
    const report = path.join(daemon.dir, 'loaded')
    await daemon.signal('SIGTERM')
    daemon.options.env = { NODE_V8_COVERAGE: report }
    await daemon.boot()
    await sleep(300)
    await daemon.signal('SIGTERM')
    const { code, stdout, stderr } = await run(process.execPath, [judge, report])
    t.is(code, 0, stdout + stderr)
  } finally {
    await daemon.destroy()
  }
})

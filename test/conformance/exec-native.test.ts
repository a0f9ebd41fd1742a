import { NativeExec } from '../../drivers/exec/native/driver.js'
import { testExecDriver } from '../../core/sdk/testing/exec.js'
import { execSubject } from '../fixtures/exec.js'
import { needs } from '../fixtures/root.js'

const register = needs('root', 'overlay', 'busybox')

testExecDriver(
  (name, run) =>
    register(`native: ${name}`, async (t) => {
      await run()
      t.pass()
    }),
  () => execSubject((machine) => new NativeExec(machine.context('native')), false),
)

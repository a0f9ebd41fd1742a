import { OciExec } from '../../drivers/exec/oci/driver.js'
import { testExecDriver } from '../../core/sdk/testing/exec.js'
import { execSubject } from '../fixtures/exec.js'
import { needs, onPath } from '../fixtures/root.js'

const register = needs('root', 'overlay', 'busybox', 'runc')

testExecDriver(
  (name, run) =>
    register(`runc: ${name}`, async (t) => {
      await run()
      t.pass()
    }),
  () => execSubject((machine) => new OciExec(machine.context('runc'), { path: onPath('runc') ?? '', args: [] }), true),
)

import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { needs } from '../../fixtures/root.js'

// One program in namespaces of its own, so that port 53 of the loopback is nobody's.
needs('root', 'ip')('a server on the loopback of the host is asked from the host, one of the user from the sandbox', async (t) => {
  t.timeout(60_000)
  const program = path.join(import.meta.dirname, 'names.program.js')
  const { stdout } = await promisify(execFile)('unshare', ['--net', '--mount', process.execPath, program])
  t.is(stdout.trim(), '{"ok":true}')
})

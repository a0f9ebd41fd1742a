import { spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { needs } from '../../fixtures/root.js'

interface Line {
  name?: string
  ok?: boolean
  error?: string
  figure?: string
}

// One program in namespaces of its own, so that nothing of the host's network is touched.
needs(
  'root',
  'ip',
  'nft',
  'nc',
  'busybox',
)('bridge driver in a network of its own', async (t) => {
  t.timeout(110_000)
  const program = path.join(path.dirname(new URL(import.meta.url).pathname), 'bridge.program.js')
  // npm puts another program called nft in front.
  const env = { ...process.env, PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' }
  const child = spawn('unshare', ['--net', '--mount', process.execPath, program], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const failures: string[] = []
  let count = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const { name, ok, error, figure } = JSON.parse(line) as Line
    if (figure) t.log(figure)
    if (!name) continue
    count++
    if (ok) t.log(`ok ${name}`)
    else failures.push(`${name}: ${error}`)
  }
  t.deepEqual(failures, [])
  t.true(count > 10)
})

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TestDaemon } from '../fixtures/daemon.js'
import { needs, tempDir } from '../fixtures/root.js'

needs(
  'root',
  'busybox',
  'docker',
  'ip',
)('a log on a full disk ends in a whole line, the container goes on, and inspect counts what was lost', async (t) => {
  t.timeout(60_000)
  const small = path.join(tempDir(t, 'full'), 'disk')
  fs.mkdirSync(small)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=90m', 'full', small])
  const d = await TestDaemon.start({ config: { 'data-root': path.join(small, 'data') } })
  interface Seen {
    LogPath: string
    LogBytesDropped?: number
  }
  const seen = async (): Promise<Seen> => (await d.api('GET', '/containers/full/json')).json<Seen>()
  try {
    await d.loadBusybox()
    const script = 'yes a line of the log that is somewhat longer than most | head -n 1500000; echo done >&2; read x; exit 6'
    await d.ok('run', '-d', '-i', '--name', 'full', 'busybox', 'sh', '-c', script)
    for (let i = 0; i < 300 && ((await seen()).LogBytesDropped ?? 0) === 0; i += 1) await sleep(100)
    t.true(((await seen()).LogBytesDropped ?? 0) > 0, 'counted while it runs')
    await d.dockerInput('go\n', 'attach', 'full')
    t.is(await d.ok('wait', 'full'), '6')
    const { LogPath, LogBytesDropped = 0 } = await seen()
    t.true(LogBytesDropped > 1 << 20)
    const log = fs.readFileSync(LogPath, 'utf8')
    t.true(log.endsWith('"}\n'))
    for (const line of log.slice(-4000).split('\n').slice(1, -1)) t.regex((JSON.parse(line) as { stream: string }).stream, /^std(out|err)$/)
  } finally {
    await d.destroy()
    execFileSync('umount', ['-l', small])
  }
})

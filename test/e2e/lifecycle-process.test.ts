import fs from 'node:fs'
import path from 'node:path'
import { EngineCopy, isolate } from '../fixtures/engine-copy.js'
import type { TestDaemon } from '../fixtures/daemon.js'
import { lifecycleTests } from '../fixtures/lifecycle.js'
import { daemonSuite } from '../fixtures/suite.js'
import { volumeTests } from '../fixtures/volumes.js'

const daemonTest = daemonSuite({
  title: 'the volume driver in a process of its own',
  prepare: (dir) => {
    const engine = EngineCopy.make(path.join(dir, 'engine'))
    const folder = path.join(dir, 'elsewhere')
    isolate(engine.moveOut('drivers/volume/local', folder))
    return { packageRoot: engine.root, config: { 'plugin-folders': [folder] } }
  },
})

const processOf = async (d: TestDaemon): Promise<{ Host: string; Pid: number; Restarts: number }> => {
  const { Drivers: drivers } = (await d.api('GET', '/tsd/v1/drivers/volume/local')).json<{
    Drivers: { Host: string; Pid: number; Restarts: number }[]
  }>()
  return drivers[0] as { Host: string; Pid: number; Restarts: number }
}

/** Nobody may have reaped it yet. */
const lives = (pid: number): boolean => {
  const stat = fs.existsSync(`/proc/${pid}/stat`) ? fs.readFileSync(`/proc/${pid}/stat`, 'utf8') : ''
  return stat !== '' && stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z'
}

daemonTest('kill -9 of its process is not noticed by those who use it', async (t, d) => {
  const before = await processOf(d)
  t.is(before.Host, 'process')
  await d.ok('run', '-d', '--name', 'user', '-v', 'vol:/data', 'busybox', 'sh', '-c', 'while true; do date >> /data/log; sleep 0.05; done')
  process.kill(before.Pid, 'SIGKILL')
  await d.ok('exec', 'user', 'sh', '-c', 'echo still here > /data/file')
  t.is(await d.ok('run', '--rm', '-v', 'vol:/data', 'busybox', 'cat', '/data/file'), 'still here')
  const after = await processOf(d)
  t.not(after.Pid, before.Pid)
  t.is(after.Restarts, before.Restarts + 1)
  // And in the middle of calls.
  const runs = Array.from({ length: 6 }, (_, i) =>
    d.docker('run', '--rm', '-v', `v${i}:/data`, 'busybox', 'sh', '-c', `echo ${i} > /data/x; cat /data/x`),
  )
  process.kill(after.Pid, 'SIGKILL')
  t.deepEqual(
    (await Promise.all(runs)).map(({ code, stdout, stderr }) => [code, stdout, stderr]),
    runs.map((_, i) => [0, `${i}\n`, '']),
  )
  await d.ok('rm', '-f', 'user')
  await d.ok('volume', 'rm', 'vol', ...runs.map((_, i) => `v${i}`))
})

daemonTest('its process ends with the daemon, killed or not, and the next daemon has its volumes', async (t, d) => {
  await d.ok('run', '--rm', '-v', 'over:/data', 'busybox', 'sh', '-c', 'echo kept > /data/file')
  const { Pid: pid } = await processOf(d)
  await d.killAndRestart()
  t.false(lives(pid))
  t.is(await d.ok('run', '--rm', '-v', 'over:/data', 'busybox', 'cat', '/data/file'), 'kept')
  const second = await processOf(d)
  await d.signal('SIGTERM')
  t.false(lives(second.Pid))
  await d.boot()
  await d.ok('volume', 'rm', 'over')
})

lifecycleTests(daemonTest)
volumeTests(daemonTest)

import { setTimeout as sleep } from 'node:timers/promises'
import type { TestDaemon } from '../fixtures/daemon.js'
import { busyboxImage } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

interface Health {
  Status: string
  FailingStreak: number
  Log: { Start: string; End: string; ExitCode: number; Output: string }[]
}

const health = async (d: TestDaemon, name: string): Promise<Health> =>
  JSON.parse(await d.ok('inspect', '-f', '{{json .State.Health}}', name)) as Health

/** At most ten seconds. */
async function until(d: TestDaemon, name: string, right: (health: Health) => boolean): Promise<Health> {
  for (let tries = 0; tries < 200; tries++) {
    const now = await health(d, name)
    if (right(now)) return now
    await sleep(50)
  }
  throw new Error(`the health of ${name} is ${JSON.stringify(await health(d, name))}`)
}

const fast = ['--health-interval', '100ms', '--health-retries', '2', '--health-timeout', '5s']

daemonTest(
  'field ContainerConfig.Healthcheck: a probe runs in the container and decides its health, with events, filters and a log of five',
  async (t, d) => {
    const since = String(Math.floor(Date.now() / 1000) - 1)
    await d.ok(
      'run',
      '-d',
      '--name',
      'probed',
      ...fast,
      '--health-cmd',
      'cat /ok',
      'busybox',
      'sh',
      '-c',
      'echo fine > /ok; exec sleep 1000',
    )
    await d.ok('run', '-d', '--name', 'unprobed', 'busybox', 'sleep', '1000')
    const healthy = await until(d, 'probed', ({ Status }) => Status === 'healthy')
    t.is(healthy.FailingStreak, 0)
    t.is(healthy.Log.at(-1)?.Output, 'fine\n')
    t.true(Date.parse(healthy.Log.at(-1)?.End ?? '') >= Date.parse(healthy.Log.at(-1)?.Start ?? 'x'))
    t.regex(await d.ok('ps', '--filter', 'name=^probed$', '--format', '{{.Status}}'), /^Up .* \(healthy\)$/)
    t.is(await d.ok('ps', '--filter', 'health=healthy', '--format', '{{.Names}}'), 'probed')
    t.is(await d.ok('ps', '--filter', 'health=none', '--format', '{{.Names}}'), 'unprobed')
    t.is(await d.ok('inspect', '-f', '{{json .State.Health}}', 'unprobed'), 'null')
    await d.ok('exec', 'probed', 'rm', '/ok')
    const unhealthy = await until(d, 'probed', ({ Status, Log }) => Status === 'unhealthy' && Log.every(({ ExitCode }) => ExitCode === 1))
    t.is(unhealthy.Log.length, 5)
    t.true(unhealthy.FailingStreak >= 2)
    t.regex(unhealthy.Log.at(-1)?.Output ?? '', /can't open '\/ok'/)
    t.is(await d.ok('ps', '--filter', 'health=unhealthy', '--format', '{{.Names}}'), 'probed')
    await d.ok('exec', 'probed', 'touch', '/ok')
    await until(d, 'probed', ({ Status }) => Status === 'healthy')
    const events = await d.ok(
      ...['events', '--since', since, '--until', String(Math.floor(Date.now() / 1000) + 1)],
      '--filter',
      'event=health_status',
      '--format',
      '{{.Action}}',
    )
    t.deepEqual(events.split('\n'), ['health_status: healthy', 'health_status: unhealthy', 'health_status: healthy'])
  },
)

daemonTest('a probe that takes too long is killed and counts as failed', async (t, d) => {
  await d.ok(
    'run',
    '-d',
    '--name',
    'slow',
    '--health-interval',
    '100ms',
    '--health-timeout',
    '300ms',
    '--health-retries',
    '1',
    '--health-cmd',
    'echo begun; exec sleep 777',
    'busybox',
    'sleep',
    '1000',
  )
  const { Log } = await until(d, 'slow', ({ Status }) => Status === 'unhealthy')
  t.is(Log[0]?.ExitCode, -1)
  t.regex(Log[0]?.Output ?? '', /^Health check exceeded timeout \(0\.3s\): begun/)
  await d.ok('pause', 'slow')
  const paused = await health(d, 'slow')
  await d.ok('unpause', 'slow')
  t.is(paused.Status, 'unhealthy')
  const left = (await d.ok('top', 'slow', '-eo', 'pid,args')).split('\n').filter((line) => line.includes('sleep 777'))
  t.true(left.length <= 1, left.join())
})

daemonTest('failures in the start period do not count, and the start interval is used in it', async (t, d) => {
  const period = ['--health-start-period', '3s', '--health-start-interval', '100ms', '--health-interval', '1h', '--health-retries', '1']
  await d.ok('run', '-d', '--name', 'starting', ...period, '--health-cmd', 'test -f /ok', 'busybox', 'sleep', '1000')
  const early = await until(d, 'starting', ({ Log }) => Log.length >= 3)
  t.is(early.Status, 'starting')
  t.is(early.FailingStreak, 0)
  t.regex(await d.ok('ps', '--filter', 'name=^starting$', '--format', '{{.Status}}'), /\(health: starting\)$/)
  await d.ok('exec', 'starting', 'touch', '/ok')
  await until(d, 'starting', ({ Status }) => Status === 'healthy')
})

daemonTest('the image’s HEALTHCHECK is run, changed by flags and switched off by NONE', async (t, d) => {
  const Healthcheck = { Test: ['CMD', 'test', '-f', '/etc/passwd'], Interval: 1e8, Retries: 7 }
  await d.api(
    'POST',
    '/images/load',
    await busyboxImage({ tag: 'probing:1', files: [{ name: 'x', content: '' }], config: { Healthcheck } }),
  )
  await d.ok('run', '-d', '--name', 'inherited', 'probing:1', 'sleep', '1000')
  await until(d, 'inherited', ({ Status }) => Status === 'healthy')
  await d.ok('create', '--name', 'changed', '--health-retries', '9', 'probing:1', 'true')
  const changed = JSON.parse(await d.ok('inspect', '-f', '{{json .Config.Healthcheck}}', 'changed')) as typeof Healthcheck
  t.deepEqual([changed.Test, changed.Interval, changed.Retries], [Healthcheck.Test, Healthcheck.Interval, 9])
  await d.ok('run', '-d', '--name', 'off', '--no-healthcheck', 'probing:1', 'sleep', '1000')
  t.is(await d.ok('inspect', '-f', '{{json .State.Health}}', 'off'), 'null')
  await d.ok('commit', 'inherited', 'probing:2')
  t.regex(await d.ok('image', 'inspect', '-f', '{{json .Config.Healthcheck}}', 'probing:2'), /"CMD","test"/)
  for (const [body, pattern] of [
    [{ Test: ['CMD', 'x'], Interval: 5 }, /Interval in Healthcheck cannot be less than 1ms/],
    [{ Test: ['CMD', 'x'], Retries: -1 }, /Retries in Healthcheck cannot be negative/],
    [{ Test: ['WHAT', 'x'] }, /Unknown healthcheck type/],
    [{ Test: ['CMD'] }, /has nothing after CMD/],
  ] as const) {
    const answer = await d.api('POST', '/containers/create', { Image: 'busybox', Healthcheck: body })
    t.is(answer.status, 400)
    t.regex(answer.body.toString(), pattern)
  }
  await d.ok('rm', '-f', 'inherited', 'changed', 'off')
  await d.ok('rmi', 'probing:1', 'probing:2')
})

daemonTest('a killed daemon’s successor goes on probing where it was; a stop ends it', async (t, d) => {
  await d.ok('run', '-d', '--name', 'kept', ...fast, '--health-cmd', 'test ! -f /bad', 'busybox', 'sleep', '1000')
  await until(d, 'kept', ({ Status, Log }) => Status === 'healthy' && Log.length === 5)
  await d.killAndRestart()
  const after = await health(d, 'kept')
  t.is(after.Status, 'healthy')
  const seen = after.Log.at(-1)?.End
  await until(d, 'kept', ({ Log }) => Log.at(-1)?.End !== seen)
  await d.ok('exec', 'kept', 'touch', '/bad')
  await until(d, 'kept', ({ Status }) => Status === 'unhealthy')
  await d.ok('stop', '-t', '0', 'kept')
  const stopped = await health(d, 'kept')
  t.is(stopped.Status, 'unhealthy')
  await sleep(400)
  t.deepEqual((await health(d, 'kept')).Log, stopped.Log)
  await d.ok('start', 'kept')
  t.true(['starting', 'unhealthy'].includes((await health(d, 'kept')).Status))
  await until(d, 'kept', ({ Log }) => Log.length > 0 && Log.length < 5)
})

daemonTest('a probe that cannot be run says why', async (t, d) => {
  await d.api('POST', '/containers/create?name=broken', {
    Image: 'busybox',
    Cmd: ['sleep', '1000'],
    Healthcheck: { Test: ['CMD', '/no/such/probe'], Interval: 1e8, Retries: 1 },
  })
  await d.ok('start', 'broken')
  const { Log } = await until(d, 'broken', ({ Status }) => Status === 'unhealthy')
  t.is(Log[0]?.ExitCode, -1)
  t.regex(Log[0]?.Output ?? '', /no such file or directory/)
})

daemonTest('--gpus is refused by name; host namespaces and --privileged are not', async (t, d) => {
  const gpus = await d.docker('run', '--gpus', 'all', 'busybox', 'true')
  t.is(gpus.code, 125)
  t.regex(gpus.stderr, /DeviceRequests is not supported: --gpus/)
  const all = ['--pid', 'host', '--ipc', 'host', '--uts', 'host', '--userns', 'host', '--privileged']
  t.is(
    await d.ok('run', '--rm', ...all, 'busybox', 'sh', '-c', 'hostname; readlink /proc/self/ns/pid'),
    `${(await d.host('hostname')).stdout.trim()}\n${(await d.host('readlink', '/proc/self/ns/pid')).stdout.trim()}`,
  )
})

import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { TestDaemon } from '../fixtures/daemon.js'
import { missing, mountsBelow, tarOf } from '../fixtures/root.js'
import { actualWorld, expectedWorld, foreign } from '../fixtures/world.js'

const lacking = missing('root', 'busybox', 'docker', 'ip', 'nft')
const killTest = (name: string, body: (t: ExecutionContext) => Promise<void>): void => {
  if (lacking !== undefined) test.skip(`${name} [needs ${lacking}]`, body)
  else test.serial(name, body)
}

async function settledWorld(t: ExecutionContext, d: TestDaemon, baseLayers: string[]): Promise<void> {
  // Links die with their namespaces some milliseconds later, removed layers are deleted in the background.
  let actual = await actualWorld(d)
  let expected = await expectedWorld(d, baseLayers)
  for (let attempt = 0; attempt < 60 && JSON.stringify(actual) !== JSON.stringify(expected); attempt += 1) {
    await sleep(50)
    actual = await actualWorld(d)
    expected = await expectedWorld(d, baseLayers)
  }
  t.deepEqual(actual, expected)
}

async function withDaemon(t: ExecutionContext, body: (d: TestDaemon, baseLayers: string[]) => Promise<void>): Promise<void> {
  t.timeout(240_000)
  const d = await TestDaemon.start()
  try {
    await d.loadBusybox()
    const { layers } = await actualWorld(d)
    await body(d, layers)
  } catch (error) {
    t.log(d.log.slice(-4000))
    throw error
  } finally {
    await d.destroy()
  }
}

/** Small and fast; the seed alone decides the series. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % below
  }
}

/**
 * Addresses and ports have no fact of their own: that of their endpoint stands for them; for a network its record does. Mounts and namespaces
 * on the host are made for runc only.
 */
const ledgerKinds = {
  intend: [
    'shim',
    'exec',
    'snapshot',
    'endpoint',
    'address',
    'port',
    'name-server',
    'volume-mount',
    'exec-shim',
    'mount',
    'netns',
    'network',
    'parked-shim',
    'frozen',
  ],
  fact: ['shim', 'exec', 'snapshot', 'endpoint', 'name-server', 'volume-mount', 'exec-shim', 'mount', 'netns'],
} as const

/** Intents in the ledger since the daemon has started. */
function intents(d: TestDaemon): { kind: string; key: string }[] {
  const lines = fs.readFileSync(path.join(d.execRoot, 'ledger'), 'utf8').split('\n')
  return lines
    .filter((line) => line.startsWith('{"t":"i"'))
    .flatMap((line) => (JSON.parse(line) as { r: { kind: string; key: string }[] }).r)
}

killTest('containers, their output and published ports outlive kill -9 of the daemon, and are adopted', async (t) => {
  await withDaemon(t, async (d, base) => {
    await d.ok(
      'run',
      '-d',
      '--name',
      'web',
      '-p',
      '127.0.0.1:8123:80',
      'busybox',
      'sh',
      '-c',
      'while true; do echo pong | nc -l -p 80; done',
    )
    await d.ok('run', '-d', '--name', 'ticker', 'busybox', 'sh', '-c', 'i=0; while true; do echo tick$i; i=$((i+1)); sleep 0.05; done')
    await d.ok('run', '-d', '--name', 'ends', 'busybox', 'sh', '-c', 'sleep 0.5; exit 5')
    await d.ok('run', '-d', '--name', 'gone', '--rm', 'busybox', 'sleep', '0.5')
    await d.ok('run', '-d', '--name', 'again', '--restart', 'on-failure', 'busybox', 'sh', '-c', 'sleep 0.5; exit 1')
    const pid = await d.ok('inspect', '-f', '{{.State.Pid}}', 'ticker')
    await d.signal('SIGKILL')
    const answer = await d.host(
      'sh',
      '-c',
      'for i in 1 2 3 4 5 6 7 8 9 10; do timeout 2 nc 127.0.0.1 8123 </dev/null && exit 0; sleep 0.1; done; exit 1',
    )
    t.is(answer.stdout, 'pong\n')
    await sleep(800)
    await d.boot()
    t.is(await d.ok('inspect', '-f', '{{.State.Status}} {{.State.Pid}}', 'ticker'), `running ${pid}`)
    t.is(await d.ok('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'ends'), 'exited 5')
    t.is((await d.docker('inspect', 'gone')).code, 1)
    const ticks = (await d.ok('logs', 'ticker')).split('\n')
    t.deepEqual(
      ticks,
      ticks.map((_, i) => `tick${i}`),
    )
    t.true(ticks.length > 10)
    t.is(await d.ok('exec', 'ticker', 'echo', 'in'), 'in')
    for (let i = 0; i < 60 && Number(await d.ok('inspect', '-f', '{{.RestartCount}}', 'again')) === 0; i += 1) await sleep(50)
    t.true(Number(await d.ok('inspect', '-f', '{{.RestartCount}}', 'again')) >= 1)
    await d.ok('rm', '-f', 'again')
    await d.ok('stop', '-t', '0', 'web')
    await settledWorld(t, d, base)
    await d.ok('rm', '-f', 'web', 'ticker', 'ends')
    await settledWorld(t, d, base)
  })
})

killTest('200 mixed operations under random kills leave exactly what the API says exists', async (t) => {
  const seed = Number(process.env['TSD_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.log(`replay with TSD_TEST_SEED=${seed}`)
  const random = randomFrom(seed)
  await withDaemon(t, async (d, base) => {
    t.is((await d.host('ip', 'link', 'add', foreign.link, 'type', 'veth', 'peer', 'name', foreign.peer)).code, 0)
    const hierarchy = fs.existsSync('/sys/fs/cgroup/memory') ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup'
    const plantedCgroup = path.join(hierarchy, d.cgroupParent, foreign.cgroup)
    fs.mkdirSync(plantedCgroup, { recursive: true })
    const plantedMount = path.join(d.execRoot, foreign.mount)
    fs.mkdirSync(plantedMount, { recursive: true })
    t.is((await d.host('mount', '-t', 'tmpfs', 'tsd', plantedMount)).code, 0)
    const names = ['aa', 'bb', 'cc', 'dd', 'ee', 'ff']
    const pick = (): string => names[random(names.length)] ?? 'aa'
    const archive = await tarOf([{ name: 'sent', content: 'x'.repeat(100_000) }])
    const operations: (() => Promise<unknown>)[] = [
      () => d.api('POST', `/containers/create?name=${pick()}`, { Image: 'busybox', Cmd: ['sleep', '1000'] }),
      () =>
        d.api('POST', `/containers/create?name=${pick()}`, {
          Image: 'busybox',
          Cmd: ['sleep', '1000'],
          HostConfig: { Binds: [`v${random(3)}:/data`], PortBindings: { '80/tcp': [{ HostPort: String(9000 + random(20)) }] } },
        }),
      () => d.api('POST', `/containers/${pick()}/start`),
      () => d.api('POST', `/containers/${pick()}/start`),
      () => d.api('POST', `/containers/${pick()}/stop?t=0`),
      () => d.api('POST', `/containers/${pick()}/restart?t=0`),
      () => d.api('DELETE', `/containers/${pick()}?force=1&v=1`),
      async () => {
        const created = await d.api('POST', `/containers/${pick()}/exec`, { Cmd: ['true'] })
        if (created.status === 201) await d.api('POST', `/exec/${created.json<{ Id: string }>().Id}/start`, { Detach: true })
      },
      () => d.api('GET', `/containers/${pick()}/archive?path=/etc`),
      () => d.api('PUT', `/containers/${pick()}/archive?path=/tmp`, archive),
      () => d.api('POST', `/commit?container=${pick()}&repo=made&changes=LABEL+made=1`),
      () => d.api('POST', '/volumes/create', { Name: `v${random(3)}` }),
      () => d.api('DELETE', `/volumes/v${random(3)}`),
      () => d.api('POST', '/networks/create', { Name: `n${random(3)}`, EnableIPv6: random(2) === 0 }),
      () =>
        d.api('POST', `/containers/create?name=${pick()}`, {
          Image: 'busybox',
          Cmd: ['sleep', '1000'],
          HostConfig: { NetworkMode: `n${random(3)}`, PortBindings: { '80/tcp': [{ HostPort: String(9000 + random(20)) }] } },
        }),
      () => d.api('POST', `/networks/n${random(3)}/connect`, { Container: pick() }),
      () =>
        d.api('POST', `/networks/${random(2) === 0 ? 'bridge' : `n${random(3)}`}/disconnect`, {
          Container: pick(),
          Force: random(2) === 0,
        }),
      () => d.api('DELETE', `/networks/n${random(3)}`),
    ]
    let kills = 0
    let lastKill = 0
    const kinds = new Set<string>()
    for (let done = 0; done < 200;) {
      const batch = Array.from({ length: 1 + random(5) }, async () => {
        await operations[random(operations.length)]?.().catch(() => undefined)
      })
      done += batch.length
      if (random(5) === 0 || done - lastKill > 25) {
        await sleep(random(40))
        await d.signal('SIGKILL')
        await Promise.all(batch)
        for (const { kind } of intents(d)) kinds.add(kind)
        await d.boot()
        kills += 1
        lastKill = done
      } else await Promise.all(batch)
    }
    t.log(`${kills} kills`)
    t.true(kills > 5)
    t.deepEqual(
      [...kinds].filter((kind) => !(ledgerKinds.intend as readonly string[]).includes(kind)),
      [],
      'kinds that have no test of their own',
    )
    await d.killAndRestart()
    const made = encodeURIComponent(JSON.stringify({ dangling: ['false'], label: ['made=1'] }))
    t.is((await d.api('POST', `/images/prune?filters=${made}`)).status, 200)
    await settledWorld(t, d, base)
    t.is((await d.host('ip', 'link', 'show', foreign.link)).code, 0)
    t.true(fs.existsSync(plantedCgroup))
    t.deepEqual(mountsBelow(plantedMount), [plantedMount])
    for (const name of names) await d.api('DELETE', `/containers/${name}?force=1&v=1`)
    await settledWorld(t, d, base)
  })
})

for (const step of ['intend', 'fact'] as const) {
  for (const kind of ledgerKinds[step]) {
    killTest(
      `killed right after the ledger's ${step} of a ${kind}, the next daemon leaves no trace of what was not acknowledged`,
      async (t) => {
        await withDaemon(t, async (d, base) => {
          const runtime = kind === 'mount' || kind === 'netns' ? 'runc' : ''
          // Names are found on networks of users alone.
          const mode = kind === 'name-server' ? 'named' : 'bridge'
          await d.api('POST', '/networks/create', { Name: 'named', EnableIPv6: true })
          const body = {
            Image: 'busybox',
            Cmd: ['sleep', '1000'],
            HostConfig: {
              NetworkMode: mode,
              Binds: ['vol:/data'],
              PortBindings: { '80/tcp': [{ HostPort: '9100' }] },
              Runtime: runtime,
            },
          }
          await d.api('POST', '/containers/create?name=xx', body)
          await d.api('POST', '/containers/create?name=other', { Image: 'busybox', Cmd: ['sleep', '1000'] })
          await d.api('POST', '/containers/other/start')
          await d.signal('SIGKILL')
          const hook = new URL('../fixtures/kill-at-ledger.js', import.meta.url).pathname
          const options = d.options as { env?: Record<string, string> }
          options.env = { NODE_OPTIONS: `--import=${hook}`, TSD_TEST_KILL_AT: `${step}:${kind}` }
          await d.boot()
          const execute = async (): Promise<unknown> => {
            const created = await d.api('POST', '/containers/other/exec', { Cmd: ['sleep', '0.2'] })
            return d.api('POST', `/exec/${created.json<{ Id: string }>().Id}/start`, { Detach: true })
          }
          const start = (): Promise<unknown> => d.api('POST', '/containers/xx/start')
          const network = (): Promise<unknown> => d.api('POST', '/networks/create', { Name: 'nn' })
          const look = (): Promise<unknown> => d.api('HEAD', '/containers/xx/archive?path=/etc')
          const commit = (): Promise<unknown> => d.api('POST', '/commit?container=other&repo=made')
          const calls: Partial<Record<typeof kind, () => Promise<unknown>>> = {
            'exec-shim': execute,
            network,
            'parked-shim': look,
            frozen: commit,
          }
          const call = calls[kind] ?? start
          const answer = await call().catch(() => 'cut')
          t.is(answer, 'cut', `the daemon never wrote ${step} of ${kind}`)
          options.env = {}
          await d.signal('SIGKILL')
          await d.boot()
          await settledWorld(t, d, base)
          t.is(await d.ok('inspect', '-f', '{{.State.Status}}', 'other'), 'running')
          await d.api('POST', '/containers/xx/start')
          t.is(await d.ok('inspect', '-f', '{{.State.Status}}', 'xx'), 'running')
          if (kind === 'network') t.is((await d.api('POST', '/networks/create', { Name: 'nn' })).status, 201)
          // The world below is that of the native driver: runc keeps mounts on the host while it runs.
          if (runtime === 'runc') await d.ok('rm', '-f', 'xx')
          await settledWorld(t, d, base)
        })
      },
    )
  }
}

for (const [verb, at] of [
  ['connect', 'intend:endpoint'],
  ['connect', 'fact:endpoint'],
  ['disconnect', 'released:endpoint'],
] as const)
  killTest(
    `killed at ${at} of a network ${verb}, the next daemon has a running container on the networks that its record says`,
    async (t) => {
      await withDaemon(t, async (d, base) => {
        const networks = async (): Promise<string[]> =>
          Object.keys(
            (await d.api('GET', '/containers/xx/json')).json<{ NetworkSettings: { Networks: object } }>().NetworkSettings.Networks,
          )
        const links = async (): Promise<string> => (await d.ok('exec', 'xx', 'ls', '/sys/class/net')).split('\n').join(' ')
        await d.ok('network', 'create', 'nn')
        await d.ok('run', '-d', '--name', 'xx', 'busybox', 'sleep', '1000')
        if (verb === 'disconnect') await d.ok('network', 'connect', 'nn', 'xx')
        await d.signal('SIGKILL')
        const hook = new URL('../fixtures/kill-at-ledger.js', import.meta.url).pathname
        const options = d.options as { env?: Record<string, string> }
        options.env = { NODE_OPTIONS: `--import=${hook}`, TSD_TEST_KILL_AT: at }
        await d.boot()
        t.is(await d.api('POST', `/networks/nn/${verb}`, { Container: 'xx' }).catch(() => 'cut'), 'cut')
        options.env = {}
        await d.signal('SIGKILL')
        await d.boot()
        await settledWorld(t, d, base)
        t.deepEqual(await networks(), ['bridge'])
        t.is(await links(), 'eth0 lo')
        await d.ok('network', 'connect', 'nn', 'xx')
        t.is(await links(), 'eth0 eth1 lo')
        await settledWorld(t, d, base)
      })
    },
  )

killTest('a start that was cut off has used its holder up, also when the next daemon is killed at once', async (t) => {
  await withDaemon(t, async (d) => {
    await d.api('POST', '/containers/create?name=xx', { Image: 'busybox', Cmd: ['sleep', '1000'] })
    await d.signal('SIGKILL')
    const options = d.options as { env?: Record<string, string> }
    const hook = new URL('../fixtures/kill-at-ledger.js', import.meta.url).pathname
    options.env = { NODE_OPTIONS: `--import=${hook}`, TSD_TEST_KILL_AT: 'intend:endpoint' }
    await d.boot()
    t.is(await d.api('POST', '/containers/xx/start').catch(() => 'cut'), 'cut')
    options.env = {}
    const snapshots = (): string[] => intents(d).flatMap(({ kind, key }) => (kind === 'snapshot' ? [key] : []))
    const [first = ''] = snapshots()
    t.not(first, '')
    await d.signal('SIGKILL')
    await d.boot()
    await d.killAndRestart()
    t.false(snapshots().includes(first))
    t.is((await d.api('POST', '/containers/xx/start')).status, 204)
    const next = snapshots()
    t.is(next.length, 1)
    t.not(next[0], first)
  })
})

killTest('a killed shim is reported as the end of its container, a killed zygote is replaced', async (t) => {
  await withDaemon(t, async (d, base) => {
    await d.ok('run', '-d', '--name', 'sh', 'busybox', 'sleep', '1000')
    const pid = await d.ok('inspect', '-f', '{{.State.Pid}}', 'sh')
    const parent = (await d.host('sh', '-c', `awk '/^PPid/ {print $2}' /proc/${pid}/status`)).stdout.trim()
    process.kill(Number(parent), 'SIGKILL')
    t.is((await d.docker('wait', 'sh')).stdout, '137\n')
    await settledWorld(t, d, base)
    const children = (await d.host('sh', '-c', `cat /proc/${d.pid}/task/*/children`)).stdout.trim().split(/\s+/)
    const zygotes = []
    for (const child of children) {
      const exe = (await d.host('readlink', `/proc/${child}/exe`)).stdout
      if (exe.includes('tsd-shim')) zygotes.push(Number(child))
    }
    t.is(zygotes.length, 1)
    process.kill(zygotes[0] ?? 0, 'SIGKILL')
    await sleep(50)
    t.is((await d.docker('run', '--rm', 'busybox', 'echo', 'again')).stdout, 'again\n')
  })
})

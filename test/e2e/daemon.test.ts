import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { ClassicLevel } from 'classic-level'
import { TestDaemon } from '../fixtures/daemon.js'
import { tempDir } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

const main = fileURLToPath(new URL('../../core/daemon/main.js', import.meta.url))
const daemonTest = daemonSuite()

const reload = async (d: TestDaemon, change: Record<string, unknown>): Promise<string> => {
  const file = path.join(d.dir, 'daemon.json')
  const before = d.log.length
  fs.writeFileSync(file, JSON.stringify({ ...(JSON.parse(fs.readFileSync(file, 'utf8')) as object), ...change }))
  process.kill(d.pid, 'SIGHUP')
  for (let i = 0; i < 100 && !/reloaded/.test(d.log.slice(before)); i += 1) await sleep(20)
  return d.log.slice(before)
}

test('--validate checks file and flags and starts nothing, also without root', (t) => {
  const dir = tempDir(t, 'validate')
  const file = path.join(dir, 'daemon.json')
  const validate = (content: string, ...args: string[]) => {
    fs.writeFileSync(file, content)
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, '--validate', '--config-file', file, ...args], {
      encoding: 'utf8',
    })
    return { status, text: stdout + stderr }
  }
  t.deepEqual(validate(JSON.stringify({ mtu: 1400, 'plugin-sockets': ['/x'] })), { status: 0, text: 'configuration OK\n' })
  t.deepEqual(validate('{"mtu": 1400}', '--mtu', '1500'), { status: 0, text: 'configuration OK\n' })
  const unknown = validate('{"data-rot": "/x"}')
  t.is(unknown.status, 1)
  t.is(unknown.text, `tsd daemon: config file ${file}: data-rot: is not a known key (did you mean "data-root"?)\n`)
  t.regex(validate('{').text, /is not JSON/)
  t.regex(validate('{}', '--mtu', 'x').text, /flag --mtu: must be a number/)
})

daemonTest('a second daemon says whose the data root, the exec root and the socket are, and changes nothing', async (t, d) => {
  await d.ok('run', '-d', '--name', 'lives', 'busybox', 'sleep', '1000')
  const file = path.join(d.dir, 'daemon.json')
  const start = (change: Record<string, unknown>): string => {
    const other = path.join(d.dir, 'other.json')
    fs.writeFileSync(other, JSON.stringify({ ...(JSON.parse(fs.readFileSync(file, 'utf8')) as object), ...change }))
    const { status, stderr } = spawnSync(process.execPath, [main, '--config-file', other], { encoding: 'utf8', timeout: 20_000 })
    t.is(status, 1)
    return stderr
  }
  const [data, run] = [path.join(d.dir, 'data2'), path.join(d.dir, 'run2')]
  t.regex(
    start({}),
    new RegExp(
      `the data root ${d.dataRoot} is in use by another tsd daemon \\(pid ${d.pid}\\): stop it, or give this one another --data-root`,
    ),
  )
  t.regex(start({ 'data-root': data }), new RegExp(`the exec root ${d.execRoot} is in use by another tsd daemon \\(pid ${d.pid}\\)`))
  const own = { 'data-root': data, 'exec-root': run }
  t.regex(start(own), new RegExp(`the pid file ${d.dir}/tsd.pid belongs to another tsd daemon \\(pid ${d.pid}\\)`))
  t.regex(
    start({ ...own, pidfile: path.join(run, 'pid') }),
    new RegExp(`cannot listen on unix://${d.socket}: another process answers there; stop it or choose another socket with -H`),
  )
  t.false(fs.existsSync(path.join(data, 'overlay2')), 'found out before anything was made')
  t.is(fs.readFileSync(path.join(d.dir, 'tsd.pid'), 'utf8').trim(), String(d.pid))
  t.is(await d.ok('exec', 'lives', 'echo', 'untouched'), 'untouched')
  t.is(await d.ok('run', '--rm', 'busybox', 'echo', 'its zygote lives'), 'its zygote lives')
})

daemonTest('a data root or a ledger that a newer daemon wrote is refused by name, and left as it is', async (t, d) => {
  await d.signal('SIGTERM')
  const setVersion = async (version: string): Promise<void> => {
    const store = new ClassicLevel<string, string>(path.join(d.dataRoot, 'meta'))
    await store.put('!version', version)
    await store.close()
  }
  await setVersion('99')
  const newer = await t.throwsAsync(d.boot())
  t.regex(
    newer.message,
    new RegExp(
      `^tsd daemon: metadata store ${d.dataRoot}/meta has version 99, this daemon knows up to 1: start the newer tsd that wrote it`,
      'm',
    ),
  )
  await setVersion('1')
  const ledger = path.join(d.execRoot, 'ledger')
  const before = fs.readFileSync(ledger)
  fs.writeFileSync(ledger, '{"version":99}\n')
  t.regex(
    (await t.throwsAsync(d.boot())).message,
    /^tsd daemon: .*\/ledger was written by a newer tsd \(ledger version 99, this one knows 1\)/m,
  )
  t.is(fs.readFileSync(ledger, 'utf8'), '{"version":99}\n')
  fs.writeFileSync(ledger, before)
  await d.boot()
  t.is(await d.ok('run', '--rm', 'busybox', 'echo', 'as before'), 'as before')
})

daemonTest('SIGHUP applies what can change, says what needs a restart, and survives a broken file', async (t, d) => {
  const since = Math.floor(Date.now() / 1000)
  const runc = fs.existsSync('/usr/sbin/runc') ? '/usr/sbin/runc' : '/usr/bin/runc'
  const log = await reload(d, {
    debug: true,
    labels: ['zone=a'],
    'live-restore': true,
    'shutdown-timeout': 3,
    runtimes: { mine: { path: runc } },
    mtu: 1400,
  })
  t.regex(log, /configuration reloaded.*applied="debug labels live-restore shutdown-timeout runtimes".*"?needs a restart"?=mtu/)
  const info = JSON.parse(await d.ok('info', '-f', '{{json .}}')) as {
    Debug: boolean
    Labels: string[]
    LiveRestoreEnabled: boolean
    Runtimes: Record<string, unknown>
  }
  t.like(info, { Debug: true, Labels: ['zone=a'], LiveRestoreEnabled: true })
  t.true('mine' in info.Runtimes)
  t.is((await d.docker('run', '--rm', '--runtime', 'mine', 'busybox', 'echo', 'by mine')).stdout, 'by mine\n')
  const event = await d.ok(
    'events',
    '--since',
    String(since),
    '--until',
    String(Math.floor(Date.now() / 1000) + 1),
    '--filter',
    'type=daemon',
    '--format',
    '{{.Action}}',
  )
  t.is(event, 'reload')

  t.regex(await reload(d, { 'default-runtime': 'mine' }), /applied=default-runtime/)
  await d.ok('run', '-d', '--name', 'by-default', 'busybox', 'sleep', '1000')
  t.is(await d.ok('inspect', '-f', '{{.HostConfig.Runtime}}', 'by-default'), 'mine')
  t.regex(await reload(d, { 'default-runtime': 'nobody' }), /the configuration was not reloaded: .*nobody/)
  t.is(await d.ok('info', '-f', '{{.DefaultRuntime}}'), 'mine')
  const bad = await reload(d, { 'default-runtime': 'native', lables: [] })
  t.regex(bad, /the configuration was not reloaded: config file .*lables: is not a known key \(did you mean \\?"labels/)
  await reload(d, { lables: undefined, runtimes: {}, debug: false, labels: [], 'live-restore': false })
  t.is(await d.ok('info', '-f', '{{.DefaultRuntime}} {{.Debug}} {{.LiveRestoreEnabled}}'), 'native false false')
  t.regex((await d.docker('run', '--rm', '--runtime', 'mine', 'busybox', 'true')).stderr, /unknown or invalid runtime name: mine/)
  await d.ok('stop', '-t', '0', 'by-default')
})

daemonTest('SIGTERM stops containers within the timeout; with live-restore they run on', async (t, d) => {
  await d.signal('SIGTERM')
  d.options.config = { 'shutdown-timeout': 1 }
  await d.boot()
  await d.ok(
    'run',
    '-d',
    '--name',
    'polite',
    '--stop-signal',
    'TERM',
    'busybox',
    'sh',
    '-c',
    'trap "echo bye; exit 3" TERM; while true; do sleep 0.05; done',
  )
  await d.ok('run', '-d', '--name', 'stubborn', 'busybox', 'sleep', '1000')
  await d.ok('run', '-d', '--name', 'always', '--restart', 'always', 'busybox', 'sleep', '1000')
  const pids = (await d.ok('inspect', '-f', '{{.State.Pid}}', 'polite', 'stubborn', 'always')).split('\n')
  const started = Date.now()
  await d.signal('SIGTERM')
  const took = Date.now() - started
  t.true(took > 900 && took < 5_000, `stopping took ${took} ms`)
  for (const pid of pids) t.false(fs.existsSync(`/proc/${pid}`))
  t.false(fs.existsSync(d.socket))
  t.false(fs.existsSync(path.join(d.dir, 'tsd.pid')))
  d.options.config = { 'live-restore': true }
  await d.boot()
  t.is(await d.ok('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'polite', 'stubborn'), 'exited 3\nexited 137')
  t.is(await d.ok('logs', 'polite'), 'bye')
  for (let i = 0; i < 60 && (await d.ok('inspect', '-f', '{{.State.Running}}', 'always')) !== 'true'; i += 1) await sleep(50)
  const pid = await d.ok('inspect', '-f', '{{.State.Pid}}', 'always')
  await d.signal('SIGTERM')
  t.true(fs.existsSync(`/proc/${pid}`))
  await d.boot()
  t.is(await d.ok('inspect', '-f', '{{.State.Running}} {{.State.Pid}}', 'always'), `true ${pid}`)
  d.options.config = {}
  await d.ok('rm', '-f', 'always')
})

daemonTest('flags go before the file; --timings and --trace-blocking print what they promise', async (t, d) => {
  await d.signal('SIGTERM')
  const before = d.log.length
  d.options.config = { labels: ['from=file'], 'log-driver': 'json-file' }
  d.options.args = ['--label', 'from=flag', '--log-driver', 'none', '--timings', '--trace-blocking']
  await d.boot()
  t.is(await d.ok('info', '-f', '{{json .Labels}} {{.LoggingDriver}}'), '["from=flag"] none')
  await d.ok('run', '--rm', 'busybox', 'true')
  await sleep(700)
  const log = d.log.slice(before)
  for (const step of [
    'boot',
    'load node and the engine',
    'configuration',
    'fence',
    'discover drivers',
    'choose graph driver',
    'graph/overlay2',
    'restore',
    'listen',
  ])
    t.regex(log, new RegExp(` ms {2}\\+ .* ${step}\\n`), step)
  t.regex(log, /blocking: \d+\.\d ms in \S+.*\(\w+/)
  t.regex((await d.api('GET', '/tsd/v1/daemon/timings')).body.toString(), /"name":"choose graph driver"/)
  d.options.config = {}
  d.options.args = []
})

daemonTest('an emptied data root starts anew beside what the exec root still knows', async (t) => {
  const d = await TestDaemon.start()
  try {
    await d.signal('SIGTERM')
    fs.rmSync(d.dataRoot, { recursive: true })
    await d.boot()
    t.is(await d.ok('network', 'ls', '--format', '{{.Name}} {{.Driver}}'), 'bridge bridge\nhost host\nnone null')
    await d.loadBusybox()
    for (const network of ['bridge', 'host', 'none']) t.is(await d.ok('run', '--rm', '--network', network, 'busybox', 'echo', 'up'), 'up')
  } finally {
    await d.destroy()
  }
})

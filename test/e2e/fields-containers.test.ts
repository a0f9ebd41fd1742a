import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { TestDaemon } from '../fixtures/daemon.js'
import { missing } from '../fixtures/root.js'

const lacking = missing('root', 'overlay', 'busybox', 'docker', 'ip')
const field =
  lacking === undefined ? test.serial : (name: string, _run: unknown) => test.skip(`${name} [needs ${lacking}]`, () => undefined)
let daemon: TestDaemon

test.before(async () => {
  if (lacking !== undefined) return
  daemon = await TestDaemon.start()
  await daemon.loadBusybox()
})
test.after.always(() => daemon?.destroy())

interface Inspected {
  Config: Record<string, unknown>
  HostConfig: Record<string, unknown>
  State: { Running: boolean; ExitCode: number; FinishedAt: string }
  RestartCount: number
  LogPath: string
}

const inspect = async (id: string): Promise<Inspected> => {
  const answer = await daemon.api('GET', `/containers/${id}/json`)
  if (answer.status !== 200) throw new Error(answer.body.toString())
  return answer.json<Inspected>()
}

/** Creates by the API, so that a field is set that the CLI does not send. */
async function create(body: Record<string, unknown>): Promise<string> {
  const answer = await daemon.api('POST', '/containers/create', { Image: 'busybox', Cmd: ['true'], ...body })
  if (answer.status !== 201) throw new Error(answer.body.toString())
  return answer.json<{ Id: string }>().Id
}

async function runBody(body: Record<string, unknown>): Promise<string> {
  const id = await create(body)
  const started = await daemon.api('POST', `/containers/${id}/start`)
  if (started.status !== 204) throw new Error(started.body.toString())
  await daemon.api('POST', `/containers/${id}/wait`)
  const output = await daemon.ok('logs', id)
  await daemon.ok('rm', '-f', '-v', id)
  return output
}

field('field ContainerConfig.Image decides the root file system', async (t) => {
  await daemon.loadBusybox({ tag: 'marked:1', files: [{ name: 'mark', content: 'from the image' }] })
  t.is(await daemon.ok('run', '--rm', 'marked:1', 'cat', '/mark'), 'from the image')
})

field('field ContainerConfig.AttachStdin connects the client to the process', async (t) => {
  const { stdout } = await daemon.dockerInput('through\n', 'run', '--rm', '-i', 'busybox', 'cat')
  t.is(stdout, 'through\n')
})

field('field ContainerConfig.AttachStdout and the streams that were not asked for', async (t) => {
  const { stdout, stderr } = await daemon.docker('run', '--rm', '-a', 'stdout', 'busybox', 'sh', '-c', 'echo out; echo err >&2')
  t.deepEqual([stdout, stderr], ['out\n', ''])
})

field('field ContainerConfig.AttachStderr alone', async (t) => {
  const { stdout, stderr } = await daemon.docker('run', '--rm', '-a', 'stderr', 'busybox', 'sh', '-c', 'echo out; echo err >&2')
  t.deepEqual([stdout, stderr], ['', 'err\n'])
})

field('field ContainerConfig.StdinOnce closes stdin after the first client', async (t) => {
  const id = await create({ Cmd: ['sh', '-c', 'cat; echo ended'], OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true })
  const { stdout } = await daemon.dockerInput('once\n', 'start', '-ai', id)
  t.is(stdout, 'once\nended\n')
  await daemon.ok('rm', id)
})

field('field ContainerConfig.Volumes are anonymous volumes', async (t) => {
  t.regex(await runBody({ Volumes: { '/anon': {} }, Cmd: ['grep', ' /anon ', '/proc/mounts'] }), / \/anon /)
})

field('field ContainerConfig.Labels are shown and can be filtered by', async (t) => {
  const id = await create({ Labels: { colour: 'red' } })
  t.is(await daemon.ok('ps', '-aq', '--no-trunc', '--filter', 'label=colour=red'), id)
  await daemon.ok('rm', id)
})

field('field ContainerConfig.StopSignal is what stop sends', async (t) => {
  const id = await daemon.ok(
    'run',
    '-d',
    '--stop-signal',
    'USR1',
    'busybox',
    'sh',
    '-c',
    'trap "exit 44" USR1; while :; do sleep 0.1; done',
  )
  await sleep(200)
  await daemon.ok('stop', '-t', '5', id)
  t.is((await inspect(id)).State.ExitCode, 44)
  await daemon.ok('rm', id)
})

field('field ContainerConfig.StopTimeout is how long stop waits', async (t) => {
  const id = await daemon.ok('run', '-d', '--stop-timeout', '1', 'busybox', 'sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done')
  const before = Date.now()
  await daemon.ok('stop', id)
  const took = Date.now() - before
  t.true(took > 900 && took < 5000, `${took} ms`)
  t.is((await inspect(id)).State.ExitCode, 137)
  await daemon.ok('rm', id)
})

field('field ContainerConfig.ArgsEscaped changes nothing on Linux', async (t) => {
  t.is(await runBody({ ArgsEscaped: true, Cmd: ['echo', 'a b'] }), 'a b')
})

field('field ContainerConfig.OnBuild is kept for inspect', async (t) => {
  const id = await create({ OnBuild: ['RUN x'] })
  t.deepEqual((await inspect(id)).Config.OnBuild, ['RUN x'])
  await daemon.ok('rm', id)
})

field('field ContainerConfig.Shell is kept for inspect', async (t) => {
  const id = await create({ Shell: ['/bin/ash', '-c'] })
  t.deepEqual((await inspect(id)).Config.Shell, ['/bin/ash', '-c'])
  await daemon.ok('rm', id)
})

field('field HostConfig.Binds mount host paths', async (t) => {
  const dir = path.join(daemon.dir, 'bind')
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'file'), 'bound')
  t.is(await runBody({ Cmd: ['cat', '/b/file'], HostConfig: { Binds: [`${dir}:/b:ro`] } }), 'bound')
})

field('field HostConfig.Mounts mount binds, volumes and tmpfs', async (t) => {
  const dir = path.join(daemon.dir, 'mounts')
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'file'), 'mounted')
  const output = await runBody({
    Cmd: ['sh', '-c', 'cat /b/file; touch /b/x; echo; grep -c " /v " /proc/mounts; grep " /t " /proc/mounts'],
    HostConfig: {
      Mounts: [
        { Type: 'bind', Source: dir, Target: '/b', ReadOnly: true },
        { Type: 'volume', Source: 'named', Target: '/v' },
        { Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 1 << 20, Mode: 0o700 } },
      ],
    },
  })
  t.regex(output, /mounted/)
  t.regex(output, /\n1\ntmpfs \/t tmpfs [^\n]*size=1024k,mode=700/)
  t.false(fs.existsSync(path.join(dir, 'x')))
  await daemon.ok('volume', 'rm', 'named')
})

field('field HostConfig.VolumeDriver makes the volumes of binds', async (t) => {
  t.is(await runBody({ Cmd: ['echo', 'ok'], HostConfig: { Binds: ['driven:/v'], VolumeDriver: 'local' } }), 'ok')
  t.is(await daemon.ok('volume', 'inspect', '-f', '{{.Driver}}', 'driven'), 'local')
  await daemon.ok('volume', 'rm', 'driven')
  await t.throwsAsync(runBody({ HostConfig: { Binds: ['driven:/v'], VolumeDriver: 'nosuch' } }), { message: /nosuch/ })
})

field('field HostConfig.VolumesFrom shares the volumes of another container', async (t) => {
  const id = await daemon.ok('create', '--name', 'holder', '-v', 'shared:/s', 'busybox', 'sh', '-c', 'echo written > /s/file')
  await daemon.ok('start', '-a', id)
  t.is(await runBody({ Cmd: ['cat', '/s/file'], HostConfig: { VolumesFrom: ['holder:ro'] } }), 'written')
  await daemon.ok('rm', '-v', 'holder')
  await daemon.ok('volume', 'rm', 'shared')
})

field('field HostConfig.LogConfig chooses driver and options', async (t) => {
  const body = { Cmd: ['echo', 'logged'], Labels: { a: 'b' }, HostConfig: { LogConfig: { Type: 'json-file', Config: { labels: 'a' } } } }
  const id = await create(body)
  await daemon.ok('start', '-a', id)
  t.regex(fs.readFileSync((await inspect(id)).LogPath, 'utf8'), /"attrs":\{"a":"b"\}/)
  await daemon.ok('rm', id)
  const silent = await create({ Cmd: ['echo', 'x'], HostConfig: { LogConfig: { Type: 'none', Config: {} } } })
  await daemon.ok('start', '-a', silent)
  t.not((await daemon.docker('logs', silent)).code, 0)
  await daemon.ok('rm', silent)
})

field('field HostConfig.RestartPolicy starts it again', async (t) => {
  const id = await daemon.ok('run', '-d', '--restart', 'on-failure:2', 'busybox', 'sh', '-c', 'exit 3')
  for (let wait = 0; wait < 100 && ((await inspect(id)).RestartCount < 2 || (await inspect(id)).State.Running); wait++) await sleep(50)
  await sleep(500)
  t.is((await inspect(id)).RestartCount, 2)
  await daemon.ok('rm', '-f', id)
})

field('field HostConfig.AutoRemove removes it once it has ended', async (t) => {
  const id = await create({ HostConfig: { AutoRemove: true } })
  await daemon.api('POST', `/containers/${id}/start`)
  for (let wait = 0; wait < 100; wait++) {
    if ((await daemon.api('GET', `/containers/${id}/json`)).status === 404) return t.pass()
    await sleep(30)
  }
  t.fail('it is still there')
})

field('field HostConfig.Runtime chooses the exec driver', async (t) => {
  const id = await create({ Cmd: ['sleep', '100'], HostConfig: { Runtime: 'runc' } })
  await daemon.ok('start', id)
  t.true(fs.readdirSync(daemon.execRoot, { recursive: true }).some((name) => String(name).includes('runc') && String(name).includes(id)))
  await daemon.ok('rm', '-f', id)
  await t.throwsAsync(create({ HostConfig: { Runtime: 'nosuch' } }), { message: /unknown or invalid runtime name: nosuch/ })
})

field('field HostConfig.ContainerIDFile is the business of the client, and kept', async (t) => {
  const file = path.join(daemon.dir, 'cid')
  const id = await daemon.ok('create', '--cidfile', file, 'busybox', 'true')
  t.is(fs.readFileSync(file, 'utf8'), id)
  t.is((await inspect(id)).HostConfig.ContainerIDFile, file)
  await daemon.ok('rm', id)
})

field('field HostConfig.StorageOpt: what the graph driver does not know is refused', async (t) => {
  await t.throwsAsync(create({ HostConfig: { StorageOpt: { nonsense: '1' } } }), { message: /nonsense/ })
})

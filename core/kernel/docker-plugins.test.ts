import test, { type ExecutionContext } from 'ava'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { categoryOf } from '../sdk/errors.js'
import { DockerPlugins } from './docker-plugins.js'

const fixture = fileURLToPath(new URL('../../../test/fixtures/volume_plugin.py', import.meta.url))
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

interface Call {
  call: string
  body: string
  headers: Record<string, string>
}

interface World {
  root: string
  plugins: DockerPlugins
  start(...options: string[]): Promise<ChildProcess>
  calls(): Promise<Call[]>
}

async function world(t: ExecutionContext): Promise<World> {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-docker-'))
  const sockets = path.join(root, 'sockets')
  await fs.mkdir(sockets)
  const plugins = new DockerPlugins({ sockets: [sockets], specs: [] }, silent)
  const children: ChildProcess[] = []
  t.teardown(async () => {
    await plugins.dispose()
    for (const child of children) child.kill('SIGKILL')
    await fs.rm(root, { recursive: true, force: true })
  })
  return {
    root,
    plugins,
    start: async (...options) => {
      const child = spawn('python3', [fixture, path.join(sockets, 'py.sock'), path.join(root, 'state'), ...options], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      children.push(child)
      await once(child.stdout, 'data')
      return child
    },
    calls: async () => {
      const text = await fs.readFile(path.join(root, 'state/calls.jsonl'), 'utf8')
      return text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Call)
    },
  }
}

const volumes = async (w: World) => {
  const stored = await w.plugins.driver('volume', 'py')
  return (await (stored as NonNullable<typeof stored>).slot.lease('test')).driver
}

for (const spelling of [[], ['lowercase']]) {
  test(`all eight calls of a stranger's volume plugin ${spelling.join()}`, async (t) => {
    const w = await world(t)
    await w.start(...spelling)
    const driver = await volumes(w)
    t.is(await driver.get('v'), undefined)
    await driver.create('v', { a: 'b' })
    await driver.create('v', {})
    t.deepEqual((await driver.get('v'))?.status, { ids: 0 })
    t.is((await driver.list())[0]?.createdAt, '2024-01-02T03:04:05Z')
    const at = path.join(w.root, 'state/volumes/v')
    t.deepEqual(await driver.mount('v', 'holder one'), { mountpoint: at })
    t.deepEqual(await driver.mount('v', 'holder one'), { mountpoint: at })
    await driver.mount('v', 'holder two')
    t.deepEqual((await driver.get('v'))?.status, { ids: 2 }, 'one Mount per holder')
    t.is(await driver.path('v'), at)
    await driver.unmount('v', 'holder one')
    await driver.unmount('v', 'holder one')
    await driver.unmount('v', 'holder two')
    t.deepEqual(await driver.capabilities?.(), { scope: 'global' })
    await driver.remove('v')
    const error = await t.throwsAsync(driver.remove('v'), { message: 'VolumeDriver.Remove: no volume v' })
    t.is(categoryOf(error), 'System')
    const calls = await w.calls()
    t.is(calls.filter((one) => one.call === 'VolumeDriver.Create').length, 1, 'Get before Create')
    t.is(calls.filter((one) => one.call === 'VolumeDriver.Mount').length, 2)
    t.is(calls.filter((one) => one.call === 'VolumeDriver.Unmount').length, 2)
    const [activate, get] = calls as [Call, Call]
    t.is(activate.call, 'Plugin.Activate')
    t.is(activate.body, '')
    t.is(activate.headers['content-length'], '0')
    t.is(get.headers['accept'], 'application/vnd.docker.plugins.v1.2+json')
    t.is(get.headers['content-type'], undefined)
    t.is(get.headers['host'], 'plugin.moby.localhost')
    t.is(calls.find((one) => one.call === 'VolumeDriver.Create')?.body, '{"Name":"v","Opts":{"a":"b"}}\n')
    const ids = calls.filter((one) => one.call === 'VolumeDriver.Mount').map((one) => (JSON.parse(one.body) as { ID: string }).ID)
    for (const id of ids) t.regex(id, /^[0-9a-f]{64}$/)
    t.is(new Set(ids).size, 2)
    const stored = await w.plugins.driver('volume', 'py')
    t.false(stored?.info.crashOnly)
  })
}

test('a lost round trip is repeated with its whole body, once the plugin is back', async (t) => {
  const w = await world(t)
  const first = await w.start('die-on=VolumeDriver.Create')
  const driver = await volumes(w)
  const gone = once(first, 'exit')
  const creating = driver.create('v', { a: 'b' })
  await gone
  await w.start()
  await creating
  const bodies = (await w.calls()).filter((one) => one.call === 'VolumeDriver.Create').map((one) => one.body)
  t.true(bodies.length >= 2)
  t.is(new Set(bodies).size, 1)
  t.true((await driver.list()).some((one) => one.name === 'v'))
})

test('optional calls, other kinds, unknown names', async (t) => {
  const w = await world(t)
  await w.start('old')
  t.deepEqual(await (await volumes(w)).capabilities?.(), { scope: 'local' })
  await t.throwsAsync(w.plugins.driver('network', 'py'), {
    message: /does not implement the requested driver|cannot be reached over a socket/,
  })
  const started = Date.now()
  t.is(await w.plugins.driver('volume', 'unknown'), undefined)
  t.true(Date.now() - started < 200)
  t.deepEqual(await w.plugins.names('volume'), ['py'])
  t.deepEqual(await w.plugins.names('network'), [])
})

test('dead and silent plugins delay no listing, and are named by why', async (t) => {
  const w = await world(t)
  const silentServer = net.createServer().listen(path.join(w.root, 'sockets/silent.sock'))
  const dying = await w.start()
  await fs.rename(path.join(w.root, 'sockets/py.sock'), path.join(w.root, 'sockets/dead.sock'))
  dying.kill('SIGKILL')
  await once(dying, 'exit')
  await w.start()
  const started = Date.now()
  t.deepEqual(await w.plugins.names('volume'), ['py'])
  t.true(Date.now() - started < 2500, `took ${Date.now() - started} ms`)
  const again = Date.now()
  t.deepEqual(await w.plugins.names('volume'), ['py'])
  t.true(Date.now() - again < 200)
  const verdicts = await w.plugins.explain('volume')
  t.deepEqual(
    verdicts.map((v) => [v.name, v.verdict]),
    [
      ['dead', 'failed'],
      ['py', 'available'],
      ['silent', 'failed'],
    ],
  )
  silentServer.close()
})

test('a plugin that was started again is activated again', async (t) => {
  const w = await world(t)
  const first = await w.start()
  const driver = await volumes(w)
  await driver.create('v', {})
  first.kill('SIGKILL')
  await once(first, 'exit')
  await w.start()
  t.is((await (await volumes(w)).list()).length, 1)
  t.is((await driver.list()).length, 1, 'those who hold the old driver reach the new plugin')
  t.is((await w.calls()).filter((one) => one.call === 'Plugin.Activate').length, 2)
})

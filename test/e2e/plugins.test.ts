import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import type { TestDaemon } from '../fixtures/daemon.js'
import { DockerPlugin } from '../fixtures/docker-plugin.js'
import { daemonSuite } from '../fixtures/suite.js'
import { ledgerOwners } from '../fixtures/world.js'

const daemonTest = daemonSuite()

const pluginTest = (name: string, body: (t: ExecutionContext, d: TestDaemon, plugin: DockerPlugin) => Promise<void>): void =>
  daemonTest(name, async (t, d) => {
    t.timeout(120_000)
    const state = fs.mkdtempSync(path.join(d.dir, 'plugin-'))
    const plugin = new DockerPlugin(path.join(d.pluginSockets, 'py.sock'), state)
    try {
      await body(t, d, plugin)
    } finally {
      for (const id of (await d.docker('ps', '-aq')).stdout.split('\n').filter(Boolean)) await d.docker('rm', '-f', id)
      for (const name of (await d.docker('volume', 'ls', '-q')).stdout.split('\n').filter(Boolean))
        await d.docker('volume', 'rm', '-f', name)
      await plugin.kill()
      fs.rmSync(d.pluginSockets, { recursive: true, force: true })
      fs.rmSync(d.pluginSpecs, { recursive: true, force: true })
    }
  })

const took = async (work: () => Promise<unknown>): Promise<number> => {
  const started = Date.now()
  await work()
  return Date.now() - started
}

const mountIds = (plugin: DockerPlugin, method: 'Mount' | 'Unmount'): (string | undefined)[] =>
  plugin.calls(method).map(({ body }) => body.ID)

pluginTest('volumes of a plugin in another process: create, inspect, run, list, remove', async (t, d, plugin) => {
  await plugin.start('pathless')
  t.is(await d.ok('volume', 'create', '-d', 'py', '--opt', 'size=1', '--label', 'a=b', 'vol'), 'vol')
  t.deepEqual(plugin.calls('Create')[0]?.body, { Name: 'vol', Opts: { size: '1' } })
  const [volume] = JSON.parse(await d.ok('volume', 'inspect', 'vol')) as Record<string, unknown>[]
  t.like(volume, {
    Driver: 'py',
    Name: 'vol',
    Scope: 'global',
    Options: { size: '1' },
    Labels: { a: 'b' },
    Mountpoint: path.join(plugin.state, 'volumes/vol'),
    Status: { ids: 0 },
  })
  t.is(await d.ok('run', '--rm', '-v', 'vol:/data', 'busybox', 'sh', '-c', 'echo kept > /data/file; cat /data/file'), 'kept')
  t.is(fs.readFileSync(path.join(plugin.state, 'volumes/vol/file'), 'utf8'), 'kept\n')
  t.is(await d.ok('run', '--rm', '--volume-driver', 'py', '-v', 'made:/data', '-v', 'vol:/old:ro', 'busybox', 'cat', '/old/file'), 'kept')
  t.is(
    await d.ok('run', '--rm', '--mount', 'type=volume,volume-driver=py,volume-opt=size=2,src=third,dst=/data', 'busybox', 'echo', 'ok'),
    'ok',
  )
  t.is(await d.ok('volume', 'ls', '--format', '{{.Driver}} {{.Name}}'), 'py made\npy third\npy vol')
  const ids = mountIds(plugin, 'Mount')
  t.is(ids.length, 4)
  t.is(new Set(ids).size, 4, 'each use has an id of its own')
  for (const id of ids) t.regex(id ?? '', /^[0-9a-f]{64}$/)
  t.deepEqual(mountIds(plugin, 'Unmount').sort(), ids.sort())
  await d.ok('run', '-d', '--name', 'user', '-v', 'vol:/data', 'busybox', 'sleep', '1000')
  t.regex((await d.docker('volume', 'rm', 'vol')).stderr, /volume is in use/)
  await d.ok('exec', 'user', 'cat', '/data/file')
  await d.ok('restart', '-t', '0', 'user')
  t.is(plugin.uses().length, 1)
  await d.ok('rm', '-f', 'user')
  t.deepEqual(plugin.uses(), [])
  await d.ok('volume', 'rm', 'vol', 'made', 'third')
  t.is(plugin.calls('Remove').length, 3)
  t.is(await d.ok('volume', 'ls', '-q'), '')
  const methods = new Set(plugin.calls().map(({ call }) => call))
  for (const method of ['Create', 'Get', 'List', 'Path', 'Mount', 'Unmount', 'Remove', 'Capabilities'])
    t.true(methods.has(`VolumeDriver.${method}`), method)
  t.is(plugin.calls().filter(({ call }) => call === 'Plugin.Activate').length, 1)
  t.regex((await d.tsd('driver', 'ls')).stdout, /volume\s+py\s+active\s+http/)
})

/** Nothing is under way: an Unmount that was sent is on record as answered. */
async function settled(t: ExecutionContext, d: TestDaemon, owners: string[]): Promise<void> {
  for (let i = 0; i < 400 && ledgerOwners(d.execRoot).join() !== owners.join(); i += 1) await sleep(25)
  t.deepEqual(ledgerOwners(d.execRoot), owners)
}

pluginTest('one Mount and one Unmount per use, also across kill -9 of the daemon', async (t, d, plugin) => {
  await plugin.start()
  await d.ok('volume', 'create', '-d', 'py', 'vol')
  const untilTold = ['-v', 'vol:/data', 'busybox', 'sh', '-c', 'until [ -e /data/end ]; do sleep 0.02; done']
  const stays = await d.ok('run', '-d', '--name', 'stays', '-v', 'vol:/data', 'busybox', 'sleep', '1000')
  await d.ok('run', '-d', '--name', 'ends', ...untilTold)
  await d.ok('run', '-d', '--rm', '--name', 'goes', ...untilTold)
  const pids = (await d.ok('inspect', '-f', '{{.State.Pid}}', 'ends', 'goes')).split('\n')
  const mounted = mountIds(plugin, 'Mount')
  t.is(mounted.length, 3)
  await d.signal('SIGKILL')
  fs.writeFileSync(path.join(plugin.state, 'volumes/vol/end'), '')
  for (let i = 0; i < 400 && pids.some((pid) => fs.existsSync(`/proc/${pid}`)); i += 1) await sleep(25)
  await d.boot()
  await settled(t, d, [stays])
  t.deepEqual(plugin.uses(), mounted.slice(0, 1), 'what ended meanwhile is unmounted, what runs is not')
  await d.killAndRestart()
  await d.killAndRestart()
  t.is(plugin.calls('Mount').length, 3, 'no Mount is replayed')
  await d.ok('exec', 'stays', 'touch', '/data/still')
  await d.ok('rm', '-f', 'stays', 'ends')
  t.deepEqual(mountIds(plugin, 'Unmount').sort(), mounted.sort())
})

for (const [call, work] of [
  ['Mount', ['start', 'user']],
  ['Unmount', ['stop', '-t', '0', 'user']],
] as const)
  pluginTest(
    `killed while a plugin works on ${call}, the next daemon sends one Unmount with the same ID, and takes any answer`,
    async (t, d, plugin) => {
      await plugin.start()
      await d.ok('volume', 'create', '-d', 'py', 'vol')
      await d.ok('create', '--name', 'user', '-v', 'vol:/data', 'busybox', 'sleep', '1000')
      const before = plugin.calls('Mount').length
      if (call === 'Unmount') await d.ok('start', 'user')
      await plugin.kill()
      await plugin.start(`stall-on=VolumeDriver.${call}`)
      const cut = d.docker(...work)
      const sent = plugin.calls(call).length + 1
      for (let i = 0; i < 400 && plugin.calls(call).length < sent; i += 1) await sleep(25)
      await d.signal('SIGKILL')
      t.not((await cut).code, 0)
      // The next one knows nothing of the use, as if the first had carried the call out before it was killed.
      await plugin.kill()
      await plugin.start()
      await d.boot()
      await settled(t, d, [])
      const [id] = mountIds(plugin, 'Mount').slice(before)
      const unmounts = (): (string | undefined)[] => mountIds(plugin, 'Unmount').filter((one) => one === id)
      t.deepEqual(unmounts(), call === 'Mount' ? [id] : [id, id])
      t.regex(d.log, /a volume plugin refused to unmount; it is not asked again/)
      await d.killAndRestart()
      await d.ok('start', 'user')
      const last = mountIds(plugin, 'Mount').at(-1)
      t.not(last, id, 'the next use has an ID of its own')
      await d.ok('rm', '-f', 'user')
      t.is(unmounts().length, call === 'Mount' ? 1 : 2)
      t.is(mountIds(plugin, 'Unmount').filter((one) => one === last).length, 1)
      t.deepEqual(plugin.uses(), [])
    },
  )

pluginTest('a Mount that the plugin refuses is told, and gets no Unmount', async (t, d, plugin) => {
  await plugin.start('refuse=VolumeDriver.Mount')
  await d.ok('volume', 'create', '-d', 'py', 'vol')
  const refused = await d.docker('run', '-d', '--name', 'user', '--mount', 'src=vol,dst=/data,volume-nocopy', 'busybox', 'sleep', '1000')
  t.is(refused.code, 125)
  t.regex(refused.stderr, /VolumeDriver\.Mount: not today/)
  await settled(t, d, [])
  t.is(plugin.calls('Mount').length, 1)
  t.is(plugin.calls('Unmount').length, 0)
  await plugin.kill()
  await plugin.start()
  await d.ok('start', 'user')
  await d.ok('rm', '-f', 'user')
  t.deepEqual(mountIds(plugin, 'Unmount'), mountIds(plugin, 'Mount').slice(1))
})

pluginTest('one volume at two places of a container: each Mount has an ID of its own, copy-up included', async (t, d, plugin) => {
  await plugin.start()
  await d.ok('run', '--rm', '--volume-driver', 'py', '-v', 'vol:/tmp', '-v', 'vol:/etc', 'busybox', 'true')
  const ids = mountIds(plugin, 'Mount')
  t.is(ids.length, 4)
  t.is(new Set(ids).size, 4)
  t.deepEqual(mountIds(plugin, 'Unmount').sort(), ids.sort())
})

pluginTest('a plugin that is away when its container ends gets its Unmount when it is back', async (t, d, plugin) => {
  await plugin.start()
  await d.ok('run', '-d', '--name', 'user', '--volume-driver', 'py', '-v', 'vol:/data', 'busybox', 'sh', '-c', 'sleep 0.3')
  await plugin.kill()
  await sleep(600)
  await d.signal('SIGKILL')
  const boot = await took(() => d.boot())
  t.true(boot < 3_000, `boot took ${boot} ms`)
  t.is(plugin.calls('Unmount').length, 0)
  await plugin.start()
  await d.ok('volume', 'inspect', 'vol')
  for (let i = 0; i < 200 && plugin.calls('Unmount').length === 0; i += 1) await sleep(50)
  t.deepEqual(mountIds(plugin, 'Unmount'), mountIds(plugin, 'Mount'))
})

pluginTest('.spec and .json files say where a plugin listens', async (t, d, plugin) => {
  const elsewhere = new DockerPlugin(path.join(d.dir, 'elsewhere.sock'), plugin.state)
  await elsewhere.start()
  try {
    fs.mkdirSync(d.pluginSpecs, { recursive: true })
    fs.writeFileSync(path.join(d.pluginSpecs, 'byspec.spec'), `unix://${elsewhere.socket}\n`)
    fs.writeFileSync(path.join(d.pluginSpecs, 'byjson.json'), JSON.stringify({ Name: 'byjson', Addr: `unix://${elsewhere.socket}` }))
    for (const name of ['byspec', 'byjson']) {
      t.is(
        await d.ok('run', '--rm', '--volume-driver', name, '-v', `${name}:/data`, 'busybox', 'sh', '-c', 'echo x > /data/x; cat /data/x'),
        'x',
      )
      await d.ok('volume', 'rm', name)
    }
    t.deepEqual(elsewhere.uses(), [])
    const info = JSON.parse(await d.ok('info', '-f', '{{json .Plugins.Volume}}')) as string[]
    t.deepEqual(info, ['byjson', 'byspec', 'local'])
  } finally {
    await elsewhere.kill()
  }
})

pluginTest('a round trip that is cut is repeated until the plugin is back', async (t, d, plugin) => {
  await plugin.start('die-on=VolumeDriver.Create')
  const creating = d.docker('volume', 'create', '-d', 'py', 'vol')
  await plugin.ended()
  await plugin.start()
  t.like(await creating, { code: 0, stdout: 'vol\n' })
  const bodies = plugin.calls('Create').map(({ body }) => body.Name)
  t.deepEqual(bodies, ['vol', 'vol'], 'once for the plugin that died, once for the next')
})

pluginTest('dead, silent and slow plugins delay neither boot nor ps nor listings', async (t, d, plugin) => {
  await plugin.start('stall-on=VolumeDriver.List')
  await d.ok('volume', 'create', '-d', 'py', 'vol')
  await d.ok('volume', 'create', 'mine')
  await d.signal('SIGTERM')
  const silent = net.createServer(() => undefined).listen(path.join(d.pluginSockets, 'silent.sock'))
  const dead = new DockerPlugin(path.join(d.pluginSockets, 'dead.sock'), path.join(plugin.state, 'dead'))
  fs.mkdirSync(dead.state)
  await (await dead.start()).kill()
  try {
    t.true((await took(() => d.boot())) < 3_000)
    t.true((await took(() => d.ok('ps', '-a'))) < 1_000)
    t.true((await took(() => d.ok('info'))) < 3_000)
    const listing = await took(async () => t.is(await d.ok('volume', 'ls', '--format', '{{.Driver}} {{.Name}}'), 'local mine\npy vol'))
    t.true(listing < 7_500, `volume ls took ${listing} ms`)
    t.true((await took(() => d.ok('run', '--rm', '-v', 'fresh:/data', 'busybox', 'true'))) < 7_500)
    t.true((await took(() => d.ok('run', '--rm', 'busybox', 'true'))) < 2_000)
    const table = (await d.tsd('driver', 'why', 'volume')).stdout
    t.regex(table, /dead\s+failed/)
    t.regex(table, /silent\s+failed/)
    // One that was in use, and died.
    await plugin.kill()
    t.true((await took(() => d.ok('volume', 'ls'))) < 3_000)
    t.true((await took(() => d.ok('run', '--rm', '-v', 'other:/data', 'busybox', 'true'))) < 7_500)
    t.true((await took(() => d.ok('ps', '-a'))) < 1_000)
    const asked = await took(async () => t.regex((await d.docker('volume', 'create', '-d', 'daed', 'x')).stderr, /plugin "daed" not found/))
    t.true(asked < 2_000)
  } finally {
    silent.close()
    await plugin.kill()
    await plugin.start()
  }
})

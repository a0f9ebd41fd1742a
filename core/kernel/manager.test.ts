import test from 'ava'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { categoryOf } from '../sdk/errors.js'
import type { Logger } from '../sdk/ports.js'
import type { DriverServices } from './contexts.js'
import { DriverManager } from './manager.js'
import type { ManagerSettings } from './manager-options.js'
import { Timings } from './timings.js'

const packageRoot = fileURLToPath(new URL('../../..', import.meta.url))
const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
// Drivers of these tests make no use of them.
const services = { loggerFor: () => silent } as unknown as DriverServices

interface World {
  root: string
  manager(settings?: Partial<ManagerSettings>, timings?: Timings): DriverManager
  plugin(folder: string, tsd: object, code: string): Promise<void>
}

async function world(t: { teardown(fn: () => Promise<void>): void }): Promise<World> {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-manager-'))
  t.teardown(() => fs.rm(root, { recursive: true, force: true }))
  const dataRoot = path.join(root, 'data')
  await fs.mkdir(dataRoot)
  const facts = { dataRoot, execRoot: path.join(root, 'run'), bridge: 'tsd0', cgroupParent: '/tsd', name: 'test' }
  return {
    root,
    manager: (settings, timings) =>
      new DriverManager({
        settings: {
          graphName: '',
          graphPriority: ['first', 'second'],
          defaults: { volume: ['local'], network: ['bridge'], ipam: ['default'], exec: ['native', 'runc'], log: ['json-file'] },
          required: [],
          options: {},
          aliases: [],
          ...settings,
        },
        roots: [{ path: path.join(root, 'plugins'), bundled: false }],
        packageRoot,
        sdkVersion: '0.1.0',
        facts,
        services,
        logger: silent,
        ...(timings === undefined ? {} : { timings }),
      }),
    plugin: async (folder, tsd, code) => {
      const directory = path.join(root, 'plugins', folder)
      await fs.mkdir(directory, { recursive: true })
      await fs.writeFile(
        path.join(directory, 'package.json'),
        JSON.stringify({ name: folder.replaceAll('/', '-'), version: '1.0.0', type: 'module', tsd }),
      )
      await fs.writeFile(path.join(directory, 'index.js'), code)
    },
  }
}

const graph = (name: string, probe = '{ ok: true }') =>
  [
    { kinds: [{ kind: 'graph', name }] },
    `import { defineDriver } from 'tsd-engine/sdk'
   export default defineDriver({ kind: 'graph', name: '${name}', probe: async () => (${probe}), create: async (ctx) => ({ list: async () => [ctx.dataDir] }) })`,
  ] as const

// Under 25 lines, no file outside its folder: what a third party writes.
const memo = `import { defineDriver, notFound } from 'tsd-engine/sdk'
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
class Memo {
  constructor(ctx) { this.ctx = ctx }
  at(name) { return path.join(this.ctx.dataDir, name) }
  async create(name) { await mkdir(this.at(name), { recursive: true }) }
  async remove(name) { await rm(this.at(name), { recursive: true, force: true }) }
  async list() { return (await readdir(this.ctx.dataDir)).map((name) => ({ name, mountpoint: this.at(name) })) }
  async get(name) { return (await this.list()).find((volume) => volume.name === name) }
  async path(name) { return (await this.get(name))?.mountpoint }
  async mount(name) { const volume = await this.get(name); if (!volume) throw notFound('no such volume: ' + name); return { mountpoint: volume.mountpoint } }
  async unmount() {}
}
export default defineDriver({ kind: 'volume', name: 'memo', create: (ctx) => new Memo(ctx) })
`

test('a folder dropped into a configured directory is a driver', async (t) => {
  const w = await world(t)
  await w.plugin('memo', { kinds: [{ kind: 'volume', name: 'memo' }] }, memo)
  await w.plugin('graph/first', ...graph('first'))
  const timings = new Timings('boot')
  const manager = w.manager({}, timings)
  await manager.start()
  const activated: string[] = []
  manager.onActivate('volume', (name) => activated.push(name))
  t.is(manager.active('volume', 'memo'), undefined)
  const lease = await manager.lease('volume', 'memo', 'container abc')
  await lease.driver.create('v', {})
  t.deepEqual(await lease.driver.mount('v', 'h'), { mountpoint: path.join(w.root, 'data/volumes/memo/v') })
  t.is(manager.active('volume', 'memo'), lease.driver)
  await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual(activated, ['memo'])
  t.deepEqual(await manager.names('volume'), ['memo'])
  const error = await t.throwsAsync(lease.driver.mount('nope', 'h'))
  t.is(categoryOf(error), 'NotFound', 'errors of the copy of the SDK that the driver sees are ours')
  t.is(manager.holders('volume', 'memo')[0]?.holder, 'container abc')
  await t.throwsAsync(manager.disable('volume', 'memo', 20), { message: /still used after .* by container abc/ })
  lease.release()
  lease.release()
  await manager.disable('volume', 'memo')
  t.is(manager.active('volume', 'memo'), undefined)
  const unknown = await t.throwsAsync(manager.lease('volume', 'mem', 'x'), {
    message: /plugin "mem" not found \(did you mean "memo"\?\): looked in .*plugins/,
  })
  t.is(categoryOf(unknown), 'NotFound')
  t.regex(timings.format(), /choose graph driver[\s\S]*graph\/first/)
  const inspected = (await manager.inspect('memo')) as { Drivers: { Plugin: string; CrashOnly: boolean }[] }
  t.is(inspected.Drivers[0]?.Plugin, 'memo')
  await manager.dispose()
})

test('choice by priority leaves a marker that decides the next start', async (t) => {
  const w = await world(t)
  await w.plugin('graph/first', ...graph('first', `{ ok: false, reason: 'no such file system' }`))
  await w.plugin('graph/second', ...graph('second'))
  await w.plugin('graph/third', ...graph('third'))
  let manager = w.manager()
  await manager.start()
  t.is(manager.defaultName('graph'), 'second')
  const verdicts = await manager.why('graph')
  t.deepEqual(
    verdicts.map((v) => [v.name, v.verdict]),
    [
      ['first', 'refused'],
      ['second', 'selected'],
      ['third', 'available'],
    ],
  )
  await t.throwsAsync(manager.lease('graph', 'third', 'x'), { message: /not the one in use/ })
  await manager.dispose()
  await fs.access(path.join(w.root, 'data/second/.tsd-driver.json'))

  manager = w.manager({ graphPriority: ['third'] })
  await manager.start()
  t.is(manager.defaultName('graph'), 'second', 'prior state beats priority')
  await manager.dispose()

  await fs.rm(path.join(w.root, 'plugins/graph/second'), { recursive: true })
  await t.throwsAsync(w.manager().start(), { message: /graph driver second \(prior state in .*\/second\) was not found/ })
  await t.throwsAsync(w.manager({ graphName: 'nope' }).start(), { message: /graph driver nope \(configured\) was not found/ })
})

test('hostile and broken plugins stop nobody', async (t) => {
  const w = await world(t)
  await w.plugin('graph/first', ...graph('first'))
  await w.plugin('bad-manifest', { kinds: [{ kind: 'volume', name: 'x', colour: 'red' }] }, '')
  await w.plugin('throws', { kinds: [{ kind: 'volume', name: 'throws' }] }, 'throw new Error("at load")')
  await w.plugin('nothing', { kinds: [{ kind: 'volume', name: 'nothing' }] }, 'export default {}')
  await w.plugin(
    'other',
    { kinds: [{ kind: 'volume', name: 'other' }] },
    `import { defineDriver } from 'tsd-engine/sdk'; export default defineDriver({ kind: 'volume', name: 'another', create: () => ({}) })`,
  )
  await w.plugin(
    'slow',
    { kinds: [{ kind: 'volume', name: 'slow', timeouts: { init: '50ms' } }] },
    `import { defineDriver } from 'tsd-engine/sdk'; export default defineDriver({ kind: 'volume', name: 'slow', create: () => new Promise(() => {}) })`,
  )
  await w.plugin('future', { sdk: '^9', kinds: [{ kind: 'volume', name: 'future' }] }, memo)
  await w.plugin('shadow', { kinds: [{ kind: 'graph', name: 'first' }] }, '')
  await w.plugin('writable', { kinds: [{ kind: 'volume', name: 'writable' }] }, memo)
  await fs.chmod(path.join(w.root, 'plugins/writable'), 0o777)
  await w.plugin('link', { kinds: [{ kind: 'volume', name: 'link' }] }, memo)
  await fs.symlink('/etc', path.join(w.root, 'plugins/link/etc'))
  const manager = w.manager()
  await manager.start()
  const says = (name: string, message: RegExp) => t.throwsAsync(manager.lease('volume', name, 'x'), { message }, name)
  await says('x', /bad-manifest.*colour is not a known key/)
  await says('throws', /plugin throws: cannot load .*: at load/)
  await says('nothing', /must default-export/)
  await says('other', /promises volume\/other/)
  await says('slow', /driver volume\/slow \(plugin slow\) did not finish init within 0.05 s/)
  await says('future', /needs SDK \^9/)
  await says('writable', /can be changed by other users/)
  await says('link', /leads out of the folder/)
  t.true((await manager.why('graph')).some((v) => v.name === 'shadow' && /provided by .* already/.test(v.reason)))
  t.is((await manager.list()).find((d) => d.name === 'throws')?.state, 'failed')
  await manager.dispose()
})

test('requirements start first, circles are named, disposal is in reverse', async (t) => {
  const w = await world(t)
  await w.plugin('graph/first', ...graph('first'))
  const driver = (kind: string, name: string) =>
    `import { defineDriver } from 'tsd-engine/sdk'
     globalThis.order ??= []
     export default defineDriver({ kind: '${kind}', name: '${name}', create: () => { globalThis.order.push('+${name}'); return { dispose() { globalThis.order.push('-${name}') } } } })`
  await w.plugin('a', { requires: ['ipam/b'], kinds: [{ kind: 'network', name: 'a' }] }, driver('network', 'a'))
  await w.plugin('b', { kinds: [{ kind: 'ipam', name: 'b' }] }, driver('ipam', 'b'))
  await w.plugin('c', { requires: ['ipam/d'], kinds: [{ kind: 'network', name: 'c' }] }, driver('network', 'c'))
  await w.plugin('d', { requires: ['network/c'], kinds: [{ kind: 'ipam', name: 'd' }] }, driver('ipam', 'd'))
  await w.plugin('e', { requires: ['ipam/gone'], kinds: [{ kind: 'network', name: 'e' }] }, driver('network', 'e'))
  const manager = w.manager()
  await manager.start()
  await manager.lease('network', 'a', 'x')
  await t.throwsAsync(manager.lease('network', 'c', 'x'), { message: /form a circle: c -> d -> c/ })
  await t.throwsAsync(manager.lease('network', 'e', 'x'), { message: /requires ipam\/gone: ipam driver: plugin "gone" not found/ })
  await manager.dispose()
  t.deepEqual((globalThis as { order?: string[] }).order, ['+b', '+a', '-a', '-b'])
})

test('options are checked against the schema of the driver, aliases have their own', async (t) => {
  const w = await world(t)
  await w.plugin('graph/first', ...graph('first'))
  await w.plugin(
    'oci',
    {
      kinds: [
        { kind: 'exec', name: 'oci', options: { properties: { path: { type: 'string' }, mode: { enum: ['a', 'b'], default: 'a' } } } },
      ],
    },
    `import { defineDriver } from 'tsd-engine/sdk'; export default defineDriver({ kind: 'exec', name: 'oci', create: (ctx) => ({ features: async () => ctx.options, list: async () => [ctx.name] }) })`,
  )
  const manager = w.manager({
    aliases: [{ kind: 'exec', name: 'runc', driver: 'oci', options: { path: '/usr/bin/runc' } }],
    options: { exec: { oci: { mode: 'c' } }, graph: { '*': { nope: '1' } } },
  })
  await t.throwsAsync(manager.start(), { message: /drivers\.graph\.options\.first\.nope is not a known key/ })
  const { driver } = await manager.lease('exec', 'runc', 'x')
  t.deepEqual((await driver.features()) as unknown, { path: '/usr/bin/runc', mode: 'a' })
  t.deepEqual(await driver.list(), ['runc'])
  await t.throwsAsync(manager.lease('exec', 'oci', 'x'), { message: /options\.oci\.mode must be one of "a", "b"/ })
  t.is(manager.defaultName('exec'), 'runc', 'native is not installed')
  t.deepEqual(
    (await manager.why('exec')).map((v) => [v.name, v.verdict]),
    [
      ['native', 'absent'],
      ['oci', 'failed'],
      ['runc', 'selected'],
    ],
  )
  await manager.dispose()
  const required = w.manager({ required: ['volume/local'] })
  await t.throwsAsync(required.start(), { message: /volume plugin local: plugin "local" not found/ })
})

test('further names of drivers come and go at a reload; who holds one keeps it', async (t) => {
  const w = await world(t)
  await w.plugin('graph/first', ...graph('first'))
  await w.plugin(
    'runner',
    {
      kinds: [
        { kind: 'exec', name: 'oci', options: { additionalProperties: true } },
        { kind: 'exec', name: 'runc' },
      ],
    },
    `import { defineDriver } from 'tsd-engine/sdk'
     export default ['oci', 'runc'].map((name) => defineDriver({ kind: 'exec', name, create: async (ctx) => ({ who: () => name + ' ' + (ctx.options.path ?? '') }) }))`,
  )
  const manager = w.manager()
  await manager.start()
  const settings = {
    defaults: { volume: ['local'], network: ['bridge'], ipam: ['default'], exec: ['runc'], log: ['json-file'] },
    required: [],
  }
  const alias = (name: string, file: string) => ({ kind: 'exec' as const, name, driver: 'oci', options: { path: file } })
  const who = async (name: string): Promise<string> => {
    const lease = await manager.lease('exec', name, 'test')
    lease.release()
    return (lease.driver as unknown as { who(): string }).who()
  }
  t.is(await who('runc'), 'runc ')
  manager.reload({ ...settings, aliases: [alias('runc', '/own'), alias('kata', '/kata')] })
  t.deepEqual(await manager.names('exec'), ['kata', 'oci', 'runc'])
  t.is(await who('runc'), 'oci /own')
  const held = await manager.lease('exec', 'kata', 'container abc')
  manager.reload({ ...settings, aliases: [alias('kata', '/other')] })
  t.is(await who('kata'), 'oci /other')
  t.is((held.driver as unknown as { who(): string }).who(), 'oci /kata')
  t.is(await who('runc'), 'runc ', 'what a plugin brings is back')
  t.throws(() => manager.reload({ ...settings, aliases: [], required: ['exec/kata'] }), {
    message: /unknown or invalid runtime name: kata/,
  })
  t.is(await who('kata'), 'oci /other', 'a refused reload changes nothing')
  held.release()
  await manager.dispose()
})

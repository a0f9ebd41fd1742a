import 'reflect-metadata'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { conflict, notFound, systemError, type TsdError } from '../../sdk/errors.js'
import type { VolumeDriver } from '../../sdk/kinds/volume.js'
import type { Archiver } from '../../sdk/ports.js'
import type { Drivers, LedgerEntry, MetadataStore, RunLedger } from '../ports/index.js'
import { VolumesService } from './index.js'

/** A plugin that counts, as Docker's do: a second unmount of a mount would show. */
class CountingDriver implements VolumeDriver {
  readonly volumes = new Map<string, Record<string, string>>()
  readonly calls: string[] = []
  failing = false

  constructor(private readonly dir: string) {}

  private note(call: string): void {
    this.calls.push(call)
    if (this.failing) throw systemError('the storage is on fire')
  }
  async create(name: string, options: Record<string, string>): Promise<void> {
    this.note(`create ${name}`)
    this.volumes.set(name, options)
  }
  async remove(name: string): Promise<void> {
    this.note(`remove ${name}`)
    if (!this.volumes.delete(name)) throw conflict('gone')
  }
  async get(name: string): Promise<{ name: string; mountpoint: string } | undefined> {
    this.note(`get ${name}`)
    return this.volumes.has(name) ? { name, mountpoint: path.join(this.dir, name) } : undefined
  }
  async list(): Promise<{ name: string; mountpoint: string }[]> {
    this.note('list')
    return [...this.volumes.keys()].map((name) => ({ name, mountpoint: path.join(this.dir, name) }))
  }
  async path(name: string): Promise<string> {
    return path.join(this.dir, name)
  }
  async mount(name: string, holder: string): Promise<{ mountpoint: string }> {
    this.note(`mount ${name} ${holder}`)
    fs.mkdirSync(path.join(this.dir, name), { recursive: true })
    return { mountpoint: path.join(this.dir, name) }
  }
  async unmount(name: string, holder: string): Promise<void> {
    this.note(`unmount ${name} ${holder}`)
  }
  mounts(): string[] {
    return this.calls.filter((call) => call.includes('mount '))
  }
}

class MemoryLedger implements RunLedger {
  list: LedgerEntry[] = []
  intend(owner: string, resources: { kind: string; key: string; data?: Record<string, unknown> }[]): void {
    for (const resource of resources) this.list.push({ ...resource, owner, state: 'intent' })
  }
  fact(owner: string, resources: { kind: string; key: string; data?: Record<string, unknown> }[]): void {
    for (const { kind, key, data } of resources)
      for (const entry of this.list)
        if (entry.owner === owner && entry.kind === kind && entry.key === key)
          Object.assign(entry, { state: 'fact', data: { ...entry.data, ...data } })
  }
  released(owner: string, resources: { kind: string; key: string }[]): void {
    this.list = this.list.filter(
      (entry) => entry.owner !== owner || !resources.some(({ kind, key }) => kind === entry.kind && key === entry.key),
    )
  }
  entries(owner?: string): LedgerEntry[] {
    return this.list.filter((entry) => owner === undefined || entry.owner === owner)
  }
}

function setUp(t: ExecutionContext) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-volumes-'))
  t.teardown(() => fs.rmSync(dir, { recursive: true, force: true }))
  const available: Record<string, CountingDriver> = {
    local: new CountingDriver(path.join(dir, 'l')),
    other: new CountingDriver(path.join(dir, 'o')),
    foreign: new CountingDriver(path.join(dir, 'f')),
  }
  const documents = new Map<string, unknown>()
  const store: MetadataStore = {
    get: async <T>(key: string) => structuredClone(documents.get(key)) as T | undefined,
    list: async <T>(prefix: string) =>
      [...documents].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => ({ key, value: structuredClone(value) as T })),
    batch: async (operations) => {
      for (const operation of operations)
        if ('put' in operation) documents.set(operation.put, structuredClone(operation.value))
        else documents.delete(operation.del)
    },
  }
  const activated: ((name: string) => void)[] = []
  const drivers = {
    defaultName: () => 'local',
    lease: async (_kind: string, name: string) => {
      const driver = available[name]
      if (driver === undefined) throw notFound(`plugin "${name}" not found`)
      return { name, driver, crashOnly: name !== 'foreign', release: () => undefined }
    },
    active: (_kind: string, name: string) => available[name],
    list: async () => Object.keys(available).map((name) => ({ kind: 'volume', name, state: 'active' })),
    onActivate: (_kind: string, callback: (name: string) => void) => activated.push(callback),
  } as unknown as Drivers
  const ledger = new MemoryLedger()
  const events: string[] = []
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const archiver = {
    size: async () => 100,
    copy: async (from: string, into: string) => fs.promises.cp(from, into, { recursive: true }),
  } as unknown as Archiver
  const published = {
    publish: (type: string, action: string, id: string, attributes: Record<string, string>) =>
      events.push(`${type} ${action} ${id} ${JSON.stringify(attributes)}`),
    subscribe: () => {
      throw new Error('not here')
    },
    listeners: 0,
  }
  const clock = { now: () => 0, timestamp: () => '2024-05-06T07:08:09.123456789Z', nanoseconds: () => 0n }
  const make = (): VolumesService => new VolumesService(store, drivers, ledger, archiver, published, clock, logger)
  const [local, other] = [available.local as CountingDriver, available.other as CountingDriver]
  return { make, volumes: make(), local, other, available, ledger, events, activated, documents, dir }
}

const idOf = (ledger: RunLedger, holder: string): string => String(ledger.entries().find(({ key }) => key === holder)?.data?.['id'])

const request = (name: string, driver = '', more: { labels?: Record<string, string>; driverOpts?: Record<string, string> } = {}) => ({
  name,
  driver,
  driverOpts: {},
  labels: {},
  ...more,
})

test('creates once, answers what exists, refuses another driver', async (t) => {
  const { volumes, local, events } = setUp(t)
  const made = await volumes.create(request('data', 'local', { labels: { a: 'b' } }))
  t.like(made, { Name: 'data', Driver: 'local', Labels: { a: 'b' }, Options: null, Scope: 'local', CreatedAt: '2024-05-06T07:08:09Z' })
  t.deepEqual(await volumes.create(request('data', 'local')), made)
  t.deepEqual(await volumes.create(request('data')), made)
  t.deepEqual(
    local.calls.filter((call) => call.startsWith('create')),
    ['create data'],
  )
  const error = await t.throwsAsync<TsdError>(volumes.create(request('data', 'other')), {
    message: "create data: driver 'local' already has volume 'data': volume name must be unique",
  })
  t.is(error.category, 'Conflict')
  const unknown = await t.throwsAsync<TsdError>(volumes.create(request('x', 'nope')), {
    message: 'create x: error looking up volume plugin nope: plugin "nope" not found',
  })
  t.is(unknown.category, 'NotFound')
  t.deepEqual(events, ['volume create data {"driver":"local"}'])
})

test('anonymous volumes get an id and a label', async (t) => {
  const { volumes } = setUp(t)
  const { Name, Labels } = await volumes.create(request(''))
  t.regex(Name ?? '', /^[0-9a-f]{64}$/)
  t.deepEqual(Labels, { 'com.docker.volume.anonymous': '' })
})

test('a driver that has the volume already is not asked to create it', async (t) => {
  const { volumes, other } = setUp(t)
  other.volumes.set('old', {})
  t.like(await volumes.inspect('old'), { Name: 'old', Driver: 'other' })
  t.like(await volumes.create(request('old')), { Driver: 'other' })
  await volumes.create(request('old', 'other'))
  t.false(other.calls.includes('create old'))
  other.volumes.delete('old')
  await t.throwsAsync(volumes.inspect('old'), { message: 'get old: no such volume' })
})

test('a listing survives a failing driver', async (t) => {
  const { volumes, other } = setUp(t)
  await volumes.create(request('b', 'local'))
  await volumes.create(request('a', 'other', { labels: { x: '1' } }))
  other.failing = true
  const { Volumes, Warnings } = await volumes.list({})
  t.deepEqual(
    Volumes?.map(({ Name }) => Name),
    ['a', 'b'],
  )
  t.deepEqual(Warnings, ['error while listing volumes of driver other: the storage is on fire'])
  t.deepEqual((await volumes.list({ driver: ['local'] })).Warnings, null)
})

test('filters', async (t) => {
  const { volumes } = setUp(t)
  await volumes.create(request('web', 'local', { labels: { tier: 'front', x: '' } }))
  await volumes.create(request('web-db', 'other', { labels: { tier: 'back' } }))
  volumes.reference('web', 'c1')
  const names = async (filters: Record<string, string[]>): Promise<unknown[]> =>
    ((await volumes.list(filters)).Volumes ?? []).map(({ Name }) => Name)
  t.deepEqual(await names({ dangling: ['true'] }), ['web-db'])
  t.deepEqual(await names({ dangling: ['0'] }), ['web'])
  t.deepEqual(await names({ name: ['web'] }), ['web', 'web-db'])
  t.deepEqual(await names({ name: ['^web$', 'db'] }), ['web', 'web-db'])
  t.deepEqual(await names({ label: ['tier'] }), ['web', 'web-db'])
  t.deepEqual(await names({ label: ['tier=front', 'x'] }), ['web'])
  t.deepEqual(await names({ driver: ['other'] }), ['web-db'])
  await t.throwsAsync(names({ dangling: ['perhaps'] }), { message: "invalid filter 'dangling=[perhaps]'" })
  await t.throwsAsync(names({ nope: ['1'] }), { message: /^invalid filter 'nope'/ })
})

test('a volume in use stays; force forgets what its driver cannot remove', async (t) => {
  const { volumes, other, events, documents } = setUp(t)
  await volumes.create(request('data', 'other'))
  volumes.reference('data', 'c1')
  volumes.reference('data', 'c2')
  const error = await t.throwsAsync<TsdError>(volumes.remove('data', { force: true }), {
    message: 'remove data: volume is in use - [c1, c2]',
  })
  t.is(error.category, 'Conflict')
  volumes.unreference('data', 'c1')
  volumes.unreference('data', 'c2')
  other.failing = true
  await t.throwsAsync(volumes.remove('data', { force: false }), { message: 'remove data: the storage is on fire' })
  await volumes.remove('data', { force: true })
  t.deepEqual([...documents.keys()], [])
  other.failing = false
  other.volumes.clear()
  await volumes.remove('data', { force: true })
  await t.throwsAsync(volumes.remove('data', { force: false }), { message: 'get data: no such volume' })
  t.true(events.includes('volume destroy data {"driver":"other"}'))
})

test('prune takes anonymous and unused ones of this host, or all of them', async (t) => {
  const { volumes } = setUp(t)
  const { Name = '' } = await volumes.create(request(''))
  const used = await volumes.create(request(''))
  volumes.reference(used.Name ?? '', 'c1')
  await volumes.create(request('named', 'local', { labels: { keep: '1' } }))
  await volumes.create(request('remote', 'other'))
  t.deepEqual(await volumes.prune({}), { VolumesDeleted: [Name], SpaceReclaimed: 100 })
  t.deepEqual(await volumes.prune({ all: ['1'], 'label!': ['keep'] }), { VolumesDeleted: [], SpaceReclaimed: 0 })
  t.deepEqual((await volumes.prune({ all: ['true'] })).VolumesDeleted, ['named'])
})

test('one mount and one unmount per holder, across lives of the daemon', async (t) => {
  const { volumes, make, local, ledger, events } = setUp(t)
  await volumes.create(request('data'))
  const use = { name: 'data', holder: 'h1', attributes: { container: 'c1' } }
  const { mountpoint } = await volumes.mount(use, 'c1')
  t.deepEqual(await volumes.mount(use, 'c1'), { mountpoint })
  const id = idOf(ledger, 'h1')
  t.regex(id, /^[0-9a-f]{64}$/)
  t.like(ledger.entries('c1')[0], {
    kind: 'volume-mount',
    key: 'h1',
    state: 'fact',
    data: { volume: 'data', driver: 'local', id, mountpoint },
  })
  const next = make()
  await next.restore(() => true)
  t.deepEqual(await next.mount(use, 'c1'), { mountpoint })
  await next.unmount(use, 'c1')
  await next.unmount(use, 'c1')
  t.deepEqual(local.mounts(), [`mount data ${id}`, `unmount data ${id}`])
  t.deepEqual(
    events.filter((event) => event.includes('mount data')),
    ['volume mount data {"driver":"local","container":"c1"}', 'volume unmount data {"driver":"local","container":"c1"}'],
  )
})

test('after a kill dead owners lose their mounts, also those that were only intended', async (t) => {
  const { volumes, make, local, ledger } = setUp(t)
  await volumes.create(request('data'))
  await volumes.mount({ name: 'data', holder: 'h1' }, 'dead')
  await volumes.mount({ name: 'data', holder: 'h2' }, 'alive')
  ledger.intend('dead', [{ kind: 'volume-mount', key: 'h3', data: { volume: 'data', driver: 'local', id: 'i3' } }])
  const id = idOf(ledger, 'h1')
  await make().restore((owner) => owner === 'alive')
  t.deepEqual(
    local
      .mounts()
      .filter((call) => call.startsWith('unmount'))
      .sort(),
    [`unmount data ${id}`, 'unmount data i3'].sort(),
  )
  t.deepEqual(
    ledger.entries().map(({ key }) => key),
    ['h2'],
  )
})

test('what a driver out of reach holds is retried when it activates', async (t) => {
  const { volumes, make, other, available, ledger, activated } = setUp(t)
  await volumes.create(request('data', 'other'))
  await volumes.mount({ name: 'data', holder: 'h1' }, 'dead')
  const id = idOf(ledger, 'h1')
  delete available.other
  await make().restore(() => false)
  t.is(ledger.entries().length, 1)
  available.other = other
  for (const callback of activated) callback('other')
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.deepEqual(ledger.entries(), [])
  t.deepEqual(other.mounts(), [`mount data ${id}`, `unmount data ${id}`])
})

test('an error of an unmount is the end of it where the driver counts, and is retried where it does not', async (t) => {
  for (const [driver, left] of [
    ['foreign', 0],
    ['other', 1],
  ] as const) {
    const { volumes, available, ledger, activated, make } = setUp(t)
    const subject = available[driver] as CountingDriver
    await volumes.create(request('data', driver))
    await volumes.mount({ name: 'data', holder: 'h1' }, 'dead')
    subject.failing = true
    await make().restore(() => false)
    t.is(ledger.entries().length, left, driver)
    subject.failing = false
    for (const callback of activated) callback(driver)
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.deepEqual(ledger.entries(), [])
    t.is(subject.mounts().filter((call) => call.startsWith('unmount')).length, 1 + left, driver)
  }
})

test('content is copied into an empty volume only', async (t) => {
  const { volumes, dir } = setUp(t)
  const image = path.join(dir, 'image')
  fs.mkdirSync(image)
  fs.writeFileSync(path.join(image, 'index.html'), 'hi')
  await volumes.create(request('data'))
  await t.throwsAsync(volumes.populate('data', 'h1', image), { message: /must be mounted/ })
  const { mountpoint } = await volumes.mount({ name: 'data', holder: 'h1' }, 'c1')
  t.true(await volumes.populate('data', 'h1', image))
  t.is(fs.readFileSync(path.join(mountpoint, 'index.html'), 'utf8'), 'hi')
  t.false(await volumes.populate('data', 'h1', image))
})

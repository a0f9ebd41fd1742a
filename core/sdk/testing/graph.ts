import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { extract, pack, type Header } from 'tar-stream'
import { categoryOf } from '../errors.js'
import type { GraphDriver, LayerOptions } from '../kinds/graph.js'
import type { Mounter } from '../ports.js'

/** One driver and what it keeps. */
export interface GraphSubject {
  /** A new life of the driver on the same state, as after a kill. The last one is not used any more. */
  driver(): Promise<GraphDriver>
  mounter: Mounter
  /** An empty directory to mount in. */
  dir: string
  remove(): Promise<void>
}

interface Entry extends Partial<Header> {
  name: string
  content?: string
}

/** An uncompressed tar; entries are owned by root and of the epoch unless they say otherwise. */
async function tarOf(entries: Entry[]): Promise<Buffer> {
  const tar = pack()
  for (const { content = '', ...entry } of entries) {
    const type = entry.type ?? (entry.name.endsWith('/') ? 'directory' : 'file')
    const header = { mode: type === 'directory' ? 0o755 : 0o644, mtime: new Date(0), uid: 0, gid: 0, ...entry, type }
    if (type === 'file') tar.entry(header, Buffer.from(content))
    else tar.entry({ ...header, size: 0 })
  }
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function namesIn(tar: Readable): Promise<string[]> {
  const names: string[] = []
  for await (const entry of tar.pipe(extract())) {
    names.push(entry.header.name.replace(/\/$/, ''))
    entry.resume()
  }
  return names.filter((name) => name !== '.' && name !== '').sort()
}

async function refused(work: Promise<unknown>, ...categories: string[]): Promise<void> {
  try {
    await work
  } catch (error) {
    assert.ok(categories.includes(categoryOf(error)), `expected ${categories.join(' or ')}, got ${categoryOf(error)}: ${String(error)}`)
    return
  }
  assert.fail(`expected ${categories.join(' or ')}, but the call succeeded`)
}

const base: Entry[] = [
  { name: './', mode: 0o755 },
  { name: 'etc/' },
  { name: 'etc/keep', content: 'kept' },
  { name: 'etc/gone', content: 'gone' },
  { name: 'etc/changed', content: 'old' },
  { name: 'var/', mode: 0o1777 },
  { name: 'var/lower', content: 'lower' },
  { name: 'var/sub/' },
  { name: 'var/sub/file', content: 'x' },
  { name: 'bin/' },
  { name: 'bin/tool', content: 'tool', mode: 0o4755, uid: 12, gid: 34 },
  { name: 'bin/same', type: 'link', linkname: 'bin/tool' },
  { name: 'bin/symbolic', type: 'symlink', linkname: '../etc/keep' },
  { name: 'bin/null', type: 'character-device', devmajor: 1, devminor: 3, mode: 0o666 },
]

const above: Entry[] = [
  { name: 'etc/' },
  { name: 'etc/.wh.gone' },
  { name: 'etc/changed', content: 'new' },
  { name: 'var/', mode: 0o1777 },
  { name: 'var/.wh..wh..opq' },
  { name: 'var/upper', content: 'upper' },
]

/** The driver under test, made anew for every call. */
class Subject {
  readonly subject: GraphSubject
  private mounts = 0

  constructor(subject: GraphSubject) {
    this.subject = subject
  }

  async call<T>(work: (driver: GraphDriver) => Promise<T>): Promise<T> {
    return work(await this.subject.driver())
  }

  /** Twice, as after a lost reply. */
  async twice<T>(work: (driver: GraphDriver) => Promise<T>): Promise<T> {
    await this.call(work)
    return this.call(work)
  }

  async layer(id: string, parent: string | undefined, entries: Entry[]): Promise<void> {
    const tar = await tarOf(entries)
    await this.twice((driver) => driver.create(id, parent))
    await this.twice(async (driver) => driver.applyDiff?.(id, parent, Readable.from([tar])))
  }

  /** Base and what lies above it, with a writable layer on both. */
  async stack(writable: string): Promise<void> {
    await this.layer('base', undefined, base)
    await this.layer('above', 'base', above)
    await this.twice((driver) => driver.createReadWrite(writable, 'above'))
  }

  async mounted(id: string, work: (root: string) => Promise<void>): Promise<void> {
    const holder = `test-${id}-${this.mounts++}`
    const target = path.join(this.subject.dir, holder)
    const instructions = await this.twice((driver) => driver.prepare(id, holder))
    await fs.mkdir(target)
    await this.subject.mounter.mount(instructions, target)
    try {
      await work(target)
    } finally {
      await this.subject.mounter.unmount(target)
      await this.twice((driver) => driver.release(id, holder))
    }
  }
}

/** What every graph driver has to do. Parts of the contract that a driver leaves to the engine are not asked of it. */
export function testGraphDriver(register: (name: string, run: () => Promise<void>) => void, make: () => Promise<GraphSubject>): void {
  const test = (name: string, run: (subject: Subject) => Promise<void>): void =>
    register(`graph: ${name}`, async () => {
      const subject = await make()
      try {
        await run(new Subject(subject))
      } finally {
        await subject.remove()
      }
    })
  const read = (root: string, name: string): Promise<string> => fs.readFile(path.join(root, name), 'utf8')
  const lacks = async (method: keyof GraphDriver, subject: Subject): Promise<boolean> =>
    subject.call((driver) => Promise.resolve(driver[method] === undefined))

  test('layers are made, listed and removed, each call twice', async (subject) => {
    assert.deepEqual(await subject.call((driver) => driver.list()), [])
    await subject.twice((driver) => driver.create('one', undefined))
    await subject.twice((driver) => driver.create('two', 'one'))
    await subject.twice((driver) => driver.createReadWrite('three', 'two'))
    assert.deepEqual((await subject.call((driver) => driver.list())).sort(), ['one', 'three', 'two'])
    assert.equal(await subject.call((driver) => driver.exists('two')), true)
    for (const id of ['three', 'two', 'one']) await subject.twice((driver) => driver.remove(id))
    assert.deepEqual(await subject.call((driver) => driver.list()), [])
    assert.equal(await subject.call((driver) => driver.exists('two')), false)
  })

  test('what is not there is said, hostile ids are refused', async (subject) => {
    await refused(
      subject.call((driver) => driver.create('one', 'nowhere')),
      'NotFound',
    )
    await refused(
      subject.call((driver) => driver.prepare('nowhere', 'me')),
      'NotFound',
    )
    await refused(
      subject.call((driver) => driver.metadata('nowhere')),
      'NotFound',
    )
    await subject.call((driver) => driver.release('nowhere', 'me'))
    for (const id of ['', '..', '../x', 'a/b', 'A', 'x'.repeat(129)]) {
      await refused(
        subject.call((driver) => driver.create(id, undefined)),
        'InvalidParameter',
      )
      await refused(
        subject.call((driver) => driver.remove(id)),
        'InvalidParameter',
      )
    }
    const options: LayerOptions = { storageOpt: { nonsense: '1' } }
    await refused(
      subject.call((driver) => driver.createReadWrite('rw', undefined, options)),
      'InvalidParameter',
    )
    assert.deepEqual(await subject.call((driver) => driver.list()), [])
  })

  test('a writable layer has one holder, a read-only one many', async (subject) => {
    await subject.call((driver) => driver.create('one', undefined))
    await subject.call((driver) => driver.createReadWrite('rw', 'one'))
    await subject.twice((driver) => driver.prepare('rw', 'me'))
    await refused(
      subject.call((driver) => driver.prepare('rw', 'you')),
      'Conflict',
    )
    await refused(
      subject.call((driver) => driver.remove('rw')),
      'Conflict',
    )
    await subject.twice((driver) => driver.release('rw', 'you'))
    await refused(
      subject.call((driver) => driver.prepare('rw', 'you')),
      'Conflict',
    )
    await subject.twice((driver) => driver.release('rw', 'me'))
    await subject.call((driver) => driver.prepare('rw', 'you'))
    await subject.call((driver) => driver.release('rw', 'you'))
    await subject.call((driver) => driver.remove('rw'))
    for (const holder of ['me', 'you']) await subject.call((driver) => driver.prepare('one', holder))
    await subject.call((driver) => driver.release('one', 'me'))
    await refused(
      subject.call((driver) => driver.remove('one')),
      'Conflict',
    )
    await subject.call((driver) => driver.release('one', 'you'))
    await subject.call((driver) => driver.remove('one'))
  })

  test('layers lie on top of each other, with owners, modes, links and devices', async (subject) => {
    if (await lacks('applyDiff', subject)) return
    await subject.stack('rw')
    await subject.mounted('rw', async (root) => {
      assert.deepEqual((await fs.readdir(path.join(root, 'etc'))).sort(), ['changed', 'keep'])
      assert.equal(await read(root, 'etc/changed'), 'new')
      assert.deepEqual(await fs.readdir(path.join(root, 'var')), ['upper'])
      const tool = await fs.stat(path.join(root, 'bin/tool'))
      assert.deepEqual([tool.mode & 0o7777, tool.uid, tool.gid, tool.mtimeMs], [0o4755, 12, 34, 0])
      assert.equal((await fs.stat(path.join(root, 'bin/same'))).ino, tool.ino)
      assert.equal(await fs.readlink(path.join(root, 'bin/symbolic')), '../etc/keep')
      const device = await fs.stat(path.join(root, 'bin/null'))
      assert.ok(device.isCharacterDevice() && device.rdev === 0x103)
      assert.equal((await fs.stat(path.join(root, 'var'))).mode & 0o7777, 0o1777)
    })
    await subject.mounted('base', async (root) => {
      assert.equal(await read(root, 'etc/changed'), 'old')
      assert.equal(await read(root, 'var/lower'), 'lower')
      await assert.rejects(fs.writeFile(path.join(root, 'x'), ''), 'a layer of an image must be read-only')
    })
  })

  test('what is written stays in its layer', async (subject) => {
    if (await lacks('applyDiff', subject)) return
    await subject.stack('rw')
    await subject.call((driver) => driver.createReadWrite('other', 'above'))
    await subject.mounted('rw', async (root) => fs.writeFile(path.join(root, 'etc/keep'), 'written'))
    await subject.mounted('rw', async (root) => assert.equal(await read(root, 'etc/keep'), 'written'))
    await subject.mounted('other', async (root) => assert.equal(await read(root, 'etc/keep'), 'kept'))
  })

  async function edit(root: string): Promise<void> {
    await fs.writeFile(path.join(root, 'etc/keep'), 'changed')
    await fs.rm(path.join(root, 'etc/changed'))
    await fs.mkdir(path.join(root, 'new'))
    await fs.writeFile(path.join(root, 'new/file'), '12345')
    await fs.rm(path.join(root, 'var'), { recursive: true })
    await fs.mkdir(path.join(root, 'var'))
    await fs.writeFile(path.join(root, 'var/again'), '')
  }

  test('changes are told by kind and path', async (subject) => {
    if ((await lacks('changes', subject)) || (await lacks('applyDiff', subject))) return
    await subject.stack('rw')
    await subject.mounted('rw', edit)
    const changes = await subject.twice(async (driver) => driver.changes?.('rw', 'above'))
    const told = new Set(changes?.map(({ kind, path: at }) => `${kind} ${at}`))
    for (const change of ['modify /etc', 'modify /etc/keep', 'delete /etc/changed', 'add /new', 'add /new/file', 'add /var/again'])
      assert.ok(told.has(change), `${change} is missing in ${[...told].join(', ')}`)
    assert.ok(![...told].some((change) => change.includes('/bin')), 'what did not change is told as changed')
  })

  test('a diff put on another layer gives the same tree', async (subject) => {
    if ((await lacks('diff', subject)) || (await lacks('applyDiff', subject))) return
    await subject.stack('rw')
    await subject.mounted('rw', edit)
    const diff = async (): Promise<Readable> => (await subject.call(async (driver) => driver.diff?.('rw', 'above'))) as Readable
    const names = await namesIn(await diff())
    assert.ok(names.includes('etc/.wh.changed') && names.includes('new/file'), names.join(' '))
    await subject.call((driver) => driver.create('copy', 'above'))
    const tar = await diff()
    await subject.call(async (driver) => driver.applyDiff?.('copy', 'above', tar))
    await subject.mounted('copy', async (root) => {
      assert.deepEqual((await fs.readdir(path.join(root, 'etc'))).sort(), ['keep'])
      assert.equal(await read(root, 'etc/keep'), 'changed')
      assert.equal(await read(root, 'new/file'), '12345')
      assert.deepEqual(await fs.readdir(path.join(root, 'var')), ['again'])
      assert.equal(await read(root, 'bin/tool'), 'tool')
    })
  })

  test('sizes count what a layer adds', async (subject) => {
    if ((await lacks('diffSize', subject)) || (await lacks('applyDiff', subject))) return
    await subject.stack('rw')
    assert.equal(await subject.call(async (driver) => driver.diffSize?.('rw', 'above')), 0)
    await subject.mounted('rw', async (root) => fs.writeFile(path.join(root, 'big'), Buffer.alloc(100_000)))
    assert.equal(await subject.call(async (driver) => driver.diffSize?.('rw', 'above')), 100_000)
  })

  test('a broken archive leaves no half layer behind', async (subject) => {
    if (await lacks('applyDiff', subject)) return
    const whole = await tarOf(base)
    await subject.call((driver) => driver.create('one', undefined))
    const broken = Readable.from([whole.subarray(0, whole.length - 2500)])
    await refused(
      subject.call(async (driver) => driver.applyDiff?.('one', undefined, broken)),
      'InvalidParameter',
    )
    const cut = Readable.from(
      (async function* () {
        yield whole
        throw new Error('the sender found a wrong digest')
      })(),
    )
    await assert.rejects(
      subject.call(async (driver) => driver.applyDiff?.('one', undefined, cut)),
      /wrong digest/,
    )
    await subject.mounted('one', async (root) => assert.deepEqual(await fs.readdir(root), []))
    await subject.call(async (driver) => driver.applyDiff?.('one', undefined, Readable.from([whole])))
    await subject.mounted('one', async (root) => assert.equal(await read(root, 'etc/keep'), 'kept'))
  })

  test('twenty layers', async (subject) => {
    if (await lacks('applyDiff', subject)) return
    for (let at = 0; at < 20; at++)
      await subject.layer(`l${at}`, at === 0 ? undefined : `l${at - 1}`, [{ name: `file${at}`, content: String(at) }])
    await subject.call((driver) => driver.createReadWrite('rw', 'l19'))
    await subject.mounted('rw', async (root) => assert.equal((await fs.readdir(root)).length, 20))
  })

  test('status and metadata are text', async (subject) => {
    await subject.call((driver) => driver.createReadWrite('rw', undefined))
    for (const row of await subject.call((driver) => driver.status()))
      assert.ok(row.length === 2 && row.every((cell) => typeof cell === 'string'))
    const metadata = await subject.call((driver) => driver.metadata('rw'))
    assert.ok(Object.values(metadata).every((value) => typeof value === 'string'))
    await subject.mounted('rw', async (root) => fs.writeFile(path.join(root, 'x'), ''))
  })
}

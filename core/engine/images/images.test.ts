import 'reflect-metadata'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import type { ExecutionContext } from 'ava'
import { hostMounter } from '../../../test/fixtures/graph.js'
import { imageEngine, type ImageEngine } from '../../../test/fixtures/image-engine.js'
import { busyboxImage, mountsBelow, needs, tarOf, type TarEntry } from '../../../test/fixtures/root.js'
import { categoryOf, type ErrorCategory } from '../../sdk/errors.js'
import type { ProgressMessage } from './index.js'

const imageTest = needs('root', 'overlay', 'busybox')
const signal = new AbortController().signal
const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')

async function load({ images }: ImageEngine, tar: Buffer | Readable, quiet = true): Promise<ProgressMessage[]> {
  const messages: ProgressMessage[] = []
  for await (const message of images.load(tar instanceof Readable ? tar : Readable.from([tar]), { quiet, signal })) messages.push(message)
  return messages
}

const streams = (messages: ProgressMessage[]): string[] => messages.flatMap(({ stream }) => (stream === undefined ? [] : [stream.trim()]))

async function refused(
  t: ExecutionContext,
  work: Promise<unknown>,
  message: RegExp,
  category: ErrorCategory = 'InvalidParameter',
): Promise<void> {
  const error = await t.throwsAsync(work, { message })
  t.is(categoryOf(error), category)
}

/** Nothing of a failed load remains. */
async function empty(t: ExecutionContext, at: ImageEngine): Promise<void> {
  t.is(await at.images.count(), 0)
  t.deepEqual(await at.driver.list(), [])
  t.deepEqual(fs.readdirSync(path.join(at.dir, 'content/ingest')), ['partial'])
}

const small = (options: Parameters<typeof busyboxImage>[0] = {}): Promise<Buffer> =>
  busyboxImage({ scratch: true, files: [{ name: 'file', content: 'content' }], ...options })

/** An image archive in docker save's format with the parts given, true or not. */
async function saved(parts: { layer?: Buffer; config?: unknown; manifest?: unknown; extra?: TarEntry[] }): Promise<Buffer> {
  const layer = parts.layer ?? (await tarOf([{ name: 'x', content: 'x' }]))
  const config = parts.config ?? { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] } }
  const manifest = parts.manifest ?? [{ Config: 'config.json', RepoTags: ['evil:latest'], Layers: ['layer.tar'] }]
  return tarOf([
    { name: 'config.json', content: JSON.stringify(config) },
    { name: 'layer.tar', content: layer },
    { name: 'manifest.json', content: JSON.stringify(manifest) },
    ...(parts.extra ?? []),
  ])
}

imageTest('load, inspect, list; again after a restart', async (t) => {
  let at = await imageEngine(t)
  const tar = await busyboxImage({
    tag: 'busybox:1',
    config: { Cmd: ['sh', '-c', 'x'], Labels: { a: 'b' } },
    files: [{ name: 'etc/extra', content: 'x' }],
  })
  const messages = await load(at, tar, false)
  t.deepEqual(streams(messages), ['Loaded image: busybox:1'])
  t.is(messages.filter(({ status }) => status === 'Loading layer').length, 4)
  t.deepEqual(streams(await load(at, gzipSync(tar))), ['Loaded image: busybox:1'])
  at = await at.restart()
  await at.images.reconcile()
  await at.layers.reconcile(new Set())
  const inspected = await at.images.inspect('busybox:1')
  t.deepEqual(inspected.RepoTags, ['busybox:1'])
  t.deepEqual(inspected.Config?.Cmd, ['sh', '-c', 'x'])
  t.is(inspected.RootFS?.Layers?.length, 2)
  t.regex(inspected.GraphDriver?.Data?.['LowerDir'] ?? '', /diff$/)
  t.true((inspected.Size ?? 0) > 500_000)
  const id = inspected.Id ?? ''
  for (const name of [id, id.slice(7), id.slice(7, 19), 'docker.io/library/busybox:1']) t.is((await at.images.resolve(name)).id, id)
  await refused(t, at.images.resolve('busybox'), /^No such image: busybox:latest$/, 'NotFound')
  t.is((await at.images.list({ all: false, digests: false, filters: { label: ['a=b'], reference: ['busy*'] } })).length, 1)
  t.is((await at.images.list({ all: false, digests: false, filters: { label: ['a=c'] } })).length, 0)
  t.is((await at.images.list({ all: false, digests: false, filters: { dangling: ['true'] } })).length, 0)
  await refused(t, at.images.list({ all: false, digests: false, filters: { nonsense: ['x'] } }), /invalid filter 'nonsense'/)
})

imageTest('an OCI layout, and the layout that we keep, load as well', async (t) => {
  const at = await imageEngine(t)
  const layer = gzipSync(await tarOf([{ name: 'x', content: 'x' }]))
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { User: 'me' },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(await tarOf([{ name: 'x', content: 'x' }]))}`] },
  })
  const describe = (mediaType: string, data: Buffer | string, more = {}) => ({
    mediaType,
    digest: `sha256:${sha256(data)}`,
    size: Buffer.byteLength(data),
    ...more,
  })
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: describe('application/vnd.oci.image.config.v1+json', config),
    layers: [describe('application/vnd.oci.image.layer.v1.tar+gzip', layer)],
  })
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const nested = JSON.stringify({
    schemaVersion: 2,
    manifests: [
      describe('application/vnd.oci.image.manifest.v1+json', 'absent', { platform: { os: 'linux', architecture: 'mips' } }),
      describe('application/vnd.oci.image.manifest.v1+json', manifest, { platform: { os: 'linux', architecture } }),
    ],
  })
  const index = JSON.stringify({
    schemaVersion: 2,
    manifests: [
      describe('application/vnd.oci.image.index.v1+json', nested, {
        annotations: { 'io.containerd.image.name': 'docker.io/library/oci:1' },
      }),
    ],
  })
  const blob = (data: Buffer | string): TarEntry => ({ name: `blobs/sha256/${sha256(data)}`, content: data })
  const tar = await tarOf([
    { name: 'index.json', content: index },
    { name: 'oci-layout', content: '{}' },
    ...[layer, config, manifest, nested].map(blob),
  ])
  t.deepEqual(streams(await load(at, tar)), ['Loaded image: oci:1'])
  t.is((await at.images.resolve('oci:1')).config.User, 'me')
  // What is kept is a layout by itself.
  const content = path.join(at.dir, 'content')
  const kept: TarEntry[] = [
    'index.json',
    'oci-layout',
    ...fs.readdirSync(path.join(content, 'blobs/sha256')).map((name) => `blobs/sha256/${name}`),
  ].map((name) => ({
    name,
    content: fs.readFileSync(path.join(content, name)),
  }))
  const other = await imageEngine(t)
  t.deepEqual(streams(await load(other, await tarOf(kept))), ['Loaded image: oci:1'])
  t.is((await other.images.resolve('oci:1')).id, (await at.images.resolve('oci:1')).id)
})

imageTest('links between layers of old docker save are followed', async (t) => {
  const at = await imageEngine(t)
  const layer = await tarOf([{ name: 'x', content: 'x' }])
  const diff = `sha256:${sha256(layer)}`
  const tar = await saved({
    layer,
    config: { os: 'linux', rootfs: { type: 'layers', diff_ids: [diff, diff] } },
    manifest: [{ Config: 'config.json', RepoTags: null, Layers: ['layer.tar', 'second/layer.tar'] }],
    extra: [{ name: 'second/layer.tar', type: 'symlink', linkname: '../layer.tar' }],
  })
  t.regex(streams(await load(at, tar))[0] ?? '', /^Loaded image ID: sha256:/)
  t.is((await at.images.list({ all: false, digests: false, filters: { dangling: ['true'] } })).length, 1)
})

imageTest('hostile archives are refused and leave nothing', async (t) => {
  const at = await imageEngine(t)
  const layer = await tarOf([{ name: 'x', content: 'x' }])
  const good = { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] }
  const cases: [Buffer, RegExp][] = [
    [Buffer.alloc(0), /empty/],
    [Buffer.from('no tar'.repeat(1000)), /invalid image archive/i],
    [gzipSync(await small()).subarray(0, 200), /gzip|invalid image archive/],
    [(await small()).subarray(0, 3000), /invalid image archive/],
    [await tarOf([{ name: 'x', content: 'x' }]), /neither manifest.json/],
    [await saved({ manifest: { not: 'an array' } }), /manifest.json must be an array/],
    [await saved({ manifest: [{ Config: '../../../etc/passwd', Layers: [] }] }), /which is not in it/],
    [await saved({ manifest: [{ Config: 'config.json', RepoTags: ['NOT:a:name'], Layers: ['layer.tar'] }] }), /reference format|lowercase/],
    [
      await saved({
        extra: [
          { name: 'a', type: 'symlink', linkname: 'b' },
          { name: 'b', type: 'symlink', linkname: 'a' },
        ],
        manifest: [{ Config: 'a', Layers: [] }],
      }),
      /leads nowhere/,
    ],
    [
      await saved({ config: { os: 'linux', rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] } } }),
      /invalid diffID: expected "sha256:0+", got/,
    ],
    [await saved({ config: { os: 'windows', rootfs: good } }), /cannot load windows image on linux/],
    [await saved({ config: { os: 'linux', rootfs: { type: 'layers', diff_ids: [] } } }), /layers length mismatch: expected 0, got 1/],
    [await saved({ config: { os: 'linux', rootfs: { type: 'layers', diff_ids: ['sha256:../../x'] } } }), /no sha256 digest/],
    [await saved({ config: { os: 'linux', config: { Env: 'A=1' }, rootfs: good } }), /image.config.Env must be an array of strings/],
    [await saved({ config: { os: 'linux', config: { Labels: { a: 1 } }, rootfs: good } }), /Labels must be a map of strings/],
    [await saved({ config: [] }), /must be an object/],
    [
      await saved({
        config: { rootfs: { type: 'layers', diff_ids: [`sha256:${sha256('junk'.repeat(500))}`] } },
        layer: Buffer.from('junk'.repeat(500)),
      }),
      /archive/,
    ],
  ]
  for (const [tar, message] of cases) await refused(t, load(at, tar), message)
  const outside = await tarOf([{ name: '../../../../escaped', content: 'x' }])
  await refused(t, load(at, await saved({ layer: outside })), /leads out of the root/)
  const zipped = gzipSync(layer)
  const cut = zipped.subarray(0, zipped.length - 12)
  await refused(t, load(at, await saved({ layer: cut, config: { os: 'linux', rootfs: good } })), /truncated|gzip/)
  await empty(t, at)
  t.deepEqual(fs.readdirSync(path.join(at.dir, 'content/blobs/sha256')), [])
  // A blob that pretends to be a known layer is found out.
  await load(at, await saved({ layer }))
  const fake = gzipSync(await tarOf([{ name: 'x', content: 'fake' }]))
  await refused(t, load(at, await saved({ layer: fake, config: { os: 'linux', author: 'evil', rootfs: good } })), /invalid diffID/)
  t.is(await at.images.count(), 1)
})

imageTest('tag and remove follow Docker', async (t) => {
  const at = await imageEngine(t)
  await load(at, await small({ tag: 'one:latest' }))
  const { id } = await at.images.resolve('one')
  await at.images.tag('one', 'two', '')
  await at.images.tag('one', 'localhost:5000/three', 'x')
  await refused(t, at.images.tag('one', 'NOT', 'x'), /lowercase|reference/)
  await refused(t, at.images.tag('absent', 'x', ''), /No such image: absent:latest/, 'NotFound')
  await refused(
    t,
    at.images.remove(id, { force: false, noPrune: false }),
    /unable to delete \w{12} \(must be forced\) - image is referenced in multiple repositories/,
    'Conflict',
  )
  t.deepEqual(await at.images.remove('two', { force: false, noPrune: false }), [{ Untagged: 'two:latest' }])
  at.images.usedBy = () => [{ containerId: 'c'.repeat(64), running: false }]
  await at.images.remove('localhost:5000/three:x', { force: false, noPrune: false })
  await refused(
    t,
    at.images.remove('one', { force: false, noPrune: false }),
    /unable to remove repository reference "one" \(must force\) - container cccccccccccc is using its referenced image/,
    'Conflict',
  )
  await refused(
    t,
    at.images.remove(id, { force: false, noPrune: false }),
    /\(must be forced\) - image is being used by stopped container cccccccccccc/,
    'Conflict',
  )
  at.images.usedBy = () => [{ containerId: 'c'.repeat(64), running: true }]
  await refused(
    t,
    at.images.remove(id, { force: true, noPrune: false }),
    /\(cannot be forced\) - image is being used by running container cccccccccccc/,
    'Conflict',
  )
  t.deepEqual(await at.images.remove('one', { force: true, noPrune: false }), [{ Untagged: 'one:latest' }])
  t.is((await at.images.list({ all: false, digests: false, filters: { dangling: ['1'] } })).length, 1)
  at.images.usedBy = () => []
  const removed = await at.images.remove(id.slice(7, 20), { force: false, noPrune: false })
  t.deepEqual(removed[0], { Deleted: id })
  t.regex(removed[1]?.Deleted ?? '', /^sha256:/)
  await empty(t, at)
  t.deepEqual(fs.readdirSync(path.join(at.dir, 'content/blobs/sha256')), [])
  t.deepEqual(
    at.events.map((event) => event.split(' ').slice(0, 2).join(' ')),
    ['image load', 'image tag', 'image tag', 'image untag', 'image untag', 'image untag', 'image delete'],
  )
})

imageTest('a tag that moves names the image that lost it', async (t) => {
  const at = await imageEngine(t)
  await load(at, await small({ tag: 'same:1' }))
  const { id } = await at.images.resolve('same:1')
  const messages = streams(await load(at, await small({ tag: 'same:1', config: { User: 'other' } })))
  t.is(messages[0], `The image same:1 already exists, renaming the old one with ID ${id} to empty string`)
  t.is(await at.images.count(), 2)
})

imageTest('containers keep layers that their image has left', async (t) => {
  let at = await imageEngine(t)
  await load(at, await small())
  const { id, topLayer } = await at.images.resolve('busybox')
  await Promise.all([1, 2, 3].map(() => at.layers.createContainerLayer('c1', topLayer, {})))
  t.deepEqual(await at.layers.containerSizes('c1', topLayer), { rw: 0, rootFs: 7 })
  await at.images.remove(id, { force: true, noPrune: false })
  t.deepEqual((await at.driver.list()).sort(), ['c1', topLayer ?? ''].sort())
  at = await at.restart()
  await at.layers.reconcile(new Set(['c1']))
  const [mount] = await at.driver.prepare('c1', 'me')
  const target = path.join(at.dir, 'm')
  fs.mkdirSync(target)
  await hostMounter.mount(mount === undefined ? [] : [mount], target)
  t.is(fs.readFileSync(path.join(target, 'file'), 'utf8'), 'content')
  fs.writeFileSync(path.join(target, 'new'), '123')
  await hostMounter.unmount(target)
  await at.driver.release('c1', 'me')
  t.deepEqual(await at.layers.containerChanges('c1'), [{ path: '/new', kind: 'add' }])
  await at.layers.removeContainerLayer('c1')
  await at.layers.removeContainerLayer('c1')
  t.deepEqual(await at.driver.list(), [])
})

imageTest('what a killed daemon left is collected, what is needed stays', async (t) => {
  let at = await imageEngine(t)
  await load(at, await small())
  const { topLayer } = await at.images.resolve('busybox')
  await at.driver.create('0'.repeat(64), topLayer)
  await at.driver.createReadWrite('orphan', topLayer)
  fs.writeFileSync(path.join(at.dir, 'content/blobs/sha256', '1'.repeat(64)), 'x')
  fs.mkdirSync(path.join(at.dir, 'content/ingest/load-x'))
  at = await at.restart()
  await at.images.reconcile()
  await at.layers.reconcile(new Set())
  t.deepEqual(await at.driver.list(), [topLayer ?? ''])
  t.false(fs.existsSync(path.join(at.dir, 'content/blobs/sha256', '1'.repeat(64))))
  t.deepEqual(fs.readdirSync(path.join(at.dir, 'content/ingest')), ['partial'])
  t.is((await at.images.resolve('busybox')).topLayer, topLayer)
})

imageTest('after a change of the graph driver layers come back from the content', async (t) => {
  let at = await imageEngine(t)
  await load(at, await small())
  const { dir } = at
  await at.close()
  at = await imageEngine(t, { dir, name: 'vfs' })
  const { topLayer } = await at.images.resolve('busybox')
  t.deepEqual(await at.driver.list(), [topLayer ?? ''])
  await at.layers.reconcile(new Set())
  t.deepEqual(await at.driver.list(), [topLayer ?? ''])
  t.is((await at.images.inspect('busybox')).GraphDriver?.Name, 'vfs')
})

imageTest('a driver without diffs gets them from the engine', async (t) => {
  const at = await imageEngine(t, { name: 'vfs', strip: ['applyDiff', 'diff', 'changes', 'diffSize'] })
  await load(at, await busyboxImage({ files: [{ name: 'etc/.wh.hostname' }, { name: 'etc/extra', content: 'x' }] }))
  const { topLayer } = await at.images.resolve('busybox')
  await at.layers.createContainerLayer('c1', topLayer, {})
  const [mount] = await at.driver.prepare('c1', 'me')
  const target = path.join(at.dir, 'm')
  fs.mkdirSync(target)
  await hostMounter.mount(mount === undefined ? [] : [mount], target)
  t.true(fs.existsSync(path.join(target, 'bin/busybox')))
  t.false(fs.existsSync(path.join(target, 'etc/hostname')))
  fs.rmSync(path.join(target, 'etc/extra'))
  fs.writeFileSync(path.join(target, 'new'), '12345')
  await hostMounter.unmount(target)
  await at.driver.release('c1', 'me')
  t.deepEqual(await at.layers.containerChanges('c1'), [
    { path: '/etc', kind: 'modify' },
    { path: '/etc/extra', kind: 'delete' },
    { path: '/new', kind: 'add' },
  ])
  t.deepEqual(mountsBelow(at.dir), [])
})

imageTest('concurrent loads of the same image share their layers', async (t) => {
  const at = await imageEngine(t)
  const tar = await small()
  await Promise.all([1, 2, 3, 4].map(() => load(at, tar)))
  t.is(await at.images.count(), 1)
  t.is((await at.driver.list()).length, 1)
  await at.images.remove('busybox', { force: false, noPrune: false })
  await empty(t, at)
})

imageTest('import makes an image of a root file system', async (t) => {
  const at = await imageEngine(t)
  const rootfs = gzipSync(
    await tarOf([
      { name: 'bin/', type: 'directory' },
      { name: 'bin/x', content: 'x' },
    ]),
  )
  const messages: ProgressMessage[] = []
  const options = {
    repo: 'imported',
    tag: 'v1',
    message: 'from a test',
    platform: '',
    signal,
    changes: ['CMD ["/bin/x"]', 'ENV A=1 B="2 3"', 'EXPOSE 80', 'USER nobody', 'WORKDIR /tmp', 'LABEL k=v'],
  }
  for await (const message of at.images.import(Readable.from([rootfs]), options)) messages.push(message)
  const image = await at.images.inspect('imported:v1')
  t.is(messages[0]?.status ?? '', image.Id ?? '')
  t.deepEqual(
    [image.Config?.Cmd, image.Config?.Env, image.Config?.User, image.Config?.WorkingDir],
    [['/bin/x'], ['A=1', 'B=2 3'], 'nobody', '/tmp'],
  )
  t.deepEqual(Object.keys(image.Config?.ExposedPorts ?? {}), ['80/tcp'])
  t.is(image.Comment, 'from a test')
  const bad = at.images.import(Readable.from([rootfs]), { ...options, changes: ['RUN x'] })
  await refused(t, bad.next(), /RUN is not a valid change command/)
})

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import type { ExecutionContext } from 'ava'
import type { TestDaemon } from '../fixtures/daemon.js'
import { busyboxImage, tarOf } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

interface ImageInspect {
  Id: string
  RepoTags: string[]
  RepoDigests: string[]
  Architecture: string
  Os: string
  Size: number
  Config: {
    Cmd: string[] | null
    Env: string[]
    Labels: Record<string, string> | null
    User?: string
    ExposedPorts?: Record<string, unknown>
    WorkingDir?: string
  }
  RootFS: { Type: string; Layers: string[] }
  GraphDriver: { Name: string; Data: Record<string, string> }
}

const inspect = async (d: TestDaemon, name: string): Promise<ImageInspect> =>
  (await d.api('GET', `/images/${name}/json`)).json<ImageInspect>()

async function fails(t: ExecutionContext, d: TestDaemon, pattern: RegExp, ...args: string[]): Promise<void> {
  const { code, stderr } = await d.docker(...args)
  t.not(code, 0, args.join(' '))
  t.regex(stderr, pattern)
}

function file(d: TestDaemon, name: string, data: Buffer): string {
  const target = path.join(d.dir, name)
  fs.writeFileSync(target, data)
  return target
}

const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')
const layersOf = (d: TestDaemon): string[] =>
  fs
    .readdirSync(path.join(d.dataRoot, 'overlay2'))
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .sort()
const blobsOf = (d: TestDaemon): string[] => fs.readdirSync(path.join(d.dataRoot, 'content/blobs/sha256')).sort()

daemonTest('docker load takes an archive, plain or compressed, and says what came', async (t, d) => {
  const plain = file(
    d,
    'plain.tar',
    await busyboxImage({ tag: 'shop/box:1', files: [{ name: 'hello', content: 'hi\n' }], config: { Labels: { a: 'b' }, User: 'daemon' } }),
  )
  t.regex(await d.ok('load', '-i', plain), /^Loaded image: shop\/box:1$/m)
  const image = await inspect(d, 'shop/box:1')
  t.regex(image.Id, /^sha256:[0-9a-f]{64}$/)
  t.deepEqual(image.RepoTags, ['shop/box:1'])
  t.is(image.Os, 'linux')
  t.is(image.RootFS.Type, 'layers')
  t.is(image.RootFS.Layers.length, 2)
  t.deepEqual([image.Config.Labels, image.Config.User], [{ a: 'b' }, 'daemon'])
  t.is(image.GraphDriver.Name, 'overlay2')
  t.true(image.Size > 1_000_000)
  t.is(await d.ok('run', '--rm', 'shop/box:1', 'sh', '-c', 'cat /hello; id -un'), 'hi\ndaemon')
  const zipped = file(d, 'zipped.tar.gz', gzipSync(await busyboxImage({ tag: 'zipped:1', files: [{ name: 'z', content: 'z' }] })))
  t.regex(await d.ok('load', '-q', '-i', zipped), /Loaded image: zipped:1/)
  t.is(await d.ok('run', '--rm', 'zipped:1', 'cat', '/z'), 'z')
  const again = await d.ok('load', '-i', plain)
  t.regex(again, /Loaded image: shop\/box:1/)
  await d.ok('rmi', 'shop/box:1', 'zipped:1')
})

daemonTest('an OCI layout with compressed layers is loaded by its names', async (t, d) => {
  const layer = await tarOf([{ name: 'from', content: 'oci\n' }])
  const base = await inspect(d, 'busybox')
  t.is(base.RootFS.Layers.length, 1)
  const zipped = gzipSync(layer)
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Cmd: ['/x'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
  })
  const described = (data: Buffer | string, mediaType: string): Record<string, unknown> => ({
    mediaType,
    digest: `sha256:${sha256(data)}`,
    size: Buffer.byteLength(data),
  })
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: described(config, 'application/vnd.oci.image.config.v1+json'),
    layers: [described(zipped, 'application/vnd.oci.image.layer.v1.tar+gzip')],
  })
  const entry = {
    ...described(manifest, 'application/vnd.oci.image.manifest.v1+json'),
    annotations: { 'io.containerd.image.name': 'docker.io/library/oci:1', 'org.opencontainers.image.ref.name': '1' },
  }
  const archive = await tarOf([
    { name: 'oci-layout', content: '{"imageLayoutVersion": "1.0.0"}' },
    { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests: [entry] }) },
    ...[zipped, config, manifest].map((content) => ({ name: `blobs/sha256/${sha256(content)}`, content })),
  ])
  t.regex(await d.ok('load', '-i', file(d, 'oci.tar', archive)), /Loaded image: oci:1/)
  const image = await inspect(d, 'oci:1')
  t.is(image.Id, `sha256:${sha256(config)}`)
  t.is(fs.readFileSync(path.join(image.GraphDriver.Data['UpperDir'] ?? '', 'from'), 'utf8'), 'oci\n')
  t.true(blobsOf(d).includes(sha256(zipped)), 'kept byte for byte')
  await d.ok('rmi', 'oci:1')
  t.false(blobsOf(d).includes(sha256(zipped)))
})

daemonTest('docker import makes an image of a tar, with changes and message', async (t, d) => {
  const { GraphDriver } = await inspect(d, 'busybox')
  const tar = path.join(d.dir, 'rootfs.tar')
  t.is((await d.host('tar', '-C', GraphDriver.Data['UpperDir'] ?? '', '-cf', tar, '.')).code, 0)
  const changes = [
    'CMD ["echo", "imported"]',
    'ENV A=1 B="two words"',
    'LABEL k=v',
    'EXPOSE 80 81/udp',
    'WORKDIR /tmp',
    'USER daemon',
    'VOLUME /vol',
  ]
  const id = await d.ok('import', '-m', 'a message', ...changes.flatMap((change) => ['--change', change]), tar, 'imp:1')
  const image = await inspect(d, 'imp:1')
  t.is(image.Id, id)
  t.deepEqual(image.Config.Cmd, ['echo', 'imported'])
  t.deepEqual(image.Config.Env, ['A=1', 'B=two words'])
  t.deepEqual(image.Config.ExposedPorts, { '80/tcp': {}, '81/udp': {} })
  t.is((image as unknown as { Comment: string }).Comment, 'a message')
  t.is(await d.ok('run', '--rm', 'imp:1'), 'imported')
  t.is(await d.ok('run', '--rm', 'imp:1', 'sh', '-c', 'echo $B; pwd; id -un; grep -c " /vol " /proc/mounts'), 'two words\n/tmp\ndaemon\n1')
  await fails(t, d, /is not a valid change command|not valid/, 'import', '--change', 'FROM x', tar)
  await fails(t, d, /invalid reference format|must be lowercase/, 'import', tar, 'UPPER:1')
  await d.ok('rmi', 'imp:1')
})

daemonTest('list, its filters and formats', async (t, d) => {
  await d.loadBusybox({ tag: 'first:1', config: { Labels: { team: 'blue', n: '1' } }, files: [{ name: 'one', content: '1' }] })
  await d.loadBusybox({ tag: 'second:2', config: { Labels: { team: 'red' } }, files: [{ name: 'two', content: '2' }] })
  await d.loadBusybox({ tag: 'second:2', config: { Labels: { team: 'red', new: '1' } }, files: [{ name: 'two', content: '3' }] })
  const list = async (...filters: string[]): Promise<string[]> =>
    (await d.ok('images', '--format', '{{.Repository}}:{{.Tag}}', ...filters.flatMap((filter) => ['--filter', filter])))
      .split('\n')
      .filter(Boolean)
      .sort()
  t.deepEqual(await list(), ['<none>:<none>', 'busybox:latest', 'first:1', 'second:2'])
  t.deepEqual(await list('dangling=true'), ['<none>:<none>'])
  t.deepEqual(await list('dangling=false'), ['busybox:latest', 'first:1', 'second:2'])
  t.deepEqual(await list('label=team=blue'), ['first:1'])
  t.deepEqual(await list('label=team'), ['<none>:<none>', 'first:1', 'second:2'])
  t.deepEqual(await list('reference=fir*'), ['first:1'])
  t.deepEqual(await list('reference=*:2'), ['second:2'])
  t.is(await d.ok('images', '-q', 'first'), (await inspect(d, 'first:1')).Id.slice(7, 19))
  t.is(await d.ok('images', '-q', 'nowhere'), '')
  const dangling = await d.ok('images', '-q', '--no-trunc', '--filter', 'dangling=true')
  await d.ok('rmi', dangling, 'first:1', 'second:2')
  t.deepEqual(await list(), ['busybox:latest'])
})

daemonTest('tag and rmi: names go one by one, layers and content with the last', async (t, d) => {
  const [layers, blobs] = [layersOf(d), blobsOf(d)]
  await d.loadBusybox({ tag: 'del:1', files: [{ name: 'x', content: 'x' }] })
  const { Id: id } = await inspect(d, 'del:1')
  await d.ok('tag', 'del:1', 'del:2')
  await d.ok('tag', id.slice(7, 19), 'elsewhere.example:5000/a/b:3')
  t.deepEqual((await inspect(d, 'del:2')).RepoTags.sort(), ['del:1', 'del:2', 'elsewhere.example:5000/a/b:3'])
  t.is(await d.ok('rmi', 'del:1'), 'Untagged: del:1')
  await fails(
    t,
    d,
    /conflict: unable to delete [0-9a-f]{12} \(must be forced\) - image is referenced in multiple repositories/,
    'rmi',
    id.slice(7, 19),
  )
  t.is(await d.ok('rmi', 'elsewhere.example:5000/a/b:3'), 'Untagged: elsewhere.example:5000/a/b:3')
  t.regex(await d.ok('rmi', 'del:2'), new RegExp(`^Untagged: del:2\nDeleted: ${id}\nDeleted: sha256:[0-9a-f]{64}$`))
  t.deepEqual([layersOf(d), blobsOf(d)], [layers, blobs])
  await fails(t, d, /No such image: del:2/, 'rmi', 'del:2')
  await fails(t, d, /No such image: nowhere:latest/, 'tag', 'nowhere', 'x')
  await d.loadBusybox({ tag: 'del:1', files: [{ name: 'x', content: 'x' }] })
  await d.ok('tag', 'del:1', 'other:1')
  t.regex(await d.ok('rmi', '-f', id.slice(7, 19)), /Untagged: del:1\nUntagged: other:1\nDeleted: sha256:/)
  t.deepEqual([layersOf(d), blobsOf(d)], [layers, blobs])
})

daemonTest('an image in use is refused in the words of Docker, and survives its name', async (t, d) => {
  await d.loadBusybox({ tag: 'used:1', files: [{ name: 'u', content: 'u' }] })
  const { Id: id } = await inspect(d, 'used:1')
  const container = (await d.ok('run', '-d', '--name', 'user', 'used:1', 'sleep', '1000')).slice(0, 12)
  const short = id.slice(7, 19)
  await fails(
    t,
    d,
    new RegExp(
      `conflict: unable to remove repository reference "used:1" \\(must force\\) - container ${container} is using its referenced image ${short}`,
    ),
    'rmi',
    'used:1',
  )
  await fails(
    t,
    d,
    new RegExp(`conflict: unable to delete ${short} \\(cannot be forced\\) - image is being used by running container ${container}`),
    'rmi',
    '-f',
    short,
  )
  t.is(await d.ok('ps', '--format', '{{.Image}}'), 'used:1')
  await d.ok('tag', 'busybox', 'used:1')
  t.is(await d.ok('ps', '--format', '{{.Image}}'), short, 'the name means another image now')
  await d.ok('tag', id, 'used:1')
  await d.ok('stop', '-t', '0', 'user')
  await fails(
    t,
    d,
    new RegExp(`conflict: unable to delete ${short} \\(must be forced\\) - image is being used by stopped container ${container}`),
    'rmi',
    short,
  )
  await d.ok('rmi', '-f', short)
  t.is((await d.api('GET', '/images/used:1/json')).status, 404)
  await d.ok('start', 'user')
  t.is(await d.ok('exec', 'user', 'cat', '/u'), 'u', 'the container keeps the layers')
  const kept = layersOf(d).length
  await d.ok('rm', '-f', 'user')
  t.true(layersOf(d).length < kept - 1, 'the layers go with their last container')
})

daemonTest('image events tell load, tag, untag, delete and import', async (t, d) => {
  const since = String(Math.floor(Date.now() / 1000) - 1)
  await d.loadBusybox({ tag: 'evt:1', files: [{ name: 'e', content: 'e' }] })
  await d.ok('tag', 'evt:1', 'evt:2')
  await d.ok('rmi', 'evt:2')
  await d.ok('rmi', 'evt:1')
  const tar = file(d, 'evt.tar', await tarOf([{ name: 'f', content: 'f' }]))
  await d.ok('import', tar, 'evt:3')
  await d.ok('rmi', 'evt:3')
  const until = String(Math.ceil(Date.now() / 1000) + 1)
  const seen = (await d.ok('events', '--since', since, '--until', until, '--filter', 'type=image', '--format', '{{.Action}}')).split('\n')
  t.deepEqual(seen.slice(-8), ['load', 'tag', 'untag', 'untag', 'delete', 'import', 'untag', 'delete'])
})

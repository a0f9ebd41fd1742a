import fs from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { ExecutionContext } from 'ava'
import type { Answer, TestDaemon } from '../fixtures/daemon.js'
import {
  archiveOf,
  fingerprint,
  importTar,
  load,
  peakGrowth,
  rawHeader,
  rawTar,
  refusal,
  send,
  sha256,
  stored,
  type HostileImage,
  type RawEntry,
} from '../fixtures/hostile.js'
import { onPath } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

/** Plants canaries, lets the archive do its worst, and compares. Answers the canaries' directory. */
async function contained(t: ExecutionContext, d: TestDaemon, work: (canary: string) => Promise<void>): Promise<void> {
  const canary = path.join(d.dir, 'canary')
  fs.rmSync(canary, { recursive: true, force: true })
  fs.mkdirSync(path.join(canary, 'sub'), { recursive: true })
  fs.writeFileSync(path.join(canary, 'secret'), 'the secret')
  fs.writeFileSync(path.join(canary, 'sub/f'), 'f')
  const outside = (): string[] => [
    ...fingerprint(canary),
    ...fs.readdirSync(d.dir).sort(),
    ...fs.readdirSync(d.dataRoot).sort(),
    ...fs.readdirSync('/').sort(),
  ]
  const before = outside()
  await work(canary)
  t.deepEqual(outside(), before)
}

/** The archive is refused for the reason, and nothing of it stays. */
async function refused(t: ExecutionContext, d: TestDaemon, reason: RegExp, answer: Promise<Answer>): Promise<void> {
  const before = stored(d)
  t.regex(refusal(await answer), reason)
  t.deepEqual(stored(d), before)
  t.is((await d.api('GET', '/images/hostile/json')).status, 404)
}

/** The archive is taken; what is in the image's first layer is below the directory that is answered. */
async function taken(t: ExecutionContext, d: TestDaemon, answer: Promise<Answer>): Promise<string> {
  t.is(refusal(await answer), '')
  const { GraphDriver } = (await d.api('GET', '/images/hostile/json')).json<{ GraphDriver: { Data: { UpperDir: string } } }>()
  return GraphDriver.Data.UpperDir
}

async function dropped(t: ExecutionContext, d: TestDaemon): Promise<void> {
  t.is((await d.api('DELETE', '/images/hostile?force=1')).status, 200)
}

const pax = (records: Record<string, string>): RawEntry => ({
  name: 'PaxHeader',
  type: 'x',
  content: Object.entries(records)
    .map(([key, value]) => {
      const rest = Buffer.byteLength(` ${key}=${value}\n`)
      const digits = String(rest + String(rest).length).length
      return `${rest + digits} ${key}=${value}\n`
    })
    .join(''),
})

/** A header whose size field holds these bytes. */
function sizedHeader(size: Buffer): Buffer {
  const header = rawHeader({ name: 'f' })
  size.copy(header, 124)
  header.write('        ', 148)
  header.write(
    `${header
      .reduce((total, byte) => total + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
    'latin1',
  )
  return header
}

const layer = (...entries: RawEntry[]): HostileImage => ({ layers: [rawTar(entries)] })

for (const [way, upload] of [
  ['load', (d: TestDaemon, image: HostileImage) => load(d, archiveOf(image))],
  ['import', (d: TestDaemon, image: HostileImage) => importTar(d, image.layers[0] ?? Buffer.alloc(0))],
] as const) {
  daemonTest(`${way}: absolute paths are taken from the layer's root, .. is refused`, async (t, d) => {
    await contained(t, d, async (canary) => {
      const root = await taken(t, d, upload(d, layer({ name: `${canary}/secret`, content: 'stolen' }, { name: '/etc/abs', content: 'x' })))
      t.is(fs.readFileSync(path.join(root, canary, 'secret'), 'utf8'), 'stolen')
      t.true(fs.existsSync(path.join(root, 'etc/abs')))
      await dropped(t, d)
      for (const name of ['../escape', 'a/../../../../../../../../tmp/escape', './../x'])
        await refused(t, d, /the path leads out of the root/, upload(d, layer({ name, content: 'x' })))
      await refused(t, d, /the root can only be a directory/, upload(d, layer({ name: 'a/..', content: 'x' })))
      t.true(fs.existsSync(path.join(await taken(t, d, upload(d, layer({ name: '/../../inside', content: 'x' }))), 'inside')))
      await dropped(t, d)
    })
  })

  daemonTest(`${way}: symbolic links lead nowhere but inside`, async (t, d) => {
    await contained(t, d, async (canary) => {
      const attacks: RawEntry[][] = [
        [
          { name: 'l', type: '2', linkname: canary },
          { name: 'l/secret', content: 'stolen' },
        ],
        [
          { name: 'l', type: '2', linkname: `../../../../../../../../../..${canary}` },
          { name: 'l/sub/f', content: 'stolen' },
        ],
        [
          { name: 'l', type: '2', linkname: `${canary}/secret` },
          { name: 'l', content: 'stolen' },
        ],
        [{ name: 'l', type: '2', linkname: canary }, { name: 'l/sub', type: '5' }, { name: 'l/.wh.secret' }, { name: 'l/.wh..wh..opq' }],
        [
          { name: 'a', type: '2', linkname: 'b' },
          { name: 'b', type: '2', linkname: 'a' },
          { name: 'a/x', content: 'x' },
        ],
      ]
      for (const attack of attacks) {
        const before = stored(d)
        const answer = await upload(d, layer(...attack))
        if (refusal(answer) === '') await dropped(t, d)
        t.deepEqual(stored(d), before)
      }
    })
  })

  daemonTest(`${way}: hard links lead nowhere but inside`, async (t, d) => {
    await contained(t, d, async (canary) => {
      for (const linkname of [`${canary}/secret`, '/etc/shadow', `../../../../../../../../../..${canary}/secret`, '/proc/self/mem'])
        await refused(t, d, /hard link|leads out of the root/, upload(d, layer({ name: 'l', type: '1', linkname })))
      await refused(
        t,
        d,
        /hard link|symbolic|not a directory/i,
        upload(d, layer({ name: 'd', type: '2', linkname: canary }, { name: 'l', type: '1', linkname: 'd/secret' })),
      )
      await refused(t, d, /hard link/, upload(d, layer({ name: 'l', type: '1', linkname: '' })))
    })
  })

  daemonTest(`${way}: device nodes stay data that no container may open`, async (t, d) => {
    const root = await taken(
      t,
      d,
      upload(
        d,
        layer(
          { name: 'disk', type: '4', major: 254, minor: 0, mode: 0o666 },
          { name: 'mem', type: '3', major: 1, minor: 1, mode: 0o666 },
          { name: 'pipe', type: '6' },
        ),
      ),
    )
    t.true(fs.lstatSync(path.join(root, 'disk')).isBlockDevice())
    t.true(fs.lstatSync(path.join(root, 'pipe')).isFIFO())
    await dropped(t, d)
  })

  daemonTest(`${way}: of entries with one name the last wins, whatever the first was`, async (t, d) => {
    await contained(t, d, async (canary) => {
      const entries: RawEntry[] = [
        { name: 'f', content: 'first' },
        { name: 'f', content: 'second' },
        { name: 'x', type: '5' },
        { name: 'x/y', content: 'y' },
        { name: 'x', type: '2', linkname: canary },
        { name: 'x', content: 'a file' },
        { name: 'z', content: 'a file' },
        { name: 'z', type: '5' },
        { name: 'z/in', content: 'in' },
      ]
      const root = await taken(t, d, upload(d, layer(...entries)))
      t.is(fs.readFileSync(path.join(root, 'f'), 'utf8'), 'second')
      t.is(fs.readFileSync(path.join(root, 'x'), 'utf8'), 'a file')
      t.is(fs.readFileSync(path.join(root, 'z/in'), 'utf8'), 'in')
      await dropped(t, d)
    })
  })

  daemonTest(`${way}: damaged archives are refused and say so`, async (t, d) => {
    const good =
      way === 'load' ? archiveOf(layer({ name: 'f', content: 'x'.repeat(5000) })) : rawTar([{ name: 'f', content: 'x'.repeat(5000) }])
    const raw = (body: Buffer): Promise<Answer> => (way === 'load' ? load(d, body) : importTar(d, body))
    const zipped = gzipSync(good)
    await refused(t, d, /truncated|unexpected end/i, raw(zipped.subarray(0, zipped.length >> 1)))
    const broken = Buffer.from(zipped)
    broken.fill(0xff, 20, 60)
    await refused(t, d, /gzip/, raw(broken))
    await refused(t, d, /truncated|unexpected end/i, raw(good.subarray(0, 2000)))
    await refused(t, d, /checksum|not a tar|invalid tar/i, raw(Buffer.from('this is no archive at all, but it is long enough'.repeat(100))))
    await refused(t, d, /empty/, raw(Buffer.alloc(0)))
    await refused(
      t,
      d,
      /truncated|unexpected end|size|invalid/i,
      raw(Buffer.concat([rawHeader({ name: 'f', size: 0o77777777777 }), Buffer.alloc(4096)])),
    )
    for (const magic of [Buffer.from('BZh91AY'), Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])])
      await refused(t, d, /not supported/, raw(Buffer.concat([magic, Buffer.alloc(1000)])))
    await refused(t, d, /damaged or truncated zstd/, raw(Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), Buffer.alloc(1000)])))
  })

  daemonTest(`${way}: headers that lie, and whiteouts of what is no name, are refused`, async (t, d) => {
    await contained(t, d, async () => {
      const attacks: [RawEntry[], RegExp][] = [
        [[pax({ path: '../../escape' }), { name: 'x', content: '1' }], /leads out of the root/],
        [[pax({ path: 'c'.repeat(300) }), { name: 'x', content: '1' }], /ENAMETOOLONG|too long/],
        [[{ name: '././@LongLink', type: 'L', content: 'l'.repeat(1 << 20) }, { name: 'x' }], /ENAMETOOLONG|too long/],
        [[pax({ path: 'p'.repeat(20 << 20) }), { name: 'x' }], /extended header of \d+ bytes is too long/],
        [[pax({ path: 'a\0b' }), { name: 'x' }], /NUL/],
        [[pax({ linkpath: '/etc/shadow' }), { name: 'x', type: '1', linkname: 'x' }], /hard link/],
        [[{ name: 'h', type: '1', linkname: 'h' }], /hard link/],
        [[pax({ size: '-5' }), { name: 'x', content: '1' }], /pax size is no number/],
        [[pax({ size: '1e3' }), { name: 'x', content: '1' }], /pax size is no number/],
        [[pax({ size: '99999999999999' }), { name: 'x', content: '1' }], /unpacks to more than|out of range|truncated/],
        [[{ name: 'p', type: 'x', content: '999999 path=x\n' }, { name: 'x' }], /malformed pax header/],
        [[{ name: 'p', type: 'x', content: '0 path=x\n' }, { name: 'x' }], /malformed pax header/],
        [[{ name: 's', type: 'S', content: '1' }], /sparse files are not supported/],
        [
          [
            pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': '../sp', 'GNU.sparse.realsize': '1' }),
            { name: 'x' },
          ],
          /sparse files are not supported/,
        ],
        [[{ name: 'z', type: 'Z' }], /unknown entry type/],
        [[{ name: '', content: '1' }], /root can only be a directory/],
        [[{ name: '.wh...' }], /whiteout names no file/],
        [[{ name: 'd/.wh...' }], /whiteout names no file/],
        [[{ name: '.wh..' }], /whiteout names no file/],
        [[{ name: '.wh.' }], /whiteout names no file/],
      ]
      for (const [entries, reason] of attacks) await refused(t, d, reason, upload(d, layer(...entries)))
      for (const [size, reason] of [
        ['ffffffffffffffffffffff00', /size is negative/],
        ['80000000ffffffffffffffff', /size is out of range/],
        [Buffer.from('-0000000010\0').toString('hex'), /no octal number/],
      ] as const)
        await refused(t, d, reason, upload(d, { layers: [Buffer.concat([sizedHeader(Buffer.from(size, 'hex')), Buffer.alloc(1024)])] }))
      const root = await taken(
        t,
        d,
        upload(d, layer(pax({ path: 'a/'.repeat(1500) + 'f' }), { name: 'x', content: 'deep' }, { name: '.wh..wh..opq' }, { name: 'k' })),
      )
      t.true(fs.existsSync(path.join(root, 'k')))
      await dropped(t, d)
    })
  })

  daemonTest(`${way}: an upload that its sender breaks off leaves nothing`, async (t, d) => {
    const before = stored(d)
    const body = new Readable({ read: () => undefined })
    const answer = send(d, way === 'load' ? '/images/load' : '/images/create?fromSrc=-&repo=hostile', body)
    body.push(rawHeader({ name: 'big', size: 10 << 20 }))
    body.push(Buffer.alloc(1 << 20))
    await sleep(100)
    body.destroy(new Error('gone'))
    await answer.catch(() => undefined)
    for (let i = 0; i < 100 && stored(d).length !== before.length; i += 1) await sleep(20)
    t.deepEqual(stored(d), before)
  })
}

daemonTest('load: digests that do not fit are refused', async (t, d) => {
  const wrong = `sha256:${'0'.repeat(64)}`
  const content = rawTar([{ name: 'f', content: 'x' }])
  await refused(t, d, /invalid diffID: expected "sha256:0000/, load(d, archiveOf({ layers: [content], diffIds: [wrong] })))
  await refused(t, d, /layers length mismatch/, load(d, archiveOf({ layers: [content], diffIds: [] })))
  await refused(t, d, /no sha256 digest/, load(d, archiveOf({ layers: [content], diffIds: ['sha256:../../../../etc/passwd'] })))
  const blob = (data: string | Buffer): { mediaType: string; digest: string; size: number } => ({
    mediaType: '',
    digest: `sha256:${sha256(data)}`,
    size: Buffer.byteLength(data),
  })
  const oci = (configText: string, tamper: (name: string, data: string | Buffer) => string | Buffer): Buffer => {
    const manifest = JSON.stringify({
      schemaVersion: 2,
      config: { ...blob(configText), mediaType: 'application/vnd.oci.image.config.v1+json' },
      layers: [{ ...blob(content), mediaType: 'application/vnd.oci.image.layer.v1.tar' }],
    })
    const index = JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          ...blob(manifest),
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          annotations: { 'io.containerd.image.name': 'docker.io/library/hostile:latest' },
        },
      ],
    })
    const files: [string, string, string | Buffer][] = [
      ['config', sha256(configText), configText],
      ['layer', sha256(content), content],
      ['manifest', sha256(manifest), manifest],
    ]
    return rawTar([
      { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
      ...files.map(([what, hex, data]): RawEntry => ({ name: `blobs/sha256/${hex}`, content: tamper(what, data) })),
      { name: 'index.json', content: index },
    ])
  }
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(content)}`] },
  })
  for (const what of ['config', 'layer', 'manifest'])
    await refused(
      t,
      d,
      /digest/,
      load(
        d,
        oci(config, (name, data) => (name === what ? Buffer.concat([Buffer.from(data), Buffer.from(' ')]) : data)),
      ),
    )
  await taken(
    t,
    d,
    load(
      d,
      oci(config, (_, data) => data),
    ),
  )
  await dropped(t, d)
})

daemonTest('load: images of one archive may share files, which stay', async (t, d) => {
  const content = rawTar([{ name: 'f', content: 'shared' }])
  const one = '{"Config": "config.json", "Layers": ["layer0.tar"], "RepoTags": ["hostile:latest"]}'
  t.is(refusal(await load(d, archiveOf({ layers: [content], manifest: `[${one},${one},${one}]` }))), '')
  const blobs = fs.readdirSync(path.join(d.dataRoot, 'content/blobs/sha256'))
  t.true(blobs.includes(sha256(content)))
  await dropped(t, d)
  const many = `[${`${one},`.repeat(20_000).slice(0, -1)}]`
  const { result, growth } = await peakGrowth(d.pid, () => load(d, archiveOf({ layers: [content], manifest: many })))
  t.regex(refusal(result), /manifest\.json" has \d+ bytes, at most/)
  t.true(growth < 64, `${growth} MB over idle`)
})

daemonTest('what an image asks to be run as is refused where it makes no sense', async (t, d) => {
  const content = rawTar([{ name: 'f', content: 'x' }])
  const taken: [Record<string, unknown>, RegExp][] = [
    [{ Env: ['=x'] }, /invalid environment variable/],
    [{ User: 'root\nroot' }, /unable to find user/],
    [{ User: 'a'.repeat(5000) }, /too long/],
    [{ User: '-1:-1' }, /unable to find user/],
    [{ User: '4294967295' }, /unable to find user/],
    [{ WorkingDir: '../../..' }, /needs to be an absolute path/],
    [{ WorkingDir: `/${'a/'.repeat(3000)}` }, /chdir to cwd/],
    [{ Volumes: { rel: {} } }, /mount path must be absolute/],
    [{ Volumes: { '/proc': {} } }, /inside \/proc/],
    [{ Volumes: { '/': {} } }, /destination can't be '\/'/],
    [{ ExposedPorts: { '99999/tcp': {} } }, /invalid containerPort/],
  ]
  const configuration = (config: unknown): string =>
    JSON.stringify({ os: 'linux', config, rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(content)}`] } })
  for (const [config, reason] of taken) {
    t.is(refusal(await load(d, archiveOf({ layers: [content], config: configuration(config) }))), '')
    const { code, stderr } = await d.docker('run', '--rm', 'hostile', '/f')
    t.not(code, 0)
    t.regex(stderr, reason)
    await dropped(t, d)
  }
  for (const config of [
    { Env: ['A=\0b'] },
    { User: 'a\0' },
    { WorkingDir: '/a\0' },
    { Entrypoint: { a: 1 } },
    { Entrypoint: [1] },
    { Entrypoint: '/f' },
    { Labels: { a: 1 } },
    { Healthcheck: { Test: 'x' } },
    { Shell: 5 },
    { OnBuild: [1] },
  ])
    await refused(t, d, /invalid image configuration/, load(d, archiveOf({ layers: [content], config: configuration(config) })))
})

daemonTest('load: broken JSON and lying manifests are refused by name', async (t, d) => {
  const content = rawTar([{ name: 'f', content: 'x' }])
  const manifests: [string, RegExp][] = [
    ['{', /JSON/],
    ['{}', /manifest\.json must be an array/],
    ['[]', /no image/],
    ['[1]', /must be an object/],
    ['[{"Config": 1}]', /Config must be a string/],
    ['[{"Config": "../../../../etc/passwd", "Layers": []}]', /not in it/],
    ['[{"Config": "/etc/passwd", "Layers": []}]', /not in it/],
    ['[{"Config": "config.json", "Layers": ["/etc/passwd"]}]', /not in it/],
    ['[{"Config": "config.json", "Layers": "layer0.tar"}]', /must be an array/],
    ['[{"Config": "config.json", "Layers": ["layer0.tar"], "RepoTags": ["UPPER/../case"]}]', /invalid reference|repository name/],
    [`[${'['.repeat(100_000)}`, /JSON/],
  ]
  for (const [manifest, reason] of manifests) await refused(t, d, reason, load(d, archiveOf({ layers: [content], manifest })))
  const configs: [string, RegExp][] = [
    ['nothing', /JSON/],
    ['[]', /must be an object/],
    ['{}', /rootfs/],
    ['{"rootfs": {"type": "layers", "diff_ids": 7}}', /diff_ids/],
    ['{"os": "windows", "rootfs": {"type": "layers", "diff_ids": []}}', /windows/],
    [`{"rootfs": {"type": "layers", "diff_ids": ["sha256:${sha256(content)}"]}, "config": {"Env": "A=1"}}`, /Env must be an array/],
    [
      `{"rootfs": {"type": "layers", "diff_ids": ["sha256:${sha256(content)}"]}, "config": {"Cmd": ["a\\u0000b"]}}`,
      /Cmd must be an array of strings/,
    ],
    [`{"rootfs": {"type": "layers", "diff_ids": []}, "x": "${'y'.repeat(9 << 20)}"}`, /at most/],
  ]
  for (const [config, reason] of configs) await refused(t, d, reason, load(d, archiveOf({ layers: [content], config })))
  await refused(
    t,
    d,
    /max depth exceeded|at most 127/,
    load(d, archiveOf({ layers: Array.from({ length: 130 }, (_, i) => rawTar([{ name: `f${i}`, content: `${i}` }])) })),
  )
})

daemonTest("load: the archive's own links and devices reach no file of the host", async (t, d) => {
  await contained(t, d, async (canary) => {
    const config = JSON.stringify({ rootfs: { type: 'layers', diff_ids: [`sha256:${sha256('the secret')}`] } })
    const manifest = JSON.stringify([{ Config: 'config.json', RepoTags: ['hostile:latest'], Layers: ['l'] }])
    for (const extra of [
      { name: 'l', type: '2', linkname: `${canary}/secret` },
      { name: 'l', type: '1', linkname: `${canary}/secret` },
      { name: 'l', type: '2', linkname: 'l' },
    ])
      await refused(t, d, /not in it|leads nowhere/, load(d, archiveOf({ layers: [], config, manifest, extra: [extra] })))
    await refused(
      t,
      d,
      /character-device|block-device|fifo/,
      load(d, archiveOf({ ...layer(), extra: [{ name: 'n', type: '3', major: 1, minor: 1 }] })),
    )
    // Names with .. are only names here: files are spooled under names of ours.
    const root = await taken(
      t,
      d,
      load(d, archiveOf({ ...layer({ name: 'f', content: 'x' }), extra: [{ name: '../../../escape', content: 'x' }] })),
    )
    t.true(fs.existsSync(path.join(root, 'f')))
    await dropped(t, d)
  })
})

daemonTest('a device node from an image is not opened by a container', async (t, d) => {
  const nodes: RawEntry[] = [
    { name: 'busybox', content: fs.readFileSync(onPath('busybox') ?? ''), mode: 0o755 },
    { name: 'disk', type: '4', major: 254, minor: 0, mode: 0o666 },
    { name: 'mem', type: '3', major: 1, minor: 1, mode: 0o666 },
  ]
  await taken(t, d, importTar(d, rawTar(nodes)))
  for (const node of ['/disk', '/mem']) {
    const read = await d.docker('run', '--rm', 'hostile', '/busybox', 'dd', `if=${node}`, 'of=/copy', 'count=1')
    t.is(read.code, 1)
    t.regex(read.stderr, /Operation not permitted/)
  }
  await dropped(t, d)
})

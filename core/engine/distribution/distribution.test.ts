import 'reflect-metadata'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import type { ExecutionContext } from 'ava'
import { distributing, nobody, type Distributing } from '../../../test/fixtures/distribution.js'
import { FakeRegistry, refuse, types, type FakeImage } from '../../../test/fixtures/registry.js'
import { needs, tarOf } from '../../../test/fixtures/root.js'
import { TokenServer } from '../../../test/fixtures/token-server.js'
import { categoryOf, type ErrorCategory } from '../../sdk/errors.js'
import type { ProgressMessage } from '../images/index.js'

const pullTest = needs('root', 'overlay')
const zstdTest = needs('root', 'overlay', 'zstd')

const said = (messages: ProgressMessage[], id?: string): string[] => [
  ...new Set(messages.filter((one) => id === undefined || one.id === id).map(({ status }) => status ?? '')),
]
const short = (digest: string): string => digest.slice(7, 19)
const blobsOf = (d: Distributing): string[] =>
  fs
    .readdirSync(path.join(d.engine.dir, 'content/blobs/sha256'))
    .map((name) => `sha256:${name}`)
    .sort()
const expectedBlobs = (image: FakeImage): string[] =>
  [...new Set([image.id, image.digest, ...image.layers.map(({ descriptor }) => descriptor.digest)])].sort()

async function fileOf(d: Distributing, image: string, name: string): Promise<string> {
  const { GraphDriver } = await d.engine.images.inspect(image)
  const dirs = [GraphDriver?.Data?.['UpperDir'], ...(GraphDriver?.Data?.['LowerDir'] ?? '').split(':')]
  const found = dirs.map((dir) => path.join(dir ?? '', name)).find((file) => fs.existsSync(file))
  return fs.readFileSync(found ?? '', 'utf8')
}

pullTest('pull says what it does, keeps what came byte for byte, and does nothing twice', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  for (const docker of [false, true]) {
    const image = await registry.addImage('team/app', 'v1', { docker, layers: [`a${docker}`, `b${docker}`] })
    const messages = await d.pull(`${registry.host}/team/app`, { tag: 'v1' })
    const [first, second] = image.layers.map(({ descriptor }) => short(descriptor.digest))
    t.deepEqual(said(messages, 'v1'), ['Pulling from team/app'])
    for (const layer of [first, second]) {
      t.deepEqual(
        said(messages, layer).filter((status) => status !== 'Waiting'),
        ['Pulling fs layer', 'Downloading', 'Verifying Checksum', 'Download complete', 'Extracting', 'Pull complete'],
      )
    }
    t.deepEqual(said(messages).slice(-2), [`Digest: ${image.digest}`, `Status: Downloaded newer image for ${registry.host}/team/app:v1`])
    const inspected = await d.engine.images.inspect(`${registry.host}/team/app:v1`)
    t.is(inspected.Id, image.id)
    t.true(inspected.RepoDigests?.includes(`${registry.host}/team/app@${image.digest}`))
    t.is(await fileOf(d, `${registry.host}/team/app:v1`, 'file1'), `b${docker}`)
    for (const blob of expectedBlobs(image)) t.true(blobsOf(d).includes(blob))
    registry.log.length = 0
    const again = await d.pull(`${registry.host}/team/app:v1`)
    t.deepEqual(said(again, first), ['Already exists'])
    t.is(said(again).at(-1), `Status: Image is up to date for ${registry.host}/team/app:v1`)
    t.deepEqual(registry.lines(/blobs/), [])
    t.is((await d.pull(`${registry.host}/team/app@${image.digest}`)).at(-2)?.status, `Digest: ${image.digest}`)
  }
  t.deepEqual(fs.readdirSync(path.join(d.engine.dir, 'content/ingest/partial')), [])
  t.true(d.engine.events.includes(`image pull ${registry.host}/team/app`))
})

pullTest('errors have the words of Docker', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  const name = `${registry.host}/app`
  const fails = async (message: string, category: ErrorCategory): Promise<void> => {
    const error = await t.throwsAsync(d.pull(`${name}:1`))
    t.is(error?.message, message)
    t.is(categoryOf(error), category)
  }
  await fails(`manifest for ${name}:1 not found: manifest unknown: manifest unknown`, 'NotFound')
  const answers: [number, string, string, string, ErrorCategory][] = [
    [
      403,
      'DENIED',
      'requested access to the resource is denied',
      `pull access denied for ${name}, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
      'NotFound',
    ],
    [
      404,
      'NAME_UNKNOWN',
      'repository name not known to registry',
      `repository ${name} not found: name unknown: repository name not known to registry`,
      'NotFound',
    ],
    [401, 'UNAUTHORIZED', 'authentication required', 'unauthorized: authentication required', 'Forbidden'],
    [429, 'TOOMANYREQUESTS', 'slow down', 'toomanyrequests: slow down', 'InvalidParameter'],
  ]
  for (const [status, code, text, message, category] of answers) {
    registry.hook = (_request, response) => {
      refuse(response, status, code, text)
      return true
    }
    await fails(message, category)
  }
  registry.hook = (_request, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
    return true
  }
  await fails(`Get "http://${registry.host}/v2/": no basic auth credentials`, 'Forbidden')
  registry.stop()
  await fails(`Get "http://${registry.host}/v2/app/manifests/1": dial tcp ${registry.host}: connect: connection refused`, 'Unavailable')
  await t.throwsAsync(d.pull('no.such.host.invalid/app:1'), { message: /lookup no\.such\.host\.invalid: (no such host|the name cannot)/ })
  await t.throwsAsync(d.pull('App:1'), { message: /repository name \(library\/App\) must be lowercase/ })
  await t.throwsAsync(d.pull('app', { tag: 'b@d' }), { message: /invalid reference format/ })
  await t.throwsAsync(d.pull(name, { platform: 'linux/a/b/c' }), { message: /unknown operating system or architecture/ })
})

pullTest('an index gives the image of the platform', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  const [intel, arm7, arm6] = await Promise.all(
    [['amd64'], ['arm', 'v7'], ['arm', 'v6']].map(([architecture, variant]) =>
      registry.addImage('multi', `${architecture}${variant}`, { layers: [`${architecture}${variant}`], config: { architecture, variant } }),
    ),
  )
  const entry = (image: FakeImage | undefined, architecture: string, variant?: string) => ({
    mediaType: types.ociManifest,
    digest: image?.digest,
    size: image?.manifest.length,
    platform: { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) },
  })
  const attestation = { ...entry(intel, 'unknown'), platform: { os: 'unknown', architecture: 'unknown' } }
  const manifests = [attestation, entry(arm6, 'arm', 'v6'), entry(arm7, 'arm', 'v7'), entry(intel, 'amd64')]
  for (const mediaType of [types.ociIndex, types.dockerList]) {
    const { digest } = registry.addManifest('multi', '1', { schemaVersion: 2, mediaType, manifests }, mediaType)
    const name = `${registry.host}/multi:1`
    for (const [platform, image] of [
      ['', intel],
      ['linux/arm/v7', arm7],
      ['linux/arm/v6', arm6],
      ['arm', arm7],
      ['linux/arm/v8', arm7],
      ['linux/x86_64', intel],
    ] as const) {
      const messages = await d.pull(name, { platform })
      t.is((await d.engine.images.inspect(name)).Id, image?.id, platform)
      t.true(said(messages).includes(`Digest: ${digest}`))
    }
    await t.throwsAsync(d.pull(name, { platform: 'linux/s390x' }), {
      message: /^no matching manifest for linux\/s390x in the manifest list entries/,
    })
    await t.throwsAsync(d.pull(name, { platform: 'linux/arm/v5' }), { message: /^no matching manifest for linux\/arm\/v5/ })
    t.like(await d.service.inspect(name, nobody, new AbortController().signal), {
      Descriptor: { mediaType, digest },
      Platforms: [{ os: 'unknown', architecture: 'unknown' }, { variant: 'v6' }, { variant: 'v7' }, { architecture: 'amd64' }],
    })
  }
  await t.throwsAsync(d.pull(`${registry.host}/multi:armv7`, { platform: 'linux/amd64' }), {
    message: /was found but its platform \(linux\/arm\/v7\) does not match the specified platform \(linux\/amd64\)/,
  })
})

pullTest('layers without compression are applied as they are', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  await registry.addImage('plain', '1', { pack: (tar) => tar, layerType: types.ociPlain })
  await d.pull(`${registry.host}/plain:1`)
  t.is(await fileOf(d, `${registry.host}/plain:1`, 'file0'), 'first')
})

zstdTest('layers compressed with zstd are applied, and pushed as they came', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  const pack = (tar: Buffer): Buffer => execFileSync('zstd', ['-q', '-c'], { input: tar, maxBuffer: 1 << 28 })
  const image = await registry.addImage('zstd', '1', {
    layers: [randomBytes(700_000).toString('hex'), 'small'],
    pack,
    layerType: types.ociZstd,
  })
  await d.pull(`${registry.host}/zstd:1`)
  t.is(await fileOf(d, `${registry.host}/zstd:1`, 'file1'), 'small')
  const other = await FakeRegistry.start(t)
  await d.engine.images.tag(`${registry.host}/zstd:1`, `${other.host}/copy`, '2')
  await d.push(`${other.host}/copy`, { tag: '2' })
  t.true(other.manifests.get('copy:2')?.bytes.equals(image.manifest))
})

pullTest('a download that is cut at any byte goes on where it was cut', async (t) => {
  const registry = await FakeRegistry.start(t)
  const image = await registry.addImage('cut', '1', { layers: [randomBytes(200_000)], pack: (tar) => tar, layerType: types.ociPlain })
  const [{ blob, descriptor } = image.layers[0] as never] = image.layers
  for (const cut of [0, 1, 511, 70_000, blob.length - 1]) {
    const d = await distributing(t)
    let cuts = 0
    const ranges: (string | undefined)[] = []
    registry.hook = (request, response, url) => {
      if (!url.pathname.endsWith(descriptor.digest)) return false
      ranges.push(request.headers.range)
      if (cuts++ > 0) return false
      response.writeHead(200, { 'content-length': blob.length })
      response.write(blob.subarray(0, cut), () => setTimeout(() => response.destroy(), 20))
      return true
    }
    await d.pull(`${registry.host}/cut:1`)
    t.deepEqual(ranges, [undefined, cut === 0 ? undefined : `bytes=${cut}-`])
    t.is((await d.engine.images.inspect(`${registry.host}/cut:1`)).Id, image.id)
  }
})

pullTest('a registry without ranges, and what a crash spoiled, cost a download from the start', async (t) => {
  const registry = await FakeRegistry.start(t)
  const image = await registry.addImage('app', '1', { layers: [randomBytes(100_000)] })
  const [{ blob, descriptor } = image.layers[0] as never] = image.layers
  for (const [left, ranges] of [
    [blob.subarray(0, 50_000), false],
    [Buffer.alloc(50_000), true],
    [Buffer.alloc(blob.length), true],
    [Buffer.alloc(blob.length + 1), true],
    [blob, true],
  ] as const) {
    const d = await distributing(t)
    await d.engine.images.count()
    fs.writeFileSync(path.join(d.engine.dir, 'content/ingest/partial', descriptor.digest.slice(7)), left)
    registry.hook = (request) => {
      if (!ranges) delete request.headers.range
      return false
    }
    registry.log.length = 0
    await d.pull(`${registry.host}/app:1`)
    t.is((await d.engine.images.inspect(`${registry.host}/app:1`)).Id, image.id)
    if (left === blob) t.deepEqual(registry.lines(new RegExp(descriptor.digest)), [])
  }
})

pullTest('refusals for a while are waited for, others are not', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  const image = await registry.addImage('app', '1')
  const digest = image.layers[0]?.descriptor.digest ?? ''
  let asked = 0
  registry.hook = (_request, response, url) => {
    if (!url.pathname.endsWith(digest) || asked++ >= 2) return false
    response.writeHead(asked === 1 ? 503 : 429, { 'retry-after': '2' }).end()
    return true
  }
  t.true(said(await d.pull(`${registry.host}/app:1`)).includes('Retrying in 2 seconds'))
  await d.engine.images.remove(`${registry.host}/app:1`, { force: true, noPrune: false })
  asked = 0
  registry.hook = (_request, response, url) => {
    if (!url.pathname.endsWith(digest)) return false
    asked++
    refuse(response, 404, 'BLOB_UNKNOWN', 'blob unknown to registry')
    return true
  }
  await t.throwsAsync(d.pull(`${registry.host}/app:1`))
  t.is(asked, 1)
})

pullTest('equal pulls share the work; it ends with the last client', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  const image = await registry.addImage('shared', '1')
  const name = `${registry.host}/shared:1`
  const digest = image.layers[0]?.descriptor.digest ?? ''
  let open: (() => void) | undefined
  const gate = new Promise<void>((resolve) => (open = resolve))
  let closed = 0
  registry.hook = (_request, response, url) => {
    if (!url.pathname.endsWith(digest)) return false
    response.on('close', () => closed++)
    void gate.then(() => response.writeHead(200).end(registry.blobs.get(digest)))
    return true
  }
  const leaving = new AbortController()
  const pulls = [d.pull(name), d.pull(name), d.pull(name, { signal: leaving.signal })]
  while (registry.lines(new RegExp(digest)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const late = d.pull(name)
  leaving.abort()
  await t.throwsAsync(pulls[2] as Promise<unknown>, { message: 'the client went away' })
  open?.()
  for (const pull of [pulls[0], pulls[1], late]) t.is((await pull)?.at(-1)?.status, `Status: Downloaded newer image for ${name}`)
  t.is(registry.lines(/manifests/).length, 1)
  t.is(registry.lines(new RegExp(digest)).length, 1)
  await d.engine.images.remove(name, { force: true, noPrune: false })
  registry.hook = (_request, response, url) => {
    if (!url.pathname.endsWith(digest)) return false
    response.on('close', () => closed++)
    return true
  }
  closed = 0
  const alone = new AbortController()
  const abandoned = d.pull(name, { signal: alone.signal })
  while (registry.lines(new RegExp(digest)).length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  alone.abort()
  await t.throwsAsync(abandoned)
  while (closed === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.is(await d.engine.images.count(), 0)
})

pullTest('layers are applied while others download, and so many downloads run at a time', async (t) => {
  const [d, registry] = [await distributing(t, { maxConcurrentDownloads: 2 }), await FakeRegistry.start(t)]
  const image = await registry.addImage('many', '1', { layers: ['a', 'b', 'c', 'd', 'e'] })
  const digests = image.layers.map(({ descriptor }) => descriptor.digest)
  let [running, most] = [0, 0]
  let applied: (() => void) | undefined
  const firstApplied = new Promise<void>((resolve) => (applied = resolve))
  registry.hook = (_request, response, url) => {
    const index = digests.findIndex((digest) => url.pathname.endsWith(digest))
    if (index < 0) return false
    most = Math.max(most, ++running)
    const answer = async (): Promise<void> => {
      // The last is held back until the first is in place.
      if (index === 4) await firstApplied
      await new Promise((resolve) => setTimeout(resolve, 50))
      running--
      response.end(registry.blobs.get(digests[index] ?? ''))
    }
    void answer()
    return true
  }
  const messages: ProgressMessage[] = []
  const signal = new AbortController().signal
  for await (const message of d.service.pull({ image: `${registry.host}/many:1`, tag: '', platform: '', credentials: nobody, signal })) {
    messages.push(message)
    if (message.status === 'Pull complete' && message.id === short(digests[0] ?? '')) applied?.()
  }
  t.is(most, 2)
  t.true(messages.some(({ status }) => status === 'Waiting'))
})

pullTest('every tag of a repository', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  for (const tag of ['1', '2', '3']) await registry.addImage('all', tag, { layers: ['same', tag] })
  await d.pull(`${registry.host}/all`)
  const list = await d.engine.images.list({ all: false, digests: false, filters: {} })
  t.deepEqual(
    list.flatMap(({ RepoTags }) => RepoTags ?? []).sort(),
    ['1', '2', '3'].map((tag) => `${registry.host}/all:${tag}`),
  )
})

pullTest('mirrors come before Docker Hub, without its credentials, and are left when they fail', async (t) => {
  const [broken, mirror] = [await FakeRegistry.start(t), await FakeRegistry.start(t)]
  const image = await mirror.addImage('hub/library/app', '1')
  broken.hook = (_request, response) => {
    response.writeHead(500).end()
    return true
  }
  const d = await distributing(t, { registryMirrors: [`http://${broken.host}`, `http://${mirror.host}/nothing`, `http://${mirror.host}`] })
  mirror.hook = (request, response, url) => {
    if (url.pathname.startsWith('/nothing')) return false
    request.url = url.pathname.replace('/v2/', '/v2/hub/')
    url.pathname = request.url
    return false
  }
  const credentials = { ...nobody, username: 'hub', password: 'secret' }
  const messages = await d.pull('app:1', { credentials })
  t.is(messages.at(-1)?.status, 'Status: Downloaded newer image for app:1')
  t.is((await d.engine.images.inspect('app:1')).Id, image.id)
  for (const { headers } of [...broken.log, ...mirror.log]) t.is(headers.authorization, undefined)
  t.true(broken.log.length > 0)
})

async function guarded(t: ExecutionContext): Promise<{ registry: FakeRegistry; tokens: TokenServer; scopes: string[] }> {
  const registry = await FakeRegistry.start(t)
  const tokens = await TokenServer.start(t, { user: 'pass:word' })
  const scopes: string[] = []
  registry.hook = (request, response, url) => {
    const [, token = ''] = /^Bearer (token-known-.*)$/.exec(request.headers.authorization ?? '') ?? []
    if (tokens.issued.has(token)) return false
    const name = /^\/v2\/(.+?)\/(manifests|blobs|tags)/.exec(url.pathname)?.[1]
    response.writeHead(401, { 'www-authenticate': tokens.challenge(name === undefined ? '' : `repository:${name}:pull`) })
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
    return true
  }
  return { registry, tokens, scopes }
}

pullTest('tokens: by password, by refresh token, given by the client; expired ones are got anew', async (t) => {
  const d = await distributing(t)
  const { registry, tokens } = await guarded(t)
  const image = await registry.addImage('app', '1')
  const name = `${registry.host}/app:1`
  await t.throwsAsync(d.pull(name), { message: 'unauthorized: authentication required' })
  await t.throwsAsync(d.pull(name, { credentials: { ...nobody, username: 'user', password: 'wrong' } }), {
    message: /incorrect username or password/,
  })
  tokens.asked.length = 0
  const user = { ...nobody, username: 'user', password: 'pass:word' }
  await d.pull(name, { credentials: user })
  t.is((await d.engine.images.inspect(name)).Id, image.id)
  t.is(tokens.asked.length, 1, 'one token does for the whole pull')
  t.is(tokens.asked[0]?.query.get('scope'), 'repository:app:pull')
  t.is(tokens.asked[0]?.query.get('service'), 'tsd registry')
  const token = await d.service.login({ ...user, serverAddress: registry.host }, new AbortController().signal)
  t.is(token, tokens.refreshToken)
  await t.throwsAsync(d.service.login({ ...user, password: 'no', serverAddress: registry.host }, new AbortController().signal), {
    message: /unauthorized: incorrect username or password/,
  })
  tokens.asked.length = 0
  await d.pull(name, { credentials: { ...nobody, identityToken: token } })
  t.deepEqual(
    tokens.asked.map(({ method, form }) => [method, form.get('grant_type'), form.get('scope')]),
    [['POST', 'refresh_token', 'repository:app:pull']],
  )
  tokens.asked.length = 0
  await d.pull(name, { credentials: { ...nobody, registryToken: [...tokens.issued].at(-1) ?? '' } })
  t.is(tokens.asked.length, 0)
  await d.engine.images.remove(name, { force: true, noPrune: false })
  const inner = registry.hook
  let expired = false
  registry.hook = (request, response, url) => {
    if (url.pathname.endsWith(image.id) && !expired) {
      expired = true
      tokens.issued.clear()
    }
    return inner(request, response, url)
  }
  await d.pull(name, { credentials: user })
  t.is((await d.engine.images.inspect(name)).Id, image.id)
})

pullTest('push: what was pulled goes out as it came; what is there is not sent; another repository lends', async (t) => {
  const [d, from, to] = [await distributing(t), await FakeRegistry.start(t), await FakeRegistry.start(t)]
  const image = await from.addImage('app', '1', { docker: true })
  await d.pull(`${from.host}/app:1`)
  await d.engine.images.tag(`${from.host}/app:1`, `${to.host}/copy`, 'x')
  const [first] = image.layers.map(({ diffId }) => short(diffId))
  const messages = await d.push(`${to.host}/copy`, { tag: 'x' })
  t.is(messages[0]?.status, `The push refers to repository [${to.host}/copy]`)
  t.deepEqual(said(messages, first), ['Preparing', 'Pushing', 'Pushed'])
  t.is(messages.at(-2)?.status, `x: digest: ${image.digest} size: ${image.manifest.length}`)
  t.deepEqual(messages.at(-1)?.aux, { Tag: 'x', Digest: image.digest, Size: image.manifest.length })
  t.deepEqual(to.manifests.get('copy:x'), { bytes: image.manifest, mediaType: image.mediaType })
  t.deepEqual(
    [...to.blobs.keys()].sort(),
    expectedBlobs(image).filter((digest) => digest !== image.digest),
  )
  t.true((await d.engine.images.inspect(`${to.host}/copy:x`)).RepoDigests?.includes(`${to.host}/copy@${image.digest}`))
  t.deepEqual(said(await d.push(`${to.host}/copy`, { tag: 'x' }), first), ['Preparing', 'Layer already exists'])
  to.hook = (request, response) => {
    if (request.method !== 'HEAD') return false
    response.writeHead(404).end()
    return true
  }
  await d.engine.images.tag(`${to.host}/copy:x`, `${to.host}/other`, 'y')
  t.deepEqual(said(await d.push(`${to.host}/other`, { tag: 'y' }), first), ['Preparing', 'Mounted from copy'])
  await t.throwsAsync(d.push(`${to.host}/none`), { message: `An image does not exist locally with the tag: ${to.host}/none` })
  await t.throwsAsync(d.push(`${to.host}/copy`, { tag: 'z' }), { message: `tag does not exist: ${to.host}/copy:z` })
})

pullTest('push of an image that was made here packs its layers once', async (t) => {
  const [d, to] = [await distributing(t), await FakeRegistry.start(t)]
  const tar = await tarOf([{ name: 'made', content: 'x'.repeat(100_000) }])
  const options = { repo: `${to.host}/made`, tag: '1', message: '', changes: [], platform: '', signal: new AbortController().signal }
  const { Readable } = await import('node:stream')
  for await (const message of d.engine.images.import(Readable.from([tar]), options)) void message
  const before = (await d.engine.images.inspect(`${to.host}/made:1`)).Id
  await d.push(`${to.host}/made`)
  const pushed = to.manifests.get('made:1')
  const { layers } = JSON.parse(pushed?.bytes.toString() ?? '') as { layers: { mediaType: string; digest: string; size: number }[] }
  t.is(layers[0]?.mediaType, types.ociGzip)
  t.true((layers[0]?.size ?? 0) < 10_000)
  t.true(blobsOf(d).includes(layers[0]?.digest ?? ''), 'the packed layer stays')
  const blobs = blobsOf(d)
  await d.push(`${to.host}/made`)
  t.deepEqual(blobsOf(d), blobs)
  t.true(to.manifests.get('made:1')?.bytes.equals(pushed?.bytes ?? Buffer.alloc(0)))
  const other = await distributing(t)
  await other.pull(`${to.host}/made:1`)
  t.is((await other.engine.images.inspect(`${to.host}/made:1`)).Id, before)
  t.is(await fileOf(other, `${to.host}/made:1`, 'made'), 'x'.repeat(100_000))
  await d.engine.images.remove(`${to.host}/made:1`, { force: true, noPrune: false })
  t.deepEqual(blobsOf(d), [])
})

pullTest('push in parts where a registry takes no large body, and again after a failure for a while', async (t) => {
  const [d, from, to] = [await distributing(t), await FakeRegistry.start(t), await FakeRegistry.start(t)]
  const image = await from.addImage('big', '1', { layers: [randomBytes(20 << 20)], pack: (tar) => tar, layerType: types.ociPlain })
  await d.pull(`${from.host}/big:1`)
  await d.engine.images.tag(`${from.host}/big:1`, `${to.host}/big`, '1')
  let failures = 1
  to.hook = (request, response) => {
    if (request.method === 'PATCH' && failures-- > 0) {
      request.resume().on('end', () => response.writeHead(503).end())
      return true
    }
    if (request.method !== 'PUT' || Number(request.headers['content-length']) <= 16 << 20) return false
    request.resume().on('end', () => response.writeHead(413).end())
    return true
  }
  await d.push(`${to.host}/big:1`)
  t.true(to.blobs.has(image.layers[0]?.descriptor.digest ?? ''))
  t.true(to.log.some(({ headers }) => headers['content-range'] === `${16 << 20}-${(image.layers[0]?.blob.length ?? 0) - 1}`))
})

pullTest('an image that is removed while it is pulled again is there afterwards, whole', async (t) => {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  const image = await registry.addImage('app', '1')
  const name = `${registry.host}/app:1`
  await d.pull(name)
  await registry.addImage('app', '1', { config: { author: 'somebody else' } })
  let removed: Promise<unknown> | undefined
  registry.hook = (_request, response, url) => {
    if (!url.pathname.includes('/blobs/')) return false
    removed ??= d.engine.images.remove(name, { force: true, noPrune: false })
    void removed.then(() => response.end(registry.blobs.get(url.pathname.split('/').pop() ?? '')))
    return true
  }
  await d.pull(name)
  t.not(removed, undefined)
  t.not((await d.engine.images.inspect(name)).Id, image.id)
  t.is(await fileOf(d, name, 'file1'), 'second')
  for (const { descriptor } of image.layers) t.true(blobsOf(d).includes(descriptor.digest))
})

pullTest('a proxy of the environment is asked to connect, and gets no credentials', async (t) => {
  const [d, registry] = [await distributing(t, { insecureRegistries: ['registry.test:80'] }), await FakeRegistry.start(t)]
  const image = await registry.addImage('app', '1')
  const connects: string[] = []
  const proxy = http.createServer()
  proxy.on('connect', (request, socket: net.Socket) => {
    connects.push(`${request.url} ${request.headers.authorization}`)
    const [host = '', port = ''] = registry.host.split(':')
    if (!request.url?.endsWith(':80')) return void socket.end('HTTP/1.1 502 no TLS there\r\n\r\n')
    const through = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      through.pipe(socket).pipe(through)
    })
    through.on('error', () => socket.destroy())
    socket.on('error', () => through.destroy())
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const address = `http://127.0.0.1:${(proxy.address() as net.AddressInfo).port}`
  const before = { HTTP_PROXY: process.env.HTTP_PROXY, HTTPS_PROXY: process.env.HTTPS_PROXY }
  t.teardown(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    proxy.close()
    proxy.closeAllConnections()
  })
  Object.assign(process.env, { HTTP_PROXY: address, HTTPS_PROXY: address })
  await d.pull('registry.test:80/app:1')
  t.is((await d.engine.images.inspect('registry.test:80/app:1')).Id, image.id)
  t.true(connects.includes('registry.test:80 undefined'), connects.join('\n'))
})

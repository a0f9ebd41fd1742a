// Registries that lie. Each ends in an error that says so, in bounded time and memory, and leaves no image.
import 'reflect-metadata'
import fs from 'node:fs'
import type http from 'node:http'
import path from 'node:path'
import type { ExecutionContext } from 'ava'
import { distributing, nobody, type Distributing } from '../../../test/fixtures/distribution.js'
import { FakeRegistry, refuse, sha256, types } from '../../../test/fixtures/registry.js'
import { needs } from '../../../test/fixtures/root.js'

const hostileTest = needs('root', 'overlay')
const secret = { ...nobody, username: 'user', password: 'a-secret-password' }

interface Place {
  d: Distributing
  registry: FakeRegistry
  image: string
}

async function place(t: ExecutionContext): Promise<Place> {
  const [d, registry] = [await distributing(t), await FakeRegistry.start(t)]
  return { d, registry, image: `${registry.host}/app:1` }
}

async function fails(t: ExecutionContext, { d, image }: Place, message: RegExp, credentials = nobody): Promise<void> {
  await t.throwsAsync(d.pull(image, { credentials }), { message })
  t.is(await d.engine.images.count(), 0)
  t.deepEqual(await d.engine.driver.list(), [])
  t.deepEqual(fs.readdirSync(path.join(d.engine.dir, 'content/blobs/sha256')), [])
}

const partials = ({ d }: Place): string[] => fs.readdirSync(path.join(d.engine.dir, 'content/ingest/partial'))

const isBlob = (url: URL, digest: string): boolean => url.pathname.endsWith(`/blobs/${digest}`)

hostileTest('a layer with another content than its digest says', async (t) => {
  const at = await place(t)
  const image = await at.registry.addImage('app', '1')
  const [layer] = image.layers
  const other = Buffer.from(layer?.blob ?? '')
  other[other.length - 1] = (other.at(-1) ?? 0) ^ 1
  at.registry.blobs.set(layer?.descriptor.digest ?? '', other)
  await fails(t, at, new RegExp(`filesystem layer verification failed for digest ${layer?.descriptor.digest}`))
  t.false(partials(at).includes(layer?.descriptor.digest.slice(7) ?? ''), 'nothing of it is taken up again')
})

hostileTest('a manifest with another content than its digest says', async (t) => {
  const at = await place(t)
  const image = await at.registry.addImage('app', '1')
  at.registry.manifests.set(`app@${image.digest}`, { bytes: Buffer.from('{}'), mediaType: image.mediaType })
  await fails(t, { ...at, image: `${at.registry.host}/app@${image.digest}` }, /manifest verification failed for digest/)
  at.registry.hook = (request, response) => {
    response.writeHead(200, { 'content-type': image.mediaType, 'docker-content-digest': sha256('other') }).end(image.manifest)
    return true
  }
  await fails(t, at, /manifest verification failed for digest/)
})

hostileTest('an unpacked layer with another digest than the configuration says', async (t) => {
  const at = await place(t)
  await at.registry.addImage('app', '1', { config: { rootfs: { type: 'layers', diff_ids: [sha256('a'), sha256('b')] } } })
  await fails(t, at, /invalid diffID: expected/)
  await at.registry.addImage('app', '1', { config: { rootfs: { type: 'layers', diff_ids: [sha256('a')] } } })
  await fails(t, at, /layers from manifest don't match image configuration/)
})

hostileTest('blobs that are larger or smaller than they should be, or have no end', async (t) => {
  const at = await place(t)
  const image = await at.registry.addImage('app', '1')
  const { digest = '', size = 0 } = image.layers[0]?.descriptor ?? {}
  const answers: [RegExp, (response: http.ServerResponse) => void][] = [
    [
      /has \d+ bytes, but the manifest says \d+/,
      (response) => response.writeHead(200, { 'content-length': size + 1 }).end(Buffer.alloc(size + 1)),
    ],
    [/has \d+ bytes, but the manifest says \d+/, (response) => response.writeHead(200, { 'content-length': 3 }).end('abc')],
    [/has more than the \d+ bytes that the manifest says/, (response) => void response.write(Buffer.alloc(size + 1))],
    [
      /has more than the \d+ bytes that the manifest says/,
      (response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        }
        response.on('drain', more)
        more()
      },
    ],
    [/unexpected EOF after 3 of \d+ bytes/, (response) => void (response.write('abc'), response.end())],
  ]
  for (const [message, answer] of answers) {
    at.registry.hook = (_request, response, url) => {
      if (!isBlob(url, digest)) return false
      answer(response)
      return true
    }
    await fails(t, at, message)
  }
})

hostileTest('a drip and a silence are given up', async (t) => {
  const at = await place(t)
  const image = await at.registry.addImage('app', '1', { layers: ['x'.repeat(10_000)], pack: (tar) => tar, layerType: types.ociPlain })
  const { digest = '', size = 0 } = image.layers[0]?.descriptor ?? {}
  at.registry.hook = (request, response, url) => {
    if (!isBlob(url, digest)) return false
    response.writeHead(
      request.headers.range === undefined ? 200 : 416,
      request.headers.range === undefined ? { 'content-length': size } : {},
    )
    const timer = setInterval(() => response.write('x'), 50)
    response.on('close', () => clearInterval(timer))
    if (request.headers.range !== undefined) response.end()
    return true
  }
  await fails(t, at, /only \d+ bytes came in \d+ seconds/)
  at.registry.hook = (_request, _response, url) => isBlob(url, digest)
  await fails(t, at, /timeout awaiting response headers/)
  at.registry.hook = (_request, response, url) => {
    if (!url.pathname.includes('/manifests/')) return false
    response.writeHead(200, { 'content-type': types.ociManifest })
    const timer = setInterval(() => response.write(' '.repeat(2000)), 100)
    response.on('close', () => clearInterval(timer))
    return true
  }
  await fails(t, at, /the manifest did not arrive in time/)
})

hostileTest('credentials stay with the host they were meant for', async (t) => {
  const at = await place(t)
  const elsewhere = await FakeRegistry.start(t)
  const image = await at.registry.addImage('app', '1')
  elsewhere.hook = (_request, response, url) => {
    const blob = at.registry.blobs.get(url.pathname.split('/').pop() ?? '')
    response.end(blob)
    return true
  }
  at.registry.hook = (request, response, url) => {
    if (request.headers.authorization === undefined) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      return true
    }
    if (!url.pathname.includes('/blobs/')) return false
    response.writeHead(307, { location: `http://${elsewhere.host}/storage/${url.pathname.split('/').pop()}` }).end()
    return true
  }
  await at.d.pull(at.image, { credentials: secret })
  t.is((await at.d.engine.images.inspect(at.image)).Id, image.id)
  t.is(elsewhere.log.length, 3)
  for (const { headers } of elsewhere.log) t.deepEqual(Object.keys(headers).sort(), ['connection', 'host', 'user-agent'])
})

hostileTest('redirects that go on, or lead to odd places', async (t) => {
  const at = await place(t)
  for (const [location, message] of [
    ['/v2/app/manifests/1', /redirects more than 5 times/],
    ['file:///etc/passwd', /redirects to the scheme file, which is refused/],
    ['http://[', /redirects to no valid address/],
    [undefined, /redirects to no valid address/],
  ] as const) {
    at.registry.hook = (_request, response) => {
      response.writeHead(307, location === undefined ? {} : { location }).end()
      return true
    }
    at.registry.log.length = 0
    await fails(t, at, message)
    t.true(at.registry.log.length <= 6)
  }
})

hostileTest('a registry that goes on asking who we are is asked no more', async (t) => {
  const at = await place(t)
  for (const challenge of ['Basic realm="again"', `Bearer realm="http://${at.registry.host}/token",service="s"`]) {
    at.registry.hook = (_request, response, url) => {
      if (url.pathname === '/token') response.end('{"token":"t"}')
      else response.writeHead(401, { 'www-authenticate': challenge }).end()
      return true
    }
    at.registry.log.length = 0
    await fails(t, at, /unauthorized: authentication required/, secret)
    t.true(at.registry.lines(/manifests/).length <= 2, challenge)
  }
})

hostileTest('token servers that are odd, greedy or too generous', async (t) => {
  const at = await place(t)
  let answer = '{}'
  let challenge = ''
  at.registry.hook = (_request, response, url) => {
    if (url.pathname === '/token') response.end(answer)
    else response.writeHead(401, { 'www-authenticate': challenge }).end()
    return true
  }
  for (const realm of ['file:///etc/shadow', 'gopher://x', 'javascript:1', 'http://[bad']) {
    challenge = `Bearer realm="${realm}"`
    await fails(t, at, /as its token server, which is no http or https URL/, secret)
  }
  challenge = `Bearer realm="http://${at.registry.host}/token"`
  for (const [text, message] of [
    ['{}', /did not include a token in the response/],
    ['no json', /invalid token from .*: it is no JSON/],
    [`{"token":"${'x'.repeat(70_000)}"}`, /has more than 65536 bytes/],
    [`{"token":"${'x'.repeat(300_000)}"}`, /has more than 262144 bytes/],
    ['{"token":"a\\r\\nX-Evil: 1"}', /characters that no header can carry/],
    ['['.repeat(100_000), /nested more than 64 deep/],
  ] as const) {
    answer = text
    await fails(t, at, message, secret)
  }
  challenge = ','.repeat(20_000) + 'Bearer '.repeat(1000)
  await fails(t, at, /./, secret)
})

hostileTest('manifests that are huge, deep, of other kinds, or contradict themselves', async (t) => {
  const at = await place(t)
  const layer = { mediaType: types.ociGzip, digest: sha256('x'), size: 1 }
  const config = { mediaType: types.ociConfig, digest: sha256('c'), size: 1 }
  const image = { schemaVersion: 2, mediaType: types.ociManifest, config, layers: [layer] }
  const cases: [RegExp, unknown, string?][] = [
    [/the manifest from .* has more than 4194304 bytes/, Buffer.alloc(5_000_000, ' ')],
    [/nested more than 64 deep/, Buffer.from('{"a":' + '['.repeat(1_000_000))],
    [/it is no JSON/, Buffer.from('<html>')],
    [/it is no JSON object/, []],
    [/schema 1 are not supported/, { schemaVersion: 1 }, 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    [/schema 1 are not supported/, { schemaVersion: 1 }],
    [/it is both an image and an index/, { ...image, manifests: [] }],
    [/the registry calls it .*, it calls itself/, image, types.ociIndex],
    [/foreign layer with urls/, { ...image, layers: [{ ...layer, urls: ['http://169.254.169.254/'] }] }],
    [/has the unknown media type "text\/html"/, { ...image, layers: [{ ...layer, mediaType: 'text/html' }] }],
    [/it is no container image/, { ...image, config: { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' } }],
    [/layers\[0\]\.digest is no digest/, { ...image, layers: [{ ...layer, digest: 'sha256:../../../etc/passwd' }] }],
    [/layers\[0\]\.digest is not of sha256/, { ...image, layers: [{ ...layer, digest: `sha512:${'a'.repeat(128)}` }] }],
    [/layers\[0\]\.size must be a whole number/, { ...image, layers: [{ ...layer, size: -1 }] }],
    [/layers has 128 entries, at most 127/, { ...image, layers: Array(128).fill(layer) }],
    [/the image configuration has 99999999 bytes/, { ...image, config: { ...config, size: 99_999_999 } }],
    [/mediaType in manifest should be one of/, { schemaVersion: 2 }, 'text/plain'],
  ]
  for (const [message, document, mediaType] of cases) {
    at.registry.addManifest('app', '1', document, mediaType ?? types.ociManifest)
    await fails(t, at, message)
  }
  const nested = { schemaVersion: 2, mediaType: types.ociIndex, manifests: [] as unknown[] }
  let inner: unknown = nested
  for (let depth = 0; depth < 5; depth++) {
    const { bytes, digest } = at.registry.addManifest('app', 'inner', inner, types.ociIndex)
    inner = { ...nested, manifests: [{ mediaType: types.ociIndex, digest, size: bytes.length }] }
  }
  at.registry.addManifest('app', '1', inner, types.ociIndex)
  await fails(t, at, /nested too deeply/)
})

hostileTest('errors of registries are cut short and cleaned for terminals', async (t) => {
  const at = await place(t)
  at.registry.hook = (_request, response) => {
    refuse(response, 400, 'UNSUPPORTED', `\x1b[2J\n${'x'.repeat(50_000)}`)
    return true
  }
  const error = await t.throwsAsync(at.d.pull(at.image))
  t.regex(error?.message ?? '', /^unsupported: {2}?\[2J x+$/)
  t.true((error?.message.length ?? 0) <= 1024)
})

hostileTest('another part than was asked for, and one that was packed on the way', async (t) => {
  const at = await place(t)
  const image = await at.registry.addImage('app', '1')
  const { digest = '' } = image.layers[0]?.descriptor ?? {}
  at.registry.hook = (request, response, url) => {
    if (!isBlob(url, digest)) return false
    if (request.headers.range === undefined) {
      response.writeHead(200, { 'content-length': image.layers[0]?.blob.length })
      response.write(image.layers[0]?.blob.subarray(0, 10))
      setTimeout(() => response.destroy(), 50)
    } else response.writeHead(206, { 'content-range': 'bytes 5-9/10' }).end('xxxxx')
    return true
  }
  await fails(t, at, /answered another part of/)
  at.registry.hook = (_request, response, url) => {
    if (!isBlob(url, digest)) return false
    response.writeHead(200, { 'content-encoding': 'gzip' }).end('x')
    return true
  }
  await fails(t, at, /with the content encoding gzip, which was not asked for/)
})

hostileTest('an upload that is sent elsewhere takes no credentials there', async (t) => {
  const at = await place(t)
  const elsewhere = await FakeRegistry.start(t)
  await at.registry.addImage('app', '1')
  await at.d.pull(at.image)
  await at.d.engine.images.tag(at.image, `${at.registry.host}/copy`, '1')
  at.registry.blobs.clear()
  elsewhere.hook = (request, response) => {
    request.resume().on('end', () => response.writeHead(201).end())
    return true
  }
  at.registry.hook = (request, response) => {
    if (request.headers.authorization === undefined) {
      request.resume().on('end', () => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end())
      return true
    }
    if (request.method !== 'POST') return false
    response.writeHead(202, { location: `http://${elsewhere.host}/upload?state=s` }).end()
    return true
  }
  await at.d.push(`${at.registry.host}/copy:1`, { credentials: secret })
  t.is(elsewhere.log.length, 3)
  for (const { line, headers } of elsewhere.log) {
    t.regex(line, /^PUT \/upload\?state=s&digest=sha256%3A/)
    t.is(headers.authorization, undefined)
  }
  at.registry.hook = (request, response) => {
    if (request.method !== 'POST') return false
    response.writeHead(202, { location: 'ftp://elsewhere/upload' }).end()
    return true
  }
  await t.throwsAsync(at.d.push(`${at.registry.host}/copy:1`), { message: /redirects to the scheme ftp, which is refused/ })
})

import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { TestDaemon } from '../fixtures/daemon.js'
import { run } from '../fixtures/daemon.js'
import { certificate, DockerRegistry } from '../fixtures/docker-registry.js'
import { missing, tarOf } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

const lacking = missing('docker-registry', 'openssl', 'nc')
const suite = daemonSuite({ prepare: (dir) => ({ config: { 'registry-certs': path.join(dir, 'certs.d') } }) })
const registryTest: typeof suite = (name, body) =>
  lacking === undefined ? suite(name, body) : test.skip(`${name} [needs ${lacking}]`, (t) => body(t, undefined as never))

interface Inspected {
  Id: string
  RepoDigests: string[]
}

const inspect = async (d: TestDaemon, name: string): Promise<Inspected> => (await d.api('GET', `/images/${name}/json`)).json<Inspected>()
const digestOf = async (d: TestDaemon, name: string): Promise<string> => {
  const repository = name.slice(0, name.lastIndexOf(':'))
  const { RepoDigests } = await inspect(d, name)
  return RepoDigests.find((one) => one.startsWith(`${repository}@`))?.split('@')[1] ?? ''
}
const contentOf = (d: TestDaemon, digest: string): Buffer =>
  fs.readFileSync(path.join(d.dataRoot, 'content/blobs/sha256', digest.replace('sha256:', '')))

async function fails(t: ExecutionContext, d: TestDaemon, pattern: RegExp, ...args: string[]): Promise<void> {
  const { code, stderr, stdout } = await d.docker(...args)
  t.not(code, 0, args.join(' '))
  t.regex(stderr + stdout, pattern)
}

async function login(d: TestDaemon, host: string, user: string, password: string): Promise<{ code: number; stderr: string }> {
  return d.dockerInput(password, 'login', '-u', user, '--password-stdin', host)
}

/** Docker images of other people hold other layers: one that nobody else has. */
async function ownImage(d: TestDaemon, name: string, size = 1000): Promise<void> {
  const tar = path.join(d.dir, 'own.tar')
  fs.writeFileSync(tar, await tarOf([{ name: 'own', content: randomBytes(size) }]))
  await d.ok('import', '--change', 'CMD /own', tar, name)
  fs.rmSync(tar)
}

registryTest('push and pull with both docker clients; what comes is run; the bytes are the same', async (t, d) => {
  const registry = await DockerRegistry.start(t, d)
  const name = `${registry.host}/team/box:1`
  await d.ok('tag', 'busybox', name)
  t.regex(await d.ok('push', name), /The push refers to repository \[.*\]\n[^]*: Pushed\n1: digest: sha256:[0-9a-f]{64} size: \d+/)
  const [{ Id: id }, digest] = [await inspect(d, name), await digestOf(d, name)]
  const manifest = contentOf(d, digest)
  t.true(fs.readFileSync(registry.blob(digest)).equals(manifest))
  await d.ok('rmi', '-f', name, 'busybox')
  t.deepEqual(fs.readdirSync(path.join(d.dataRoot, 'content/blobs/sha256')), [])
  const out = await d.ok('run', '--rm', '--network', 'none', name, 'echo', 'pulled and run')
  t.is(out, 'pulled and run')
  t.is((await inspect(d, name)).Id, id)
  t.true(contentOf(d, digest).equals(manifest))
  const { layers } = JSON.parse(manifest.toString()) as { layers: { digest: string }[] }
  for (const layer of layers) t.true(contentOf(d, layer.digest).equals(fs.readFileSync(registry.blob(layer.digest))))
  t.regex(await d.ok('pull', name), /Already exists\nDigest: sha256:.*\nStatus: Image is up to date for/)
  t.is(await d.ok('pull', '-q', `${registry.host}/team/box@${digest}`), `${registry.host}/team/box@${digest}`)
  const older = (...args: string[]) => run('/usr/bin/docker', args, { env: d.env() })
  await d.ok('tag', name, `${registry.host}/team/other:2`)
  t.regex((await older('push', `${registry.host}/team/other:2`)).stdout, /Mounted from team\/box/)
  await d.ok('rmi', `${registry.host}/team/other:2`)
  t.regex((await older('pull', '-a', `${registry.host}/team/other`)).stdout, /Status: (Downloaded newer image|Image is up to date) for/)
  await fails(
    t,
    d,
    new RegExp(`manifest for ${registry.host}/team/none:latest not found: manifest unknown`),
    'pull',
    `${registry.host}/team/none`,
  )
  t.like((await d.api('GET', `/distribution/${name}/json`)).json(), {
    Descriptor: { digest, size: manifest.length },
    Platforms: [{ os: 'linux' }],
  })
  t.is((await d.api('GET', `/distribution/${registry.host}/none:1/json`)).status, 404)
  await d.loadBusybox()
})

registryTest('tsd pull, push and run; run pulls what is missing', async (t, d) => {
  const registry = await DockerRegistry.start(t, d)
  const name = `${registry.host}/cli:1`
  await d.ok('tag', 'busybox', name)
  t.regex((await d.tsd('push', name)).stdout, /1: digest: sha256:/)
  await d.ok('rmi', name)
  const { stdout, stderr } = await d.tsd('run', '--rm', '--network', 'none', name, 'echo', 'here')
  t.is(stdout, 'here\n')
  t.regex(stderr, new RegExp(`Unable to find image '${name}' locally\n1: Pulling from cli\n`))
  t.regex((await d.tsd('pull', name)).stdout, /Image is up to date/)
  t.is((await d.tsd('pull', `${registry.host}/cli:2`)).code, 1)
})

registryTest('passwords: none, wrong and right', async (t, d) => {
  const registry = await DockerRegistry.start(t, d, { users: { alice: 'pass:word' } })
  const name = `${registry.host}/private:1`
  await ownImage(d, name)
  await fails(t, d, /no basic auth credentials/, 'push', name)
  await fails(t, d, /no basic auth credentials/, 'pull', name)
  t.regex((await login(d, registry.host, 'alice', 'wrong')).stderr, /unauthorized/i)
  t.is((await login(d, registry.host, 'alice', 'pass:word')).code, 0)
  await d.ok('push', name)
  await d.ok('rmi', name)
  await d.ok('pull', name)
  await d.ok('logout', registry.host)
  await fails(t, d, /no basic auth credentials/, 'pull', name)
})

registryTest('a token server: docker login keeps its refresh token, pull and push use it', async (t, d) => {
  const registry = await DockerRegistry.start(t, d, { tokens: { bob: 'secret' } })
  const name = `${registry.host}/team/tokens:1`
  await ownImage(d, name)
  await fails(t, d, /denied|unauthorized/, 'push', name)
  t.regex((await login(d, registry.host, 'bob', 'wrong')).stderr, /incorrect username or password/)
  t.is((await login(d, registry.host, 'bob', 'secret')).code, 0)
  const config = fs.readFileSync(path.join(d.dir, 'docker-config/config.json'), 'utf8')
  t.true(config.includes('identitytoken'), config)
  await d.ok('push', name)
  await d.ok('tag', name, `${registry.host}/team/lent:1`)
  t.regex(await d.ok('push', `${registry.host}/team/lent:1`), /Mounted from team\/tokens/)
  await d.ok('rmi', name, `${registry.host}/team/lent:1`)
  await d.ok('pull', name)
  await d.ok('logout', registry.host)
  await fails(t, d, /unauthorized: authentication required|denied/, 'pull', name)
})

registryTest('TLS: the authority in certs.d is believed, another is not; client certificates', async (t, d) => {
  const dir = path.join(d.dir, 'tls')
  const [server, stranger] = [certificate(dir, 'server'), certificate(dir, 'stranger')]
  const registry = await DockerRegistry.start(t, d, { tls: server })
  const mutual = await DockerRegistry.start(t, d, { tls: server, clientCa: stranger.ca })
  const certs = (host: string, files: Record<string, string>): void => {
    const place = path.join(String(d.options.config?.['registry-certs']), host)
    fs.mkdirSync(place, { recursive: true })
    for (const [name, from] of Object.entries(files)) fs.copyFileSync(from, path.join(place, name))
  }
  const name = `${registry.host}/tls:1`
  await ownImage(d, name)
  t.regex(await d.ok('push', name), /digest: sha256/, 'loopback is trusted without an authority')
  certs(registry.host, { 'ca.crt': stranger.ca })
  await fails(t, d, /x509: certificate signed by unknown authority/, 'pull', name)
  certs(registry.host, { 'ca.crt': server.ca })
  await d.ok('pull', name)
  const second = `${mutual.host}/tls:1`
  await d.ok('tag', name, second)
  certs(mutual.host, { 'ca.crt': server.ca })
  await fails(t, d, /certificate required|alert|wants a client certificate/, 'push', second)
  certs(mutual.host, { 'ca.crt': server.ca, 'client.cert': stranger.cert, 'client.key': stranger.key })
  await d.ok('push', second)
  certs(registry.host, { 'client.cert': stranger.cert })
  await fails(t, d, /missing key client\.key for client certificate client\.cert/, 'pull', name)
})

registryTest('an index: the image for this machine, or the one that was asked for', async (t, d) => {
  const registry = await DockerRegistry.start(t, d)
  const entries: object[] = []
  const ids: Record<string, string> = {}
  for (const architecture of ['amd64', 's390x']) {
    const name = `${registry.host}/multi:${architecture}`
    const tar = path.join(d.dir, 'multi.tar')
    fs.writeFileSync(tar, await tarOf([{ name: 'arch', content: architecture }]))
    await d.ok('import', '--platform', `linux/${architecture}`, tar, name)
    await d.ok('push', name)
    const digest = await digestOf(d, name)
    ids[architecture] = (await inspect(d, name)).Id
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    entries.push({ mediaType, digest, size: contentOf(d, digest).length, platform: { os: 'linux', architecture } })
    await d.ok('rmi', name)
  }
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  const index = JSON.stringify({ schemaVersion: 2, mediaType, manifests: entries })
  const put = `import sys,urllib.request as u; u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": sys.argv[3]}, method="PUT"))`
  t.is((await d.host('python3', '-c', put, `http://${registry.host}/v2/multi/manifests/1`, index, mediaType)).code, 0)
  const name = `${registry.host}/multi:1`
  await d.ok('pull', name)
  t.is((await inspect(d, name)).Id, ids['amd64'] ?? '')
  t.deepEqual((await inspect(d, name)).RepoDigests, [`${registry.host}/multi@sha256:${createHash('sha256').update(index).digest('hex')}`])
  await d.ok('pull', '--platform', 'linux/s390x', name)
  t.is((await inspect(d, name)).Id, ids['s390x'] ?? '')
  await fails(t, d, /no matching manifest for linux\/riscv64 in the manifest list entries/, 'pull', '--platform', 'linux/riscv64', name)
  await d.ok('rmi', '-f', ids['amd64'] ?? '', ids['s390x'] ?? '')
})

registryTest('kill -9 in the middle of a pull: no half image, and the next pull goes on', async (t, d) => {
  t.timeout(120_000)
  const registry = await DockerRegistry.start(t, d)
  const name = `${registry.host}/large:1`
  await ownImage(d, name, 120 << 20)
  const { Id: id } = await inspect(d, name)
  await d.ok('push', name)
  await d.ok('rmi', name)
  const partials = path.join(d.dataRoot, 'content/ingest/partial')
  const sizes = (): number => fs.readdirSync(partials).reduce((sum, file) => sum + fs.statSync(path.join(partials, file)).size, 0)
  let before = 0
  let cut = 0
  for (const more of [1, 10 << 20, 25 << 20, 40 << 20]) {
    const pulling = d.docker('pull', name)
    for (let waited = 0; waited < 5000 && sizes() < before + more; waited++) await sleep(1)
    await d.signal('SIGKILL')
    await pulling
    await d.boot()
    t.is((await d.api('GET', `/images/${name}/json`)).status, 404)
    t.deepEqual(
      (await d.api('GET', '/images/json'))
        .json<{ RepoTags: string[] }[]>()
        .flatMap(({ RepoTags }) => RepoTags)
        .filter((tag) => tag === name),
      [],
    )
    t.true(sizes() >= before, 'what came is kept')
    before = sizes()
    if (before < 120 << 20) cut++
  }
  t.true(cut > 0, 'it was cut while it was being downloaded')
  await d.ok('pull', name)
  t.is((await inspect(d, name)).Id, id)
  t.deepEqual(fs.readdirSync(partials), [])
  t.true(registry.log.includes('206'), 'the registry was asked for the rest')
  const { layers } = JSON.parse(contentOf(d, await digestOf(d, name)).toString()) as { layers: { digest: string }[] }
  for (const { digest } of layers) t.is(`sha256:${createHash('sha256').update(contentOf(d, digest)).digest('hex')}`, digest)
  await d.ok('rmi', name)
})

import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import test from 'ava'
import { engineRoutes } from '../schema/routes.js'
import { createApi } from './server.js'
import { request } from './testing/client.js'
import { fakeServices, raw, running, type Running } from './testing/fakes.js'

const run = promisify(execFile)
let daemon: Running
test.before(async () => {
  daemon = await running()
})
test.after.always(() => daemon.stop())

test('versions are negotiated', async (t) => {
  const { socket } = daemon
  for (const prefix of ['', '/v1.24', '/v1.41', '/v1.51']) {
    const answer = await request(socket, 'GET', `${prefix}/info`)
    t.is(answer.status, 200)
    t.is(answer.headers['api-version'], '1.51')
  }
  const newer = await request(socket, 'GET', '/v1.99/info')
  t.is(newer.status, 400)
  t.is(newer.message, 'client version 1.99 is too new. Maximum supported API version is 1.51')
  const older = await request(socket, 'GET', '/v1.20/info')
  t.is(
    older.message,
    'client version 1.20 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
  )
  for (const odd of ['/v2.0/info', '/v1.51.1/info', '/v1/info']) t.is((await request(socket, 'GET', odd)).status, 400, odd)
})

test('every answer says who gives it', async (t) => {
  for (const [method, target, status] of [
    ['GET', '/_ping', 200],
    ['HEAD', '/_ping', 200],
    ['GET', '/v1.99/_ping', 400],
    ['GET', '/nowhere', 404],
    ['POST', '/session', 501],
    ['POST', '/containers/running/start', 304],
    ['POST', '/containers/broken/start', 500],
  ] as const) {
    const answer = await request(daemon.socket, method, target)
    t.is(answer.status, status, target)
    t.is(answer.headers['api-version'], '1.51')
    t.is(answer.headers['docker-experimental'], 'false')
    t.is(answer.headers['ostype'], 'linux')
    t.is(answer.headers['server'], 'tsd/1.2.3 (linux)')
  }
  t.is((await request(daemon.socket, 'GET', '/_ping')).text, 'OK')
  t.is((await request(daemon.socket, 'GET', '/nowhere')).text, '{"message":"page not found"}\n')
  t.is((await request(daemon.socket, 'PUT', '/info')).message, 'page not found')
})

test('the HTTP/1.0 line of a shell works byte for byte', async (t) => {
  const { stdout: answer } = await run('bash', ['-c', `echo -e "GET /info HTTP/1.0\\r\\n" | timeout 5 nc -U ${daemon.socket}`])
  t.true(answer.startsWith('HTTP/1.0 200 OK\r\n'), answer)
  t.true(answer.includes('\r\nConnection: close\r\n'))
  t.true(answer.endsWith('\r\n\r\n{"Name":"fake"}\n'), answer)
  const halfClosed = await raw(daemon.socket, (client) => client.end('GET /info HTTP/1.0\r\n\n'))
  t.regex(halfClosed, /^HTTP\/1\.0 200 OK/)
})

test('all 107 operations are served or say that they are not built', async (t) => {
  t.is(engineRoutes.length, 107)
  const served: string[] = []
  for (const route of engineRoutes) {
    const [method, template] = route.split(' ') as [string, string]
    if (template === '/events') {
      served.push(route)
      continue
    }
    const target = template.replace(/\{[^}]+\}/g, 'missing')
    const answer = await request(daemon.socket, method, target)
    if (answer.status !== 501) {
      t.not(answer.message, 'page not found', route)
      served.push(route)
    } else if (method !== 'HEAD' && !['/images/create', '/images/search'].includes(template))
      t.true(answer.message.startsWith(`${route} is not built`), answer.message)
  }
  for (const route of [
    'GET /_ping',
    'HEAD /_ping',
    'GET /version',
    'GET /info',
    'GET /containers/json',
    'POST /containers/create',
    'POST /containers/{id}/start',
    'GET /containers/{id}/json',
    'GET /containers/{id}/logs',
    'POST /containers/{id}/attach',
    'POST /containers/{id}/wait',
    'POST /containers/{id}/stop',
    'POST /containers/{id}/restart',
    'POST /containers/{id}/kill',
    'POST /containers/{id}/pause',
    'POST /containers/{id}/unpause',
    'POST /containers/{id}/rename',
    'POST /containers/{id}/resize',
    'GET /containers/{id}/top',
    'DELETE /containers/{id}',
    'POST /containers/prune',
    'POST /containers/{id}/exec',
    'POST /exec/{id}/start',
    'POST /exec/{id}/resize',
    'GET /exec/{id}/json',
    'POST /images/load',
    'POST /images/{name}/push',
    'GET /distribution/{name}/json',
    'POST /auth',
    'GET /images/json',
    'GET /images/{name}/json',
    'POST /images/{name}/tag',
    'DELETE /images/{name}',
    'GET /volumes',
    'POST /volumes/create',
    'GET /volumes/{name}',
    'PUT /volumes/{name}',
    'DELETE /volumes/{name}',
    'POST /volumes/prune',
    'GET /networks',
    'GET /networks/{id}',
    'DELETE /networks/{id}',
    'POST /networks/create',
    'POST /networks/{id}/connect',
    'POST /networks/{id}/disconnect',
    'POST /networks/prune',
  ])
    t.true(served.includes(route), route)
  t.is((await request(daemon.socket, 'HEAD', '/containers/x/archive')).status, 400)
  t.is((await request(daemon.socket, 'HEAD', '/events')).status, 404)
  const search = await request(daemon.socket, 'GET', '/images/search?term=alpine')
  t.is(search.status, 501)
  t.regex(search.message, /^cannot search for "alpine": .*hub\.docker\.com\/search/)
})

test('references may hold slashes', async (t) => {
  t.is((await request(daemon.socket, 'GET', '/v1.51/images/library/hello%3Alatest/json')).text, '{"Id":"library/hello:latest"}\n')
})

test('a live socket is refused, a stale one replaced, other files are left alone', async (t) => {
  const { services } = fakeServices()
  const second = createApi(services)
  await t.throwsAsync(second.listen(`unix://${daemon.socket}`), { message: /another process answers there/ })
  const stale = path.join(daemon.dir, 'stale.sock')
  spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ])
  t.true((await fs.lstat(stale)).isSocket())
  await second.listen(`unix://${stale}`)
  const stat = await fs.lstat(stale)
  t.is(stat.mode & 0o777, 0o660)
  t.is((await request(stale, 'GET', '/_ping')).text, 'OK')
  const file = path.join(daemon.dir, 'file')
  await fs.writeFile(file, 'mine')
  await t.throwsAsync(second.listen(`unix://${file}`), { message: /is not a socket/ })
  await t.throwsAsync(second.listen('http://127.0.0.1:2375'), { message: /hosts are unix:/ })
  await t.throwsAsync(second.listen('unix://relative'), { message: /absolute/ })
  await second.close(100)
  await t.throwsAsync(fs.lstat(stale))
  t.deepEqual(await fs.readdir(daemon.dir), ['api.sock', 'file'])
})

test('a group is found by name or refused', async (t) => {
  const { services } = fakeServices()
  const target = path.join(daemon.dir, 'group.sock')
  await t.throwsAsync(createApi(services, { group: 'no-such-group' }).listen(`unix://${target}`), { message: /groupadd no-such-group/ })
  if (process.getuid?.() === 0) {
    const api = createApi(services, { group: 'daemon' })
    await api.listen(`unix://${target}`)
    t.is((await fs.lstat(target)).gid, 1)
    await api.close(100)
  }
})

test('nonsense on the socket does no harm', async (t) => {
  t.regex(await raw(daemon.socket, (client) => client.write('\x16\x03\x01hello\r\n\r\n')), /^HTTP\/1\.1 400 Bad Request/)
  t.regex(await raw(daemon.socket, (client) => client.write(`GET /${'x'.repeat(2 << 20)} HTTP/1.1\r\nHost: x\r\n\r\n`)), /^HTTP\/1\.1 431/)
  const client = net.connect(daemon.socket)
  await new Promise((resolve) => client.once('connect', resolve))
  client.write('POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{')
  await new Promise((resolve) => setTimeout(resolve, 50))
  client.destroy()
  t.is((await request(daemon.socket, 'GET', '/_ping')).text, 'OK')
})

test('closing ends streams', async (t) => {
  const other = await running()
  const ended = raw(other.socket, (client) => client.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n'))
  await new Promise((resolve) => setTimeout(resolve, 100))
  const begun = Date.now()
  await other.stop()
  t.true(Date.now() - begun < 2_000)
  t.regex(await ended.catch(() => 'reset HTTP/1.1 200'), /HTTP\/1\.1 200/)
})

import test, { type ExecutionContext } from 'ava'
import fs from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { categoryOf, conflict, TsdError } from './errors.js'
import { PluginClient } from './http/client.js'
import { volumeWire } from './http/volume.js'
import type { VolumeDriver } from './kinds/volume.js'
import { serveHttp } from './serve-http.js'

class Names implements VolumeDriver {
  readonly volumes = new Map<string, Set<string>>()
  create(name: string): Promise<void> {
    this.volumes.set(name, this.volumes.get(name) ?? new Set())
    return Promise.resolve()
  }
  remove(name: string): Promise<void> {
    if ((this.volumes.get(name)?.size ?? 0) > 0) throw conflict(`volume ${name} is in use`, { code: 'EBUSY' })
    this.volumes.delete(name)
    return Promise.resolve()
  }
  get(name: string) {
    return Promise.resolve(this.volumes.has(name) ? { name, mountpoint: `/v/${name}` } : undefined)
  }
  list() {
    return Promise.resolve([...this.volumes.keys()].map((name) => ({ name })))
  }
  path(name: string) {
    return Promise.resolve(this.volumes.has(name) ? `/v/${name}` : undefined)
  }
  mount(name: string, holder: string) {
    this.volumes.get(name)?.add(holder)
    return Promise.resolve({ mountpoint: `/v/${name}` })
  }
  unmount(name: string, holder: string): Promise<void> {
    this.volumes.get(name)?.delete(holder)
    return Promise.resolve()
  }
}

async function serve(t: ExecutionContext) {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-serve-'))
  const socket = path.join(root, 'x.sock')
  const driver = new Names()
  const served = await serveHttp({ drivers: { volume: driver }, socket })
  t.teardown(async () => {
    await served.close()
    await fs.rm(root, { recursive: true })
  })
  const post = (url: string, body: string, method = 'POST', headers: Record<string, string> = {}) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const request = http.request({ socketPath: socket, path: url, method, headers, agent: false }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
      request.on('error', reject)
      request.end(body)
    })
  return { socket, driver, post }
}

test('serves Docker: exact spelling, folded reading, 404 for what it does not know', async (t) => {
  const { post } = await serve(t)
  for (const body of ['', 'null', '{}', 'null\n']) {
    t.deepEqual(JSON.parse((await post('/Plugin.Activate', body)).text), { Implements: ['VolumeDriver'], Tsd: { volume: 1 }, Err: '' })
  }
  for (const [url, method] of [
    ['/VolumeDriver.Nope', 'POST'],
    ['/', 'POST'],
    ['/VolumeDriver.List', 'GET'],
    ['/constructor', 'POST'],
  ] as const) {
    t.is((await post(url, '{}', method)).status, 404)
  }
  t.is(
    (await post('/VolumeDriver.Create', '{"name":"v","opts":null}', 'POST', { 'Content-Type': 'text/plain', Host: 'whatever' })).text,
    '{"Err":""}\n',
  )
  t.deepEqual(JSON.parse((await post('/VolumeDriver.Get', '{"NAME":"v"}')).text), { Volume: { Name: 'v', Mountpoint: '/v/v' }, Err: '' })
  t.deepEqual(JSON.parse((await post('/VolumeDriver.List', '')).text), { Volumes: [{ Name: 'v' }], Err: '' })
  t.is((JSON.parse((await post('/VolumeDriver.Get', '{"Name":"w"}')).text) as { Err: string }).Err, 'no such volume: w')
  t.is((JSON.parse((await post('/VolumeDriver.Mount', '{"Name":5}')).text) as { Err: string }).Err, 'Name must be a string, not number')
  t.regex((await post('/VolumeDriver.Create', '{"Name"')).text, /request body is not JSON/)
  const large = await post('/VolumeDriver.Create', JSON.stringify({ Name: 'x'.repeat(2 * 1024 * 1024) })).catch(
    (error: NodeJS.ErrnoException) => ({ status: 413, text: error.code ?? '' }),
  )
  t.is(large.status, 413)
  t.is((await post('/VolumeDriver.List', '')).status, 200, 'it lives on')
})

test('our own client keeps categories, codes and holders', async (t) => {
  const { socket, driver } = await serve(t)
  const client = new PluginClient({ name: 'names', address: { socket } })
  const volumes = volumeWire.client(client.caller('VolumeDriver', 'Err', true))
  await volumes.create('v', {})
  await volumes.mount('v', 'a holder')
  t.deepEqual([...(driver.volumes.get('v') ?? [])], ['a holder'])
  const error = await t.throwsAsync(volumes.remove('v'), { message: 'volume v is in use' })
  t.is(categoryOf(error), 'Conflict')
  t.is((error as TsdError).code, 'EBUSY')
  t.is((error as TsdError).plugin, 'names')
  await client.close()
})

test('hostile plugins: no JSON, wrong types, endless bodies, silence', async (t) => {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-hostile-'))
  const socket = path.join(root, 'x.sock')
  let reply: (socket: net.Socket) => void = () => undefined
  const server = net.createServer((connection) => {
    connection.on('error', () => undefined)
    connection.once('data', () => reply(connection))
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  const client = new PluginClient({ name: 'hostile', address: { socket }, timeout: 300, backoff: { delays: [1], budget: 5 } })
  const volumes = volumeWire.client(client.caller('VolumeDriver', 'Err', false))
  const says = (text: string) => (connection: net.Socket) =>
    void connection.end(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`)
  for (const [text, message] of [
    ['not json', /is not JSON/],
    ['{"Err": {"a": 1}}', /Err that is not a string/],
    ['{"Mountpoint": 5}', /Mountpoint must be a string/],
    ['{"Mountpoint": "relative"}', /expected an absolute path/],
    ['[]', /expected an absolute path/],
    ['{"Err": "no"}', /VolumeDriver.Mount: no/],
  ] as const) {
    reply = says(text)
    await t.throwsAsync(volumes.mount('v', text), { message }, text)
  }
  reply = (connection) => void connection.end('HTTP/1.1 500 no\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{"err": "broken"}')
  await t.throwsAsync(volumes.remove('v'), { message: 'VolumeDriver.Remove: broken' })
  reply = (connection) => void connection.end('garbage')
  t.is(categoryOf(await t.throwsAsync(volumes.remove('v'))), 'Unavailable')
  reply = () => undefined
  const late = await t.throwsAsync(client.call('/VolumeDriver.List', {}), { message: /did not answer within 0.3 s/ })
  t.is(categoryOf(late), 'DeadlineExceeded')
  reply = (connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const chunk = `100000\r\n${'x'.repeat(0x100000)}\r\n`
    const more = (): void => void (connection.writable && connection.write(chunk, more))
    more()
  }
  await t.throwsAsync(client.call('/VolumeDriver.List', {}, 'Err', { timeout: 10_000 }), { message: /answered more than/ })
  t.is(categoryOf(await t.throwsAsync(client.call('/VolumeDriver.List', {}, 'Err', { signal: AbortSignal.abort() }))), 'Cancelled')
  await client.close()
  server.close()
  await fs.rm(root, { recursive: true })
})

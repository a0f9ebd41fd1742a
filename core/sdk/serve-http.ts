import fs from 'node:fs/promises'
import http from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Kind, KindMap } from './driver.js'
import { categoryOf, invalidParameter, isTsdError, messageOf } from './errors.js'
import type { WireHandler, WireReply, WireRequest } from './http/wire.js'
import { wireOf } from './http/wires.js'

const maxBodyBytes = 1024 * 1024
const contentType = 'application/vnd.docker.plugins.v1.1+json'

export interface ServeOptions {
  /** Drivers to serve, one of a kind. */
  drivers: Partial<KindMap>
  /** Unix socket to listen on. What is left there by a process that is gone is replaced. */
  socket: string
  /** Mode of the socket; default 0600. */
  mode?: number
  /** Further calls by path, e.g. `/Plugin.Probe`. */
  extra?: Record<string, WireHandler>
}

export interface Served {
  socket: string
  /** Stops taking calls and waits for those under way. */
  close(): Promise<void>
}

type Routes = Map<string, { handler: WireHandler; errorMember: string }>

/** Serves drivers as a Docker plugin: any dockerd, or another tsd, can use them. */
export async function serveHttp(options: ServeOptions): Promise<Served> {
  const routes: Routes = new Map()
  for (const [path, handler] of Object.entries(options.extra ?? {})) routes.set(path, { handler, errorMember: 'Err' })
  await addDrivers(routes, options.drivers)
  const server = http.createServer((request, response) => {
    answer(routes, request, response).catch(() => response.destroy())
  })
  server.keepAliveTimeout = 60_000
  server.requestTimeout = 0
  await listen(server, options.socket, options.mode ?? 0o600)
  return {
    socket: options.socket,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      await closed
    },
  }
}

async function addDrivers(routes: Routes, drivers: Partial<KindMap>): Promise<void> {
  const subsystems: string[] = []
  const versions: Record<string, number> = {}
  for (const [kind, driver] of Object.entries(drivers) as [Kind, KindMap[Kind]][]) {
    const wire = await wireOf(kind)
    subsystems.push(wire.subsystem)
    versions[kind] = wire.version
    for (const [method, handler] of Object.entries(wire.server(driver as never))) {
      routes.set(`/${wire.subsystem}.${method}`, { handler, errorMember: wire.errorMember })
    }
  }
  routes.set('/Plugin.Activate', { handler: () => Promise.resolve({ Implements: subsystems, Tsd: versions }), errorMember: 'Err' })
}

async function listen(server: http.Server, socket: string, mode: number): Promise<void> {
  const stale = await fs.lstat(socket).catch(() => undefined)
  if (stale !== undefined) {
    if (!stale.isSocket()) throw invalidParameter(`${socket} exists and is not a socket`)
    await fs.unlink(socket)
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, resolve)
  })
  await fs.chmod(socket, mode)
}

async function answer(routes: Routes, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://plugin')
  const route = request.method === 'POST' ? routes.get(url.pathname) : undefined
  if (route === undefined) {
    // Optional calls are probed: an unknown one must be a plain 404.
    request.resume()
    send(response, 404, 'text/plain; charset=utf-8', '404 page not found\n')
    return
  }
  const controller = new AbortController()
  response.once('close', () => controller.abort())
  const call: WireRequest = { json: () => readJson(request), body: request, query: url.searchParams, signal: controller.signal }
  let reply: WireReply
  try {
    reply = await route.handler(call)
  } catch (error) {
    request.resume()
    const tooLarge = error instanceof BodyTooLarge
    // Status 200 with an error member is what every engine understands.
    send(response, tooLarge ? 413 : 200, contentType, `${JSON.stringify(errorReply(error, route.errorMember))}\n`, tooLarge)
    return
  }
  request.resume()
  if (reply instanceof Readable) {
    response.writeHead(200, { 'Content-Type': 'application/octet-stream' })
    await pipeline(reply, response)
  } else send(response, 200, contentType, `${JSON.stringify({ ...reply, [route.errorMember]: '' })}\n`)
}

function errorReply(error: unknown, member: string): Record<string, unknown> {
  const message = messageOf(error) || 'failed without a message'
  const code = isTsdError(error) ? error.code : undefined
  // Docker reads one of the two, depending on the call and the status.
  const both = member === 'Err' ? { Err: message } : { Error: message, Err: message }
  return { ...both, Tsd: { Category: categoryOf(error), ...(code === undefined ? {} : { Code: code }) } }
}

function send(response: http.ServerResponse, status: number, type: string, text: string, close = false): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text), ...(close ? { Connection: 'close' } : {}) })
  response.end(text)
}

class BodyTooLarge extends Error {
  constructor() {
    super(`request body is larger than ${maxBodyBytes} bytes`)
  }
}

async function readJson(request: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBodyBytes) throw new BodyTooLarge()
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString('utf8').trim()
  if (text === '') return {}
  try {
    return (JSON.parse(text) as unknown) ?? {}
  } catch (error) {
    throw invalidParameter(`request body is not JSON: ${messageOf(error)}`)
  }
}

import http, { type IncomingMessage, type RequestListener } from 'node:http'
import type https from 'node:https'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import type { TlsOptions } from './services.js'
import { expectEarlyBytes, forgetEarlyBytes, keepEarlyBytes } from './early-bytes.js'
import { Upgrade, markUpgrade } from './upgrade.js'

const lingering = 2_000
const ignore = (): void => undefined

/** A client that speaks HTTP/1.0 is answered in it, as Go does; Node would always write 1.1. */
class Response extends http.ServerResponse {
  constructor(request: IncomingMessage) {
    super(request)
    const inner = this as unknown as { _storeHeader?: (line: string, headers: unknown) => void }
    const store = inner._storeHeader
    if (request.httpVersion === '1.0' && store !== undefined)
      inner._storeHeader = (line, headers) => store.call(this, line.replace(/^HTTP\/1\.1/, 'HTTP/1.0'), headers)
  }
}

interface ClientError extends Error {
  code?: string
  rawPacket?: Buffer
}

function refuse(error: ClientError, socket: Duplex): void {
  if (keepEarlyBytes(socket, error.rawPacket)) return
  if (error.code === 'ECONNRESET' || !socket.writable || (socket as { _httpMessage?: unknown })._httpMessage) {
    socket.destroy()
    return
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${status}`)
  linger(socket)
}

/** Lets the client read our answer before the connection is reset under it. */
function linger(socket: Duplex): void {
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingering)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}

/** A client that still sends its body when it is answered would get EPIPE instead of the answer, were its connection closed at once. */
function lingerAfterEarlyAnswer(request: IncomingMessage, response: http.ServerResponse): void {
  const { socket } = request
  response.on('prefinish', () => {
    if (request.complete) return
    socket.destroySoon = () => {
      socket.end()
      linger(socket)
    }
  })
}

/** Node hands upgrades over outside of its request handling: they take the same way as every other request, on a response of our own. */
function onUpgrade(listener: RequestListener): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  return (request, socket, head) => {
    socket.on('error', ignore)
    const response = new Response(request)
    response.shouldKeepAlive = false
    response.on('error', ignore)
    response.assignSocket(socket as Socket)
    markUpgrade(request, new Upgrade(request, socket, head))
    response.on('finish', () => {
      response.detachSocket(socket as Socket)
      socket.end()
      linger(socket)
      response.emit('close')
    })
    listener(request, response)
  }
}

/** Time for a TLS handshake: who connects and says nothing holds a connection no longer. */
const handshakeTimeout = 10_000

const manners = {
  ServerResponse: Response as typeof http.ServerResponse,
  maxHeaderSize: 1024 * 1024,
  headersTimeout: 60_000,
  // Uploads and streams last as long as they last; JSON bodies have a deadline of their own.
  requestTimeout: 0,
  keepAliveTimeout: 10 * 60_000,
  keepAlive: false,
}

type AnyServer = http.Server | https.Server

/** An HTTP server with Docker's manners. The lenient parser is for unix sockets only: on TCP it would allow request smuggling. */
export function createHttpServer(listener: RequestListener, options: { lenient: boolean }): http.Server {
  return behave(http.createServer({ ...manners, insecureHTTPParser: options.lenient }), listener)
}

/** The same over TLS. With an authority, a client without its certificate gets no further than the handshake. */
export async function createHttpsServer(listener: RequestListener, { cert, key, ca }: TlsOptions): Promise<https.Server> {
  // Half a megabyte that few need.
  const { createServer } = await import('node:https')
  const client = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }
  const tls = { cert, key, minVersion: 'TLSv1.2' as const, handshakeTimeout, allowHalfOpen: true, ...client }
  return behave(createServer({ ...manners, insecureHTTPParser: false, ...tls }), listener)
}

function behave<S extends AnyServer>(server: S, listener: RequestListener): S {
  server.timeout = 0
  // Clients such as `nc -N` close their side before they read the answer.
  ;(server as AnyServer & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true
  server.on('request', (request, response) => {
    response.on('error', ignore)
    request.on('error', ignore)
    expectEarlyBytes(request)
    lingerAfterEarlyAnswer(request, response)
    response.on('finish', () => forgetEarlyBytes(request.socket))
    listener(request, response)
  })
  server.on('upgrade', onUpgrade(listener))
  server.on('connect', (_request, socket) => socket.destroy())
  server.on('clientError', refuse)
  return server
}

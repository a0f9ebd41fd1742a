import type http from 'node:http'
import type { RequestListener } from 'node:http'
import type net from 'node:net'
import { invalidParameter, messageOf, systemError } from '../sdk/errors.js'
import type { Logger } from '../sdk/ports.js'
import { createHttpServer, createHttpsServer } from './http-server.js'
import type { ApiOptions, TlsOptions } from './services.js'

/** Docker's ports, without and with TLS. */
const plainPort = 2375
const tlsPort = 2376

/** `tcp://address:port`; what is missing is Docker's: localhost and its ports. */
export function parseTcpHost(host: string, tls: boolean): { host: string; port: number } {
  const match = /^tcp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^:/?#@\s[\]]*))(?::(\d{1,5}))?\/?$/.exec(host)
  if (match === null) throw invalidParameter(`cannot listen on ${host}: expected tcp://ADDRESS:PORT`)
  const port = match[3] === undefined ? (tls ? tlsPort : plainPort) : Number(match[3])
  if (port < 1 || port > 65_535) throw invalidParameter(`cannot listen on ${host}: the port must be 1 to 65535`)
  return { host: match[1] ?? (match[2] === '' || match[2] === undefined ? '127.0.0.1' : match[2]), port }
}

/** A server for connections that anybody on the network may open. */
export async function tcpServer(
  listener: RequestListener,
  tls: TlsOptions | undefined,
  host: string,
  logger: Logger,
): Promise<http.Server> {
  if (tls?.ca === undefined) {
    logger.warn(
      `!!! ${host} ASKS NO CLIENT WHO IT IS: whoever can connect to it is root on this machine${tls === undefined ? ', and everything is sent in the clear' : ''}`,
    )
    logger.warn(`!!! an address of this machine alone is no protection: every local user and every web page in a browser here can reach it`)
    logger.warn(`!!! serve ${host} with --tlsverify --tlscacert --tlscert --tlskey, or remove it and use a unix socket through ssh`)
  }
  if (tls === undefined) return createHttpServer(listener, { lenient: false })
  const server = await createHttpsServer(listener, tls)
  server.on('tlsClientError', (error, socket) => {
    logger.debug('a TLS handshake failed', { host, client: socket.remoteAddress ?? '', error: messageOf(error) })
  })
  return server as unknown as http.Server
}

function listening(server: net.Server, listen: () => void, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(systemError(`cannot listen on ${what}: ${error.message}`, { cause: error }))
    server.once('error', fail)
    server.once('listening', () => {
      server.off('error', fail)
      resolve()
    })
    listen()
  })
}

export function listenTcp(server: net.Server, { host, port }: { host: string; port: number }): Promise<void> {
  return listening(server, () => server.listen({ host, port }), `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`)
}

export function listenFd(server: net.Server, fd: number): Promise<void> {
  return listening(server, () => server.listen({ fd }), `file descriptor ${fd}`)
}

/** `fd://` and `fd://*`: all that were handed over; `fd://3`: that one. */
export function chooseActivated(
  host: string,
  rest: string,
  activated: NonNullable<ApiOptions['activated']>,
): NonNullable<ApiOptions['activated']> {
  if (activated.length === 0)
    throw invalidParameter(
      `cannot listen on ${host}: no sockets were handed over (LISTEN_FDS): start tsd by a socket unit, or use -H unix:///run/tsd/tsd.sock`,
    )
  if (rest === '' || rest === '*') return activated
  const chosen = activated.filter(({ fd }) => String(fd) === rest)
  if (chosen.length === 0)
    throw invalidParameter(
      `cannot listen on ${host}: there is no such socket; handed over were ${activated.map(({ fd }) => `fd://${fd}`).join(' ')}`,
    )
  return chosen
}

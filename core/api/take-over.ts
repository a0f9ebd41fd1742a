import type { Duplex } from 'node:stream'
import { takeEarlyBytes } from './early-bytes.js'
import { identityHeaders } from './middleware/identity.js'
import type { ApiContext } from './services.js'
import { upgradeOf } from './upgrade.js'

export interface RawConnection {
  socket: Duplex
  /** What the client sent already. */
  first: Buffer
}

interface ParsedSocket {
  parser?: { remove?(): void } | null
}

export const rawStream = 'application/vnd.docker.raw-stream'
export const multiplexedStream = 'application/vnd.docker.multiplexed-stream'

/** Output content type: clients before 1.42 know only one name for both. */
export function streamType(ctx: ApiContext, tty: boolean): string {
  return !tty && ctx.state.api >= 42 ? multiplexedStream : rawStream
}

const open = new Set<Duplex>()

/** Ends the connections that left HTTP: their server no longer knows them. */
export function endRawConnections(servers: readonly unknown[]): void {
  for (const socket of open) if (servers.includes((socket as { server?: unknown }).server)) socket.destroy()
}

/**
 * Turns the connection of a request into a raw stream and answers as dockerd does: `101 UPGRADED` to a client that asked for it, a bare `200 OK`
 * to the older ones that just take the connection. `handshake`: headers of another protocol than Docker's own. Nothing of HTTP is left listening on the socket.
 */
export function takeOver(ctx: ApiContext, tty: boolean, handshake?: [name: string, value: string][]): RawConnection {
  const upgrade = upgradeOf(ctx.req)
  const socket: Duplex = upgrade?.socket ?? ctx.req.socket
  ctx.respond = false
  ctx.res.detachSocket(ctx.req.socket)
  // A listener for data makes Node hand the descriptor back from its parser; only then may the parser go.
  const ignore = (): void => undefined
  if (upgrade === undefined) socket.on('data', ignore)
  socket.pause()
  socket.removeAllListeners()
  const parsed = socket as Duplex & ParsedSocket
  if (upgrade === undefined && parsed.parser) {
    parsed.parser.remove?.()
    parsed.parser = null
  }
  socket.on('error', ignore)
  if (!socket.destroyed) {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  }
  if (upgrade === undefined) {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: ${rawStream}\r\n\r\n`)
    return { socket, first: takeEarlyBytes(socket) }
  }
  const identity = identityHeaders.map((name) => [name, ctx.response.get(name)]).filter(([, value]) => value !== '')
  const answer = handshake ?? [
    ['Content-Type', streamType(ctx, tty)],
    ['Connection', 'Upgrade'],
    ['Upgrade', 'tcp'],
  ]
  const headers = [...answer, ...identity]
  socket.write(`HTTP/1.1 101 UPGRADED\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
  return { socket, first: upgrade.takeRest() }
}

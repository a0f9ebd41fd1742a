import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

/**
 * A client of the header-less hijack may send its stdin right behind the request. Until the connection is taken over Node's parser takes
 * these bytes for another request and fails; they come back with its error and are kept here.
 */
const early = new WeakMap<Duplex, { requestSeen: boolean; bodyLength: number; chunks: Buffer[]; size: number }>()
const limit = 1024 * 1024

const hijackable = /^(?:\/v[\d.]+)?\/(?:containers\/.+\/attach|exec\/.+\/start)(?:\?|$)/

/** True when the request's connection may become a raw stream without an upgrade. */
export function expectEarlyBytes(request: IncomingMessage): void {
  if (request.method !== 'POST' || !hijackable.test(request.url ?? '')) return
  const bodyLength = Number(request.headers['content-length'] ?? 0)
  early.set(request.socket, { requestSeen: false, bodyLength, chunks: [], size: 0 })
}

export function forgetEarlyBytes(socket: Duplex): void {
  early.delete(socket)
}

/** Answers true when the parser's error was stdin and is taken care of. */
export function keepEarlyBytes(socket: Duplex, packet: Buffer | undefined): boolean {
  const entry = early.get(socket)
  if (entry === undefined || packet === undefined) return false
  let rest = packet
  if (!entry.requestSeen) {
    entry.requestSeen = true
    const end = /^(?:POST) [^\n]*HTTP\/1\.[01]\r?\n/.test(packet.subarray(0, 8192).toString('latin1')) ? endOfHead(packet) : -1
    if (end >= 0) rest = packet.subarray(end + entry.bodyLength)
  }
  entry.size += rest.length
  if (entry.size > limit) return false
  entry.chunks.push(Buffer.from(rest))
  return true
}

function endOfHead(packet: Buffer): number {
  const strict = packet.indexOf('\r\n\r\n')
  if (strict >= 0) return strict + 4
  const lenient = packet.indexOf('\n\n')
  return lenient >= 0 ? lenient + 2 : -1
}

export function takeEarlyBytes(socket: Duplex): Buffer {
  const entry = early.get(socket)
  early.delete(socket)
  return entry === undefined ? Buffer.alloc(0) : Buffer.concat(entry.chunks)
}

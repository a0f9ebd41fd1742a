import dgram from 'node:dgram'
import { randomInt } from 'node:crypto'
import net from 'node:net'
import type { HeldSandbox } from '../ports/index.js'
import type { UpstreamServer } from './contract.js'
import { answersQuestion, rcodeOf, rcodes, withId } from './message.js'

const PORT = 53
const TIMEOUT = 4_000
/** As resolv.conf has it. */
const mostServers = 3
/** Questions on their way, of one container and of all. */
const mostOfOne = 128
const mostOfAll = 1_024

let allOnTheirWay = 0

/** Asks the servers of one container, from its network or from the host's. */
export class Upstream {
  readonly #onTheirWay = new Set<() => void>()
  #closed = false

  constructor(
    private readonly sandbox: HeldSandbox,
    private readonly host: HeldSandbox,
    private readonly servers: readonly UpstreamServer[],
  ) {}

  /** The first answer that is one; undefined when no server gives any. Each question has a socket, a port and an id of its own. */
  async ask(query: Buffer, kind: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    if (this.#closed || this.#onTheirWay.size >= mostOfOne || allOnTheirWay >= mostOfAll) return undefined
    let last: Buffer | undefined
    for (const server of this.servers.slice(0, mostServers)) {
      const own = withId(query, randomInt(0x10000))
      const answer = await this.#exchange(server, own, kind)
      if (this.#closed) return undefined
      if (!answer) continue
      last = withId(answer, query.readUInt16BE(0))
      const rcode = rcodeOf(answer)
      if (rcode !== rcodes.serverFailure && rcode !== rcodes.refused) return last
    }
    return last
  }

  async #exchange(server: UpstreamServer, query: Buffer, kind: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    allOnTheirWay++
    let stop: (() => void) | undefined
    try {
      const fd = (server.fromHost ? this.host : this.sandbox).outgoing(kind, server.address, PORT)
      return await new Promise<Buffer | undefined>((resolve) => {
        const timer = setTimeout(() => resolve(undefined), TIMEOUT)
        const close = (kind === 'udp' ? overUdp : overTcp)(fd, server.address, query, resolve)
        stop = () => {
          clearTimeout(timer)
          close()
          resolve(undefined)
        }
        this.#onTheirWay.add(stop)
      })
    } catch {
      // No way to the server from there: the next one may have one.
      return undefined
    } finally {
      allOnTheirWay--
      if (stop) {
        this.#onTheirWay.delete(stop)
        stop()
      }
    }
  }

  /** What is on its way stands in the sandbox as well. */
  close(): void {
    this.#closed = true
    for (const stop of [...this.#onTheirWay]) stop()
  }
}

type Done = (answer: Buffer | undefined) => void

/** The socket is connected: the kernel passes on what comes from the server alone, and its refusals. */
function overUdp(fd: number, address: string, query: Buffer, done: Done): () => void {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4')
  let open = true
  socket.on('error', () => done(undefined))
  // A message that answers something else may be forged: the real one may still come.
  socket.on('message', (message) => {
    if (answersQuestion(query, message)) done(message)
  })
  socket.bind({ fd }, () => {
    if (!open) return
    socket.connect(PORT, address, (error?: Error) => {
      if (error) done(undefined)
      else if (open) socket.send(query, (failure) => failure && done(undefined))
    })
  })
  return () => {
    if (open) socket.close()
    open = false
  }
}

function overTcp(fd: number, _address: string, query: Buffer, done: Done): () => void {
  const socket = new net.Socket({ fd, readable: true, writable: true })
  let received = Buffer.alloc(0)
  socket.on('error', () => done(undefined))
  socket.on('close', () => done(undefined))
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk])
    const size = received.length >= 2 ? received.readUInt16BE(0) : undefined
    if (size === undefined || received.length < size + 2) return
    const message = received.subarray(2, size + 2)
    done(answersQuestion(query, message) ? message : undefined)
  })
  const length = Buffer.alloc(2)
  length.writeUInt16BE(query.length)
  socket.write(Buffer.concat([length, query]))
  return () => socket.destroy()
}

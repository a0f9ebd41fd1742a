import dgram from 'node:dgram'
import net from 'node:net'
import { messageOf } from '../../sdk/errors.js'
import type { HeldSandbox, LoggerPort, NameServerPorts } from '../ports/index.js'
import { mostQuery } from './message.js'

/** The answer to one query, or undefined for none. */
export type Answering = (query: Buffer, kind: 'udp' | 'tcp') => Promise<Buffer | undefined>

/** What one container may have open at once: more is dropped, and asked again by whoever means it. */
const mostQueries = 256
const mostConnections = 32
const IDLE = 10_000

/** The sockets of one sandbox. Datagrams and connections come from its own loopback only. */
export class NameServer {
  readonly #udp = dgram.createSocket('udp4')
  readonly #tcp = net.createServer({ noDelay: true })
  readonly #connections = new Set<net.Socket>()
  #queries = 0
  #closed = false

  constructor(
    private readonly answer: Answering,
    private readonly logger: LoggerPort,
  ) {}

  open(sandbox: HeldSandbox, ports: NameServerPorts): void {
    const fds = sandbox.listen(ports)
    this.#udp.on('error', (error) => this.logger.warn(`a name server's socket failed: ${messageOf(error)}`))
    this.#udp.on('message', (query, from) => {
      void this.#answer(query, 'udp').then((reply) => {
        if (reply && !this.#closed) this.#udp.send(reply, from.port, from.address, () => undefined)
      })
    })
    this.#udp.bind({ fd: fds.udp })
    this.#tcp.on('error', (error) => this.logger.warn(`a name server's socket failed: ${messageOf(error)}`))
    this.#tcp.on('connection', (socket) => this.#serve(socket))
    this.#tcp.listen({ fd: fds.tcp })
  }

  async #answer(query: Buffer, kind: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    if (this.#closed || this.#queries >= mostQueries) return undefined
    this.#queries++
    try {
      return await this.answer(query, kind)
    } catch (error) {
      this.logger.debug(`a question of a container was not answered: ${messageOf(error)}`)
      return undefined
    } finally {
      this.#queries--
    }
  }

  /** One question after the other: the next one is read when the last is answered. */
  #serve(socket: net.Socket): void {
    if (this.#connections.size >= mostConnections) return void socket.destroy()
    this.#connections.add(socket)
    socket.setTimeout(IDLE, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#connections.delete(socket))
    void this.#converse(socket).catch(() => socket.destroy())
  }

  async #converse(socket: net.Socket): Promise<void> {
    let received = Buffer.alloc(0)
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received = Buffer.concat([received, chunk])
      for (;;) {
        const size = received.length >= 2 ? received.readUInt16BE(0) : undefined
        if (size === undefined) break
        if (size > mostQuery) return void socket.destroy()
        if (received.length < size + 2) break
        const reply = await this.#answer(Buffer.from(received.subarray(2, size + 2)), 'tcp')
        received = received.subarray(size + 2)
        if (!reply) return void socket.destroy()
        const length = Buffer.alloc(2)
        length.writeUInt16BE(reply.length)
        if (!socket.write(Buffer.concat([length, reply]))) await drained(socket)
      }
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#udp.close()
    this.#tcp.close()
    for (const socket of this.#connections) socket.destroy()
  }
}

/** Ended by the socket's timeout when the peer does not read. */
function drained(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve)
    socket.once('close', resolve)
  })
}

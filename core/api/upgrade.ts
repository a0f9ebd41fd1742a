import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { cancelled, deadlineExceeded, invalidParameter } from '../sdk/errors.js'

const slowest = 60_000

/**
 * A request with `Upgrade:` headers. Node gives up parsing there: the body, if one was announced, is still on the raw socket,
 * its first bytes in `head`.
 */
export class Upgrade {
  constructor(
    private readonly request: IncomingMessage,
    readonly socket: Duplex,
    private head: Buffer,
  ) {}

  /** The announced body, and no byte of what follows it. */
  async *body(): AsyncGenerator<Buffer> {
    if (this.request.headers['transfer-encoding'] !== undefined)
      throw invalidParameter('a request that upgrades its connection must give the length of its body (Content-Length)')
    let missing = Number(this.request.headers['content-length'] ?? 0)
    while (missing > 0) {
      const chunk = this.head.length > 0 ? this.head : await this.more()
      const part = chunk.subarray(0, missing)
      this.head = chunk.subarray(part.length)
      missing -= part.length
      yield part
    }
  }

  /** Bytes read that belong to the stream after the request. */
  takeRest(): Buffer {
    const rest = this.head
    this.head = Buffer.alloc(0)
    return rest
  }

  private more(): Promise<Buffer> {
    const { socket } = this
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer)
        socket.pause()
        socket.off('data', onData)
        socket.off('end', onEnd)
        socket.off('close', onEnd)
        act()
      }
      const onData = (chunk: Buffer): void => settle(() => resolve(chunk))
      const onEnd = (): void => settle(() => reject(cancelled('the client went away before its request body was complete')))
      const timer = setTimeout(
        () => settle(() => reject(deadlineExceeded(`the request body did not arrive within ${slowest / 1000} seconds`))),
        slowest,
      )
      socket.on('data', onData)
      socket.on('end', onEnd)
      socket.on('close', onEnd)
      socket.resume()
    })
  }
}

const upgrades = new WeakMap<IncomingMessage, Upgrade>()

export function markUpgrade(request: IncomingMessage, upgrade: Upgrade): void {
  upgrades.set(request, upgrade)
}

export function upgradeOf(request: IncomingMessage): Upgrade | undefined {
  return upgrades.get(request)
}

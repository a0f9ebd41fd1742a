import net from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { messageOf, unavailable } from '../../errors.js'

export type StreamAddress = { host: string; port: number; tls?: ConnectionOptions } | { path: string }

const connectDeadline = 10_000

async function dial(address: StreamAddress): Promise<net.Socket> {
  if ('path' in address) return net.connect(address)
  const { host, port, tls } = address
  // Rarely used, and large.
  return tls === undefined ? net.connect({ host, port }) : (await import('node:tls')).connect({ host, port, ...tls })
}

/** A connection that is written to, and read only to see it end. */
export class Stream {
  private fault: Error | undefined
  private readonly waiting = new Set<(error: Error) => void>()
  private listener: ((data: Buffer) => void) | undefined

  private constructor(
    private readonly socket: net.Socket,
    readonly name: string,
  ) {
    const end = (error: Error): void => {
      this.fault ??= error
      for (const reject of this.waiting) reject(this.fault)
    }
    socket.on('error', end)
    socket.on('close', () => end(unavailable(`${name} closed the connection`)))
    socket.on('data', (data: Buffer) => this.listener?.(data))
    socket.unref()
  }

  static async open(address: StreamAddress, name: string, signal: AbortSignal): Promise<Stream> {
    const socket = await dial(address)
    const event = 'tls' in address && address.tls !== undefined ? 'secureConnect' : 'connect'
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(unavailable(`no answer within ${connectDeadline / 1000} s`)), connectDeadline)
        const abort = (): void => reject(unavailable('given up'))
        socket.once(event, resolve)
        socket.once('error', reject)
        socket.once('close', () => {
          clearTimeout(timer)
          signal.removeEventListener('abort', abort)
          reject(unavailable('closed at once'))
        })
        socket.once(event, () => {
          clearTimeout(timer)
          signal.removeEventListener('abort', abort)
        })
        signal.addEventListener('abort', abort)
        if (signal.aborted) abort()
      })
    } catch (error) {
      socket.on('error', () => undefined)
      socket.destroy()
      throw unavailable(`dial ${name}: ${messageOf(error)}`, { cause: error })
    }
    if (socket instanceof net.Socket) socket.setKeepAlive(true, 30_000)
    return new Stream(socket, name)
  }

  /** Resolves once the system has taken it all. */
  async write(data: Buffer): Promise<void> {
    await this.unlessEnded<void>((resolve) => this.socket.write(data, (error) => (error ? undefined : resolve())))
  }

  /** Waits until `take` has what it wants of the bytes that arrive; fails after `deadline` milliseconds. */
  async read<T>(take: (data: Buffer) => T | undefined, deadline: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    try {
      return await this.unlessEnded<T>((resolve, reject) => {
        timer = setTimeout(() => reject(unavailable(`${this.name} did not answer within ${deadline} ms`)), deadline).unref()
        this.listener = (data) => {
          try {
            const taken = take(data)
            if (taken !== undefined) resolve(taken)
          } catch (error) {
            reject(error as Error)
          }
        }
      })
    } finally {
      clearTimeout(timer)
      this.listener = undefined
    }
  }

  private async unlessEnded<T>(work: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> {
    let waiter: ((error: Error) => void) | undefined
    try {
      return await new Promise<T>((resolve, reject) => {
        if (this.fault !== undefined) return reject(this.fault)
        waiter = reject
        this.waiting.add(reject)
        work(resolve, reject)
      })
    } finally {
      if (waiter !== undefined) this.waiting.delete(waiter)
    }
  }

  close(): void {
    // What was written is still sent; a peer that does not take it is not waited for.
    this.socket.end()
    setTimeout(() => this.socket.destroy(), 1_000).unref()
  }
}

import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../errors.js'
import type { Logger } from '../../ports.js'
import { decodeFrames, type LogMessage } from '../entry.js'
import { frameFormat } from '../frames.js'
import { positionAt } from '../position.js'
import { readRecords, type RecordChunk } from '../records.js'
import type { Destination, Sender } from './protocol.js'
import type { ForwardRecord } from './records.js'

/** Handed over at once: little enough to encode between two turns of the event loop. */
const atOnce = 64
/** How far the record on disk may lag behind what was handed over: it is sent again after a kill. */
const saveInterval = 100
/** Milliseconds until files that could not be read are tried again. */
const faultWait = 1_000

export interface CourierParts {
  file: string
  record: ForwardRecord
  destination: Destination
  save(record: ForwardRecord): Promise<void>
  logger: Logger
  /** Opened already, to see whether it can be. */
  sender?: Sender
}

/** Carries one container's messages from its files to the receiver. Nobody waits for it: a receiver that stalls holds up the courier alone. */
export class Courier {
  private readonly stopping = new AbortController()
  private readonly leaving = new AbortController()
  private sender: Sender | undefined
  private saved = 0
  private timer: NodeJS.Timeout | undefined
  private failing = false
  /** All that a stopped container wrote was handed over, or it was told to leave. */
  readonly done: Promise<void>

  constructor(private readonly parts: CourierParts) {
    this.sender = parts.sender
    if (parts.record.stopped) this.stopping.abort()
    this.done = this.run().catch((error: unknown) => this.warn('the log is not forwarded any more', error))
  }

  get connected(): boolean {
    return !this.failing
  }

  /** The container has ended: what it wrote is still delivered. */
  stop(): void {
    this.parts.record.stopped = true
    this.stopping.abort()
  }

  /** Ends it where it stands. */
  async leave(): Promise<void> {
    this.leaving.abort()
    this.sender?.close()
    await this.done
  }

  private warn(message: string, error: unknown): void {
    this.parts.logger.warn(message, { container: this.parts.record.info.containerId, error: messageOf(error) })
  }

  private async run(): Promise<void> {
    try {
      while (!(await this.follow())) await delay(faultWait, undefined, { signal: this.leaving.signal, ref: false }).catch(() => undefined)
    } finally {
      clearTimeout(this.timer)
      this.disconnect()
      await this.parts.save(this.parts.record)
    }
  }

  /** True: there is nothing more to do. */
  private async follow(): Promise<boolean> {
    const { file, record } = this.parts
    const chunks = readRecords(file, frameFormat, {
      follow: true,
      stopped: this.stopping.signal,
      signal: this.leaving.signal,
      ...(record.position === undefined ? {} : { after: record.position }),
      onLost: () => this.warn('part of the log was rotated away before it could be forwarded', 'the receiver was gone for too long'),
    })
    try {
      for await (const chunk of chunks) if (!(await this.carry(chunk))) break
      return true
    } catch (error) {
      if (this.leaving.signal.aborted) return true
      this.warn('the log cannot be read to be forwarded; it is tried again', error)
      return false
    }
  }

  private async carry({ records, generation, end }: RecordChunk): Promise<boolean> {
    let begin = end - records.length
    const messages = decodeFrames(records)
    const sizes = frameSizes(records)
    for (let at = 0; at < messages.length; at += atOnce) {
      if (!(await this.deliver(messages.slice(at, at + atOnce)))) return false
      begin += sizes.slice(at, at + atOnce).reduce((sum, size) => sum + size, 0)
      this.parts.record.position = await positionAt(generation, begin)
      this.saveSoon()
    }
    return true
  }

  private async deliver(messages: LogMessage[]): Promise<boolean> {
    const { destination } = this.parts
    let wait = destination.retryWait
    for (let failures = 0; !this.leaving.signal.aborted;) {
      try {
        if (this.sender?.stale?.() === true) this.disconnect()
        this.sender ??= await destination.open(this.leaving.signal)
        await this.sender.send(messages)
        this.failing = false
        return true
      } catch (error) {
        if (this.leaving.signal.aborted) return false
        if ((error as { code?: unknown }).code === 'EMSGSIZE') return this.deliverSmaller(messages, error)
        this.disconnect()
        if (!this.failing) this.warn('the log cannot be forwarded; it is kept and tried again', error)
        this.failing = true
        if (++failures > destination.retries) {
          this.warn(`${messages.length} messages of the log are dropped after ${destination.retries} retries`, error)
          return true
        }
        await delay(wait, undefined, { signal: this.leaving.signal, ref: false }).catch(() => undefined)
        wait = Math.min(destination.longestWait, wait * 2)
      }
    }
    return false
  }

  /** What no receiver takes is not repeated for ever. */
  private async deliverSmaller(messages: LogMessage[], error: unknown): Promise<boolean> {
    if (messages.length === 1) {
      this.warn('a message of the log is too large for its receiver and is dropped', error)
      return true
    }
    for (const message of [...messages]) if (!(await this.deliver([message]))) return false
    return true
  }

  private disconnect(): void {
    this.sender?.close()
    this.sender = undefined
  }

  private saveSoon(): void {
    this.timer ??= setTimeout(
      () => {
        this.timer = undefined
        this.saved = Date.now()
        this.parts.save(this.parts.record).catch((error: unknown) => this.warn('how far the log was forwarded cannot be kept', error))
      },
      Math.max(0, this.saved + saveInterval - Date.now()),
    ).unref()
  }
}

function frameSizes(records: Buffer): number[] {
  const sizes: number[] = []
  for (let at = 0; at < records.length;) {
    const size = records.readUInt32BE(at) + 8
    sizes.push(size)
    at += size
  }
  return sizes
}

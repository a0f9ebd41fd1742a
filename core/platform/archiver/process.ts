import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { TsdError, cancelled, isTsdError, systemError } from '../../sdk/errors.js'
import { frame, HEADER, header } from './protocol.js'
import type { Failure, Job } from './protocol.js'

const script = fileURLToPath(new URL('./worker.js', import.meta.url))
const heapMegabytes = 128

export interface JobStreams {
  input?: Readable
  /** Answers false to hold the worker back until `resume()` is called. */
  output?: (data: Buffer) => boolean
  signal?: AbortSignal | undefined
}

interface Pending {
  resolve(value: unknown): void
  reject(error: unknown): void
  output: ((data: Buffer) => boolean) | undefined
}

/** One worker process. It takes one job at a time. */
export class WorkerProcess {
  private readonly child: ChildProcessByStdio<Writable, Readable, null>
  private pending: Pending | undefined
  private head = Buffer.alloc(0)
  private rest = 0
  private parts: Buffer[] = []
  /** Ended, or told to end: takes no more jobs. */
  dead = false

  constructor() {
    this.child = spawn(process.execPath, [`--max-old-space-size=${heapMegabytes}`, '--max-semi-space-size=2', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env['PATH'] ?? '', TSD_DAEMON: String(process.pid) },
      cwd: '/',
    })
    this.child.unref()
    for (const stream of [this.child.stdin, this.child.stdout]) (stream as unknown as { unref?: () => void }).unref?.()
    this.child.stdout.on('data', (data: Buffer) => this.received(data))
    // A broken pipe shows as the worker's exit.
    this.child.stdin.on('error', () => undefined)
    this.child.on('error', (error) => this.ended(systemError(`cannot run the archive worker: ${error.message}`, { cause: error })))
    this.child.on('exit', (code, signal) =>
      this.ended(systemError(`the archive worker ended unexpectedly (${signal ?? `exit code ${code}`})`)),
    )
  }

  /** Carries out a job. The promise settles when the worker is free again, or dead. */
  async run(job: Job, streams: JobStreams = {}): Promise<unknown> {
    if (streams.signal?.aborted === true)
      throw isTsdError(streams.signal.reason) ? streams.signal.reason : cancelled('the operation was cancelled')
    const abort = (): void => this.kill(cancelled('the operation was cancelled'))
    streams.signal?.addEventListener('abort', abort, { once: true })
    this.child.ref()
    try {
      const answer = new Promise((resolve, reject) => (this.pending = { resolve, reject, output: streams.output }))
      answer.catch(() => undefined)
      // The last job may have left it paused.
      this.resume()
      this.send(frame.job, Buffer.from(JSON.stringify(job)))
      if (streams.input === undefined) return await answer
      return await this.feed(streams.input, answer)
    } finally {
      this.child.unref()
      streams.signal?.removeEventListener('abort', abort)
    }
  }

  /** Lets a worker that was held back go on. */
  resume(): void {
    this.child.stdout.resume()
  }

  /** Ends an idle worker. */
  end(): void {
    this.dead = true
    this.child.stdin.end()
  }

  kill(reason: unknown): void {
    this.dead = true
    this.child.kill('SIGKILL')
    this.ended(reason)
  }

  private send(type: number, data: Uint8Array): boolean {
    this.child.stdin.write(header(type, data.byteLength))
    return data.byteLength === 0 ? true : this.child.stdin.write(data)
  }

  private async feed(input: Readable, answer: Promise<unknown>): Promise<unknown> {
    // A worker that refuses the archive early must not wait for a slow sender.
    answer.catch(() => input.destroy())
    let failure: { error: unknown } | undefined
    try {
      for await (const chunk of input as AsyncIterable<Buffer>) {
        if (this.dead) break
        if (!this.send(frame.data, chunk)) await this.drained()
      }
    } catch (error) {
      failure = { error }
    }
    this.send(failure === undefined ? frame.end : frame.abort, new Uint8Array())
    try {
      return await answer
    } catch (error) {
      // What the archive is guilty of says more than the cut that it caused in the sender.
      throw failure !== undefined && isCutOff(error) ? failure.error : error
    }
  }

  private async drained(): Promise<void> {
    const stop = new AbortController()
    try {
      await Promise.race([once(this.child.stdin, 'drain', { signal: stop.signal }), once(this.child, 'exit', { signal: stop.signal })])
    } finally {
      stop.abort()
    }
  }

  private received(data: Buffer): void {
    for (let at = 0; at < data.length;) {
      if (this.head.length < HEADER) {
        const piece = data.subarray(at, at + HEADER - this.head.length)
        this.head = Buffer.concat([this.head, piece])
        at += piece.length
        if (this.head.length < HEADER) return
        this.rest = this.head.readUInt32LE(1)
      } else {
        const piece = data.subarray(at, at + this.rest)
        at += piece.length
        this.rest -= piece.length
        this.payload(this.head.readUInt8(0), piece)
      }
      if (this.rest === 0) this.frameEnded(this.head.readUInt8(0))
    }
  }

  private payload(type: number, piece: Buffer): void {
    if (type !== frame.data) this.parts.push(piece)
    else if (this.pending?.output?.(piece) === false) this.child.stdout.pause()
  }

  private frameEnded(type: number): void {
    this.head = Buffer.alloc(0)
    if (type === frame.data) return
    const value: unknown = JSON.parse(Buffer.concat(this.parts.splice(0)).toString())
    const pending = this.pending
    this.pending = undefined
    if (type === frame.answer) return pending?.resolve(value)
    const { category, message, code } = value as Failure
    pending?.reject(new TsdError(category, message, code === undefined ? {} : { code }))
  }

  private ended(reason: unknown): void {
    this.dead = true
    const pending = this.pending
    this.pending = undefined
    pending?.reject(reason)
  }
}

const CUT_OFF = 'the input was cut off'
const isCutOff = (error: unknown): boolean => error instanceof TsdError && error.message.endsWith(CUT_OFF)

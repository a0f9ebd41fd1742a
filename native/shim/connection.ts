import type { Socket } from 'node:net'
import { encodeFrame, FrameReader, PayloadReader, ProtocolError, u32Payload } from './frame-reader.js'
import { fromShim, SHIM_VERSION, shimStates, STDIN_WINDOW, toShim } from './frames.js'
import { readPlanError } from './plan-error.js'

export interface ShimExitRecord {
  code: number
  signal: number
  oom: boolean
  time: string
}

export interface ShimProcess {
  pid: number
  startTime: string
}

type Output = 'stdout' | 'stderr'
type OutputHandler = (source: Output, data: Buffer) => Promise<void> | void

interface Deferred<T> {
  promise: Promise<T>
  resolve(value: T): void
  reject(error: Error): void
}

function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}

const STDIN_PIECE = 32 << 10

/** One shim, seen from the daemon: commands out, output and the exit in. */
export class ShimLink {
  pid = 0
  startTime = '0'
  state: keyof typeof shimStates = 'starting'
  exit: ShimExitRecord | undefined
  droppedLogBytes = 0
  /** The shim has said something: it exists, or did. */
  heard = false
  onOom: (() => void) | undefined
  /** Told when close() was called. */
  onClose: (() => void) | undefined
  readonly exited: Promise<ShimExitRecord>
  readonly ended: Promise<void>
  readonly released: Promise<void>

  readonly #socket: Socket
  readonly #exited = deferred<ShimExitRecord>()
  readonly #ended = deferred<void>()
  readonly #released = deferred<void>()
  readonly #hello = deferred<void>()
  #started = deferred<ShimProcess>()
  #handler: OutputHandler | undefined
  #held: [Output, Buffer][] = []
  #delivering = 0
  #outputEnded = false
  #gone = false
  #detached = false
  #stdinSent = 0
  #stdinWaiters: (() => void)[] = []
  #stdinTail: Promise<void> = Promise.resolve()
  #requests = new Map<number, Deferred<void>>()
  #nextRequest = 1
  #failed: Error | undefined

  /** `lost` answers the exit when the shim went away without telling it. */
  constructor(
    readonly id: string,
    socket: Socket,
    private readonly lost: (link: ShimLink) => Promise<ShimExitRecord>,
  ) {
    this.exited = this.#exited.promise
    this.ended = this.#ended.promise
    this.released = this.#released.promise
    this.#socket = socket
    const reader = new FrameReader((type, payload) => this.#frame(type, new PayloadReader(payload), payload))
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk)
      } catch (error) {
        socket.destroy(error instanceof ProtocolError ? error : new ProtocolError(String(error)))
      }
    })
    socket.on('error', () => undefined)
    socket.on('close', () => this.#closed())
  }

  /** Resolves once the process is exec'd or parked; rejects with the PlanError of the op that failed. */
  get started(): Promise<ShimProcess> {
    return this.#started.promise
  }

  /** Resolves with the greeting of a shim that was connected to. */
  get greeted(): Promise<void> {
    return this.#hello.promise
  }

  get onOutput(): OutputHandler | undefined {
    return this.#handler
  }

  /** Output that came before a handler was set waits for it. */
  set onOutput(handler: OutputHandler | undefined) {
    this.#handler = handler
    const held = this.#held
    if (handler === undefined || held.length === 0) return
    this.#held = []
    for (const [source, data] of held) this.#deliver(source, data)
  }

  stream(on: boolean): void {
    this.#send(toShim.stream, u32Payload(on ? 1 : 0))
  }

  resume(): Promise<ShimProcess> {
    if (this.state === 'parked') {
      this.#started = deferred()
      this.state = 'starting'
      this.#send(toShim.resume)
    }
    return this.#started.promise
  }

  writeStdin(data: Uint8Array): Promise<void> {
    const written = this.#stdinTail.then(() => this.#writeStdin(data))
    this.#stdinTail = written
    return written
  }

  closeStdin(): void {
    this.#stdinTail = this.#stdinTail.then(() => this.#send(toShim.stdinClose))
  }

  resize(height: number, width: number): void {
    this.#send(toShim.resize, u32Payload(height, width))
  }

  /** To the main process, which the shim knows not to be reaped yet. */
  signal(signal: number): void {
    this.#send(toShim.signal, u32Payload(signal))
  }

  /** Carries out host and parent ops beside the process and child ops in its network namespace. */
  apply(plan: Uint8Array): Promise<void> {
    if (this.#gone) return Promise.reject(new Error(`the shim of ${this.id} is gone`))
    const request = this.#nextRequest++
    const answer = deferred<void>()
    this.#requests.set(request, answer)
    this.#send(toShim.apply, Buffer.concat([u32Payload(request), plan]))
    return answer.promise
  }

  close(): void {
    this.#send(toShim.close)
    this.#socket.end()
    this.onClose?.()
  }

  /** Drops the connection and leaves the shim to itself. */
  detach(): void {
    this.#detached = true
    this.#socket.destroy()
  }

  #send(type: number, payload?: Uint8Array): void {
    if (!this.#gone) this.#socket.write(encodeFrame(type, payload))
  }

  async #writeStdin(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += STDIN_PIECE) {
      const piece = data.subarray(at, at + STDIN_PIECE)
      while (this.#stdinSent + piece.length > STDIN_WINDOW && !this.#gone && this.exit === undefined)
        await new Promise<void>((resolve) => this.#stdinWaiters.push(resolve))
      if (this.#gone || this.exit !== undefined) return
      this.#stdinSent += piece.length
      this.#send(toShim.stdin, piece)
    }
  }

  #wakeStdin(): void {
    const waiters = this.#stdinWaiters
    this.#stdinWaiters = []
    for (const wake of waiters) wake()
  }

  #frame(type: number, reader: PayloadReader, payload: Buffer): void {
    this.heard = true
    switch (type) {
      case fromShim.stdout:
        return this.#deliver('stdout', payload)
      case fromShim.stderr:
        return this.#deliver('stderr', payload)
      case fromShim.started:
      case fromShim.parked:
        this.pid = reader.u32()
        this.startTime = String(reader.u64())
        this.state = type === fromShim.started ? 'running' : 'parked'
        return this.#started.resolve({ pid: this.pid, startTime: this.startTime })
      case fromShim.error:
        this.#failed = readPlanError(reader)
        return this.#started.reject(this.#failed)
      case fromShim.outputEnd:
        this.#outputEnded = true
        return this.#settle()
      case fromShim.exit:
        return this.#exit(this.#readExit(reader))
      case fromShim.released:
        return this.#released.resolve()
      case fromShim.oom:
        return this.onOom?.()
      case fromShim.stdinTaken:
        this.#stdinSent = Math.max(0, this.#stdinSent - reader.u32())
        return this.#wakeStdin()
      case fromShim.applied: {
        const request = reader.u32()
        const answer = this.#requests.get(request)
        this.#requests.delete(request)
        if (reader.left > 0) answer?.reject(readPlanError(reader))
        else answer?.resolve()
        return
      }
      case fromShim.ping:
        return this.#send(toShim.pong)
      case fromShim.hello:
        return this.#greet(reader)
    }
  }

  #greet(reader: PayloadReader): void {
    const version = reader.u32()
    if (version < 1 || version > SHIM_VERSION)
      throw new ProtocolError(`the shim speaks version ${version}, this daemon up to ${SHIM_VERSION}`)
    // The first ones let go of their mounts before they told the exit.
    if (version < 2) void this.exited.then(() => this.#released.resolve())
    const state = reader.u32()
    this.state = (Object.keys(shimStates) as (keyof typeof shimStates)[])[state] ?? 'starting'
    this.pid = reader.u32()
    this.startTime = String(reader.u64())
    this.droppedLogBytes = Number(reader.u64())
    if (this.state === 'running' || this.state === 'parked') this.#started.resolve({ pid: this.pid, startTime: this.startTime })
    this.#hello.resolve()
  }

  #readExit(reader: PayloadReader): ShimExitRecord {
    const code = reader.i32()
    const signal = reader.u32()
    const oom = reader.u32() !== 0
    const time = reader.string()
    this.droppedLogBytes = Number(reader.u64())
    return { code, signal, oom, time }
  }

  #exit(exit: ShimExitRecord): void {
    this.exit ??= exit
    this.state = 'exited'
    this.#exited.resolve(this.exit)
    this.#wakeStdin()
    this.#settle()
  }

  #deliver(source: Output, data: Buffer): void {
    if (this.#handler === undefined) {
      this.#held.push([source, data])
      return
    }
    const taken = () => this.#send(toShim.outputTaken, u32Payload(data.length))
    let pending: Promise<void> | void
    try {
      pending = this.#handler(source, data)
    } catch {
      pending = undefined
    }
    if (pending === undefined) return taken()
    this.#delivering++
    const done = () => {
      this.#delivering--
      taken()
      this.#settle()
    }
    pending.then(done, done)
  }

  #settle(): void {
    if (this.#outputEnded && this.exit !== undefined && this.#delivering === 0) this.#ended.resolve()
  }

  #closed(): void {
    this.#gone = true
    this.#wakeStdin()
    const error = this.#failed ?? new Error(`the shim of ${this.id} ended unexpectedly`)
    this.#started.reject(error)
    this.#hello.reject(error)
    for (const answer of this.#requests.values()) answer.reject(new Error(`the shim of ${this.id} is gone`))
    this.#requests.clear()
    this.#released.resolve()
    this.#outputEnded = true
    if (this.exit !== undefined) return this.#settle()
    if (this.#failed !== undefined || this.#detached) return
    void this.lost(this).then((exit) => this.#exit(exit))
  }
}

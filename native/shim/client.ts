import { spawn, type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { memfdCreate, flock } from '../bindings/process.js'
import { sendWithFds, SOCK_SEQPACKET, SOCK_STREAM, socketpair } from '../bindings/socket.js'
import { SyscallError } from '../bindings/libc.js'
import { toZygote, ZYGOTE_INLINE, ZYGOTE_MAGIC } from './frames.js'

export interface ZygoteOptions {
  /** Default: the helper built beside this file. */
  binary?: string
  /** File on which the zygote and its helpers hold a shared lock for as long as they live; shims let go of it once started. */
  lockFile?: string
  /** Told the pid of each zygote: a successor of this daemon may have to end it. */
  onStart?: (pid: number) => void
  /** Told when the zygote died by itself; the next use starts another. */
  onDeath?: (reason: string) => void
}

export const shimBinary = fileURLToPath(new URL('./tsd-shim', import.meta.url))

const HEAD = 16
const GIVE_UP = 2_000

/** The process that forks shims and helpers: started when first needed, replaced when it dies. */
export class Zygote {
  #socket = -1
  #child: ChildProcess | undefined
  #nextId = 1
  #stopped = false
  #epoch = 0

  constructor(private readonly options: ZygoteOptions = {}) {}

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Asks whether the zygote lives: the epoch changes when it is lost. What was sent to it and not answered may never have been read. */
  epoch(): number {
    if (this.#socket >= 0) {
      try {
        sendWithFds(this.#socket, header(toZygote.kill, 0, 0), [])
      } catch {
        this.#drop()
      }
    }
    return this.#epoch
  }

  /** Starting takes about a millisecond of the loop: do it at boot. */
  start(): void {
    if (this.#child !== undefined) return
    if (this.#stopped) throw new Error('the zygote was stopped')
    const binary = this.options.binary ?? shimBinary
    if (!fs.existsSync(binary))
      throw new Error(`the container helper ${binary} is missing: run npm run build (it needs a C compiler, e.g. Debian's musl-tools)`)
    const [ours, theirs] = socketpair(SOCK_SEQPACKET)
    let lock = -1
    try {
      if (this.options.lockFile !== undefined) {
        lock = fs.openSync(this.options.lockFile, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
        if (!flock(lock, 'shared')) throw new Error(`another daemon holds ${this.options.lockFile}`)
      }
      const child = spawn(binary, ['zygote', '3', lock < 0 ? '-1' : '4'], {
        stdio: ['ignore', 'ignore', 'ignore', theirs, ...(lock < 0 ? [] : [lock])],
        cwd: '/',
        // Where helpers look for commands; containers get none of it.
        env: { PATH: [process.env.PATH, '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'].filter(Boolean).join(':') },
      })
      this.#child = child
      this.#socket = ours
      child.unref()
      if (child.pid !== undefined) this.options.onStart?.(child.pid)
      child.on('error', (error) => this.#died(child, error.message))
      child.on('exit', (code, signal) => this.#died(child, signal === null ? `status ${code}` : signal))
    } catch (error) {
      fs.closeSync(ours)
      throw error
    } finally {
      fs.closeSync(theirs)
      if (lock >= 0) fs.closeSync(lock)
    }
  }

  stop(): void {
    this.#stopped = true
    this.#drop()
  }

  /** Starts a shim; the answer is its control stream, and the zygote's epoch that took the request. */
  async launch(setup: Uint8Array, plan: Uint8Array): Promise<{ socket: Socket; epoch: number }> {
    const socket = await this.#request(toZygote.launch, this.#nextId++, 0, [setup, plan])
    return { socket, epoch: this.#epoch }
  }

  /** Starts a helper, as `launch`; `kill` ends it at once. */
  async run(plan: Uint8Array, deadline: number): Promise<{ socket: Socket; epoch: number; kill: () => void }> {
    const id = this.#nextId++
    const socket = await this.#request(toZygote.run, id, Math.max(1, Math.ceil(deadline)), [plan])
    return {
      socket,
      epoch: this.#epoch,
      kill: () => {
        if (this.#socket >= 0) sendWithFds(this.#socket, header(toZygote.kill, id, 0), [])
      },
    }
  }

  async #request(type: number, id: number, deadline: number, blobs: Uint8Array[]): Promise<Socket> {
    const size = blobs.reduce((sum, blob) => sum + blob.length, 0)
    const [ours, theirs] = socketpair(SOCK_STREAM)
    let memory = -1
    try {
      const head = header(type, id, deadline)
      if (size > ZYGOTE_INLINE) {
        memory = memfdCreate('tsd-plan')
        for (const blob of blobs) fs.writeSync(memory, blob)
        await this.#send(head, [theirs, memory])
      } else {
        await this.#send(Buffer.concat([head, ...blobs]), [theirs])
      }
      return new Socket({ fd: ours, readable: true, writable: true })
    } catch (error) {
      fs.closeSync(ours)
      throw error
    } finally {
      fs.closeSync(theirs)
      if (memory >= 0) fs.closeSync(memory)
    }
  }

  async #send(message: Buffer, fds: number[]): Promise<void> {
    const limit = Date.now() + GIVE_UP
    for (let attempt = 0; ;) {
      this.start()
      try {
        if (sendWithFds(this.#socket, message, fds)) return
      } catch (error) {
        // It died and its exit has not been reported yet.
        if (!(error instanceof SyscallError) || (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') || attempt++ > 0) throw error
        this.#drop()
        continue
      }
      if (Date.now() > limit) throw new Error('the zygote does not take requests')
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }

  #drop(): void {
    if (this.#socket >= 0) fs.closeSync(this.#socket)
    this.#socket = -1
    this.#child = undefined
    this.#epoch++
  }

  #died(child: ChildProcess, reason: string): void {
    if (this.#stopped) return
    if (this.#child === child) this.#drop()
    this.options.onDeath?.(reason)
  }
}

function header(type: number, id: number, deadline: number): Buffer {
  const head = Buffer.allocUnsafe(HEAD)
  head.writeUInt32LE(ZYGOTE_MAGIC, 0)
  head.writeUInt32LE(type, 4)
  head.writeUInt32LE(id >>> 0, 8)
  head.writeUInt32LE(deadline, 12)
  return head
}

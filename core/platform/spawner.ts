import fs from 'node:fs'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import {
  encodePlan,
  fromShim,
  FrameReader,
  PayloadReader,
  pidfdOpen,
  pidfdSendSignal,
  PlanError,
  readPlanError,
  ShimLink,
  Zygote,
  type SetupOp,
  type ShimExitRecord,
  type ShimProcess,
  type ZygoteOptions,
} from '../../native/index.js'
import { formatTimestamp } from '../base/rfc3339.js'
import {
  cancelled,
  conflict,
  deadlineExceeded,
  invalidParameter,
  messageOf,
  notFound,
  systemError,
  unavailable,
  type TsdError,
} from '../sdk/errors.js'
import type { HelperOptions, ShimSpec, Spawner } from '../sdk/ports.js'
import { parseExitRecord, parsePidRecord } from './shim-records.js'

const SIGKILL = 9
const GREETING = 3_000
const MAX_HELPER_OUTPUT = 64 << 20

/** Docker's Go daemon escapes JSON so; readers that compare bytes see no difference. */
function goJson(value: Record<string, string>): string {
  const sorted = Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
  return JSON.stringify(sorted).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function setupOps(shim: ShimSpec): SetupOp[] {
  const ops: SetupOp[] = [
    { op: 'shim', id: shim.id, dir: shim.dir },
    {
      op: 'stdio',
      terminal: shim.terminal,
      height: shim.consoleSize?.height ?? 0,
      width: shim.consoleSize?.width ?? 0,
      openStdin: shim.openStdin,
      stdinOnce: shim.stdinOnce,
      stream: shim.stream,
    },
  ]
  const { sink } = shim
  if (sink.type === 'file') {
    const attrs = Object.keys(sink.attrs).length === 0 ? '' : goJson(sink.attrs)
    const { path, format, maxSize, maxFile } = sink
    ops.push({ op: 'sinkFile', path, attrs, maxSize: Math.max(0, maxSize), maxFile: Math.max(1, maxFile), format })
  } else if (sink.type === 'fifo') {
    ops.push({ op: 'sinkFifo', path: sink.path, blocking: sink.mode === 'blocking', bufferSize: Math.max(0, sink.bufferSize) })
  }
  return ops
}

function planFailure(error: unknown, what: string): TsdError {
  if (!(error instanceof PlanError)) return unavailable(`${what}: ${messageOf(error)}`, { cause: error })
  const options = { cause: error, code: error.code, call: error.op }
  // What the user asked to run cannot be run: Docker's words, and the client's fault.
  if (error.op === 'exec' || error.op === 'chdir' || error.op === 'userName') return invalidParameter(error.message, options)
  return systemError(`${what}: ${error.message}`, options)
}

/** Starts processes and helpers through the zygote, and keeps the connections to their shims. */
export class ShimSpawner implements Spawner {
  readonly zygote: Zygote
  readonly #links = new Map<string, ShimLink>()

  constructor(options: ZygoteOptions = {}) {
    this.zygote = new Zygote(options)
  }

  async launch(shim: ShimSpec, plan: Uint8Array): Promise<ShimProcess> {
    if (this.#links.has(shim.id)) throw conflict(`a process with the id ${shim.id} has been started already`)
    const files = (shim.files ?? []).map(({ path, content }) => ({ op: 'write', path, data: content, create: true }) as const)
    const setup = encodePlan({ setup: setupOps(shim), host: files })
    for (let retries = 1; ; retries--) {
      let link: ShimLink
      let epoch: number
      try {
        const launched = await this.zygote.launch(setup, plan)
        epoch = launched.epoch
        link = this.#link(shim.id, shim.dir, launched.socket)
      } catch (error) {
        throw unavailable(`cannot start ${shim.id}: ${messageOf(error)}`, { cause: error })
      }
      try {
        return await link.started
      } catch (error) {
        this.#forget(link)
        link.detach()
        // The zygote died with the request unread.
        if (!link.heard && retries > 0 && this.zygote.epoch() !== epoch) continue
        throw planFailure(error, `cannot start ${shim.id}`)
      }
    }
  }

  async resume(shimId: string): Promise<void> {
    const link = this.#need(shimId)
    try {
      await link.resume()
    } catch (error) {
      this.#forget(link)
      throw planFailure(error, `cannot start ${shimId}`)
    }
  }

  /** Host and parent ops run beside the process of a shim, child ops in its network namespace. */
  async apply(shimId: string, plan: Uint8Array): Promise<void> {
    try {
      await this.#need(shimId).apply(plan)
    } catch (error) {
      throw planFailure(error, `cannot change ${shimId}`)
    }
  }

  async run(plan: Uint8Array, options: HelperOptions): Promise<{ output: Uint8Array }> {
    const until = Date.now() + options.deadline
    for (let retries = 1; ; retries--) {
      const { output, epoch } = await this.#runOnce(plan, { ...options, deadline: Math.max(1, until - Date.now()) })
      if (output !== undefined) return { output }
      if (retries === 0 || this.zygote.epoch() === epoch) throw unavailable(`${options.name}: the helper ended before it was done`)
    }
  }

  /** Without output: the helper is gone and has said nothing. */
  async #runOnce(plan: Uint8Array, { signal, name, deadline }: HelperOptions): Promise<{ output: Buffer | undefined; epoch: number }> {
    if (signal?.aborted) throw cancelled(`${name}: cancelled`)
    let helper: Awaited<ReturnType<Zygote['run']>>
    try {
      // The helper ends itself a little later, should this daemon be gone by then.
      helper = await this.zygote.run(plan, deadline + 500)
    } catch (error) {
      throw unavailable(`${name}: ${messageOf(error)}`, { cause: error })
    }
    const { socket, kill, epoch } = helper
    return new Promise((resolve, reject) => {
      const output: Buffer[] = []
      let size = 0
      const finish = (result: Error | Buffer | undefined) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        socket.destroy()
        if (result instanceof Error) reject(result)
        else resolve({ output: result, epoch })
      }
      const stop = (error: Error) => {
        kill()
        finish(error)
      }
      const abort = () => stop(cancelled(`${name}: cancelled`))
      const timer = setTimeout(() => stop(deadlineExceeded(`${name}: not done after ${deadline} ms`)), deadline)
      signal?.addEventListener('abort', abort, { once: true })
      const reader = new FrameReader((type, payload) => {
        if (type === fromShim.helperOutput) {
          size += payload.length
          if (size > MAX_HELPER_OUTPUT) throw new Error(`it answered more than ${MAX_HELPER_OUTPUT} bytes`)
          output.push(payload)
        } else if (type === fromShim.helperDone) finish(output.length === 1 ? output[0] : Buffer.concat(output))
        else if (type === fromShim.error) finish(planFailure(readPlanError(new PayloadReader(payload)), name))
      })
      socket.on('data', (chunk: Buffer) => {
        try {
          reader.push(chunk)
        } catch (error) {
          stop(systemError(`${name}: ${messageOf(error)}`, { cause: error }))
        }
      })
      socket.on('error', () => undefined)
      socket.on('close', () => finish(size > 0 ? unavailable(`${name}: the helper ended before it was done`) : undefined))
    })
  }

  get(id: string): ShimLink | undefined {
    return this.#links.get(id)
  }

  async attach(id: string, dir: string): Promise<ShimLink | { exit: ShimExitRecord } | undefined> {
    const known = this.#links.get(id)
    if (known) return known
    const before = readExit(dir)
    if (before) return { exit: before }
    const socket = await connectShim(dir)
    if (socket === undefined) {
      // It may have ended between the two looks; if it was killed, what it kept must not outlive it.
      const after = readExit(dir)
      if (after) return { exit: after }
      return fs.existsSync(path.join(dir, 'pid')) ? { exit: this.#bury(dir) } : undefined
    }
    const link = this.#link(id, dir, socket)
    const timer = setTimeout(() => link.detach(), GREETING)
    try {
      await link.greeted
      return link
    } catch (error) {
      this.#forget(link)
      const exit = readExit(dir)
      if (exit) return { exit }
      throw unavailable(`the shim of ${id} does not answer: ${messageOf(error)}`, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Shims live on; the zygote ends. */
  stop(): void {
    for (const link of this.#links.values()) link.detach()
    this.#links.clear()
    this.zygote.stop()
  }

  #link(id: string, dir: string, socket: Socket): ShimLink {
    const link = new ShimLink(id, socket, () => Promise.resolve(readExit(dir) ?? this.#bury(dir)))
    this.#links.set(id, link)
    link.onClose = () => this.#forget(link)
    socket.once('close', () => {
      if (link.exit !== undefined) this.#forget(link)
      else void link.exited.then(() => this.#forget(link))
    })
    return link
  }

  #forget(link: ShimLink): void {
    if (this.#links.get(link.id) === link) this.#links.delete(link.id)
  }

  #need(id: string): ShimLink {
    const link = this.#links.get(id)
    if (link === undefined) throw notFound(`no shim is known for ${id}`)
    return link
  }

  /** A killed shim took stdio with it: its process is ended too, and that is the exit. */
  #bury(dir: string): ShimExitRecord {
    const record = readRecord(dir, 'pid', parsePidRecord)
    if (record) {
      try {
        const pidfd = pidfdOpen(record.pid)
        try {
          if (startTimeOf(record.pid) === record.startTime) pidfdSendSignal(pidfd, SIGKILL)
        } finally {
          fs.closeSync(pidfd)
        }
      } catch {
        // Gone already.
      }
    }
    return { code: 128 + SIGKILL, signal: SIGKILL, oom: false, time: formatTimestamp(BigInt(Date.now()) * 1_000_000n) }
  }
}

function startTimeOf(pid: number): string | undefined {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}

/** Records are a line on tmpfs: reading one costs the loop some microseconds. */
function readRecord<T>(dir: string, name: string, parse: (text: string) => T | undefined): T | undefined {
  try {
    return parse(fs.readFileSync(path.join(dir, name), 'utf8'))
  } catch {
    return undefined
  }
}

const readExit = (dir: string): ShimExitRecord | undefined => readRecord(dir, 'exit', parseExitRecord)

/** By the directory's fd: a socket's name ends at 107 bytes. */
async function connectShim(dir: string): Promise<Socket | undefined> {
  let fd: number
  try {
    fd = fs.openSync(dir, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  } catch {
    return undefined
  }
  try {
    return await new Promise((resolve) => {
      const socket = connect(`/proc/self/fd/${fd}/socket`)
      socket.once('connect', () => {
        socket.removeAllListeners('error')
        resolve(socket)
      })
      socket.once('error', () => resolve(undefined))
    })
  } finally {
    fs.closeSync(fd)
  }
}

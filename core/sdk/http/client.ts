import type { Readable } from 'node:stream'
import type { Dispatcher, Pool } from 'undici'
import {
  cancelled,
  deadlineExceeded,
  errorCategories,
  type ErrorCategory,
  messageOf,
  notImplemented,
  systemError,
  TsdError,
  unavailable,
} from '../errors.js'
import { fold } from './fold.js'
import type { CallOptions, PluginCaller } from './wire.js'

const accept = 'application/vnd.docker.plugins.v1.2+json'
const dialMilliseconds = 10_000
const defaultMilliseconds = 60_000
const maxReplyBytes = 16 * 1024 * 1024
const maxErrorBytes = 64 * 1024

/** Docker's schedule: it gives up when what has passed and the next wait reach half a minute. */
export const dockerBackoff: Backoff = { delays: [1000, 2000, 4000, 8000, 16_000, 30_000], budget: 30_000 }

export interface Backoff {
  /** Milliseconds before each further attempt. */
  delays: readonly number[]
  budget: number
}

export interface PluginAddress {
  /** Unix socket; or a URL for `tcp`, `http`, `https`. */
  socket?: string
  url?: string
  tls?: { ca?: string; cert?: string; key?: string; rejectUnauthorized: boolean }
}

export interface PluginClientOptions {
  name: string
  address: PluginAddress
  backoff?: Backoff
  /** Milliseconds per attempt, where a call says nothing else. */
  timeout?: number
  /** Milliseconds by call (`Mount`), from a manifest: before what an adapter asks for. */
  timeouts?: Record<string, number>
  /** The other side keeps our contract: a call whose answer was cut short may be repeated too. */
  idempotent?: boolean
}

/** One plugin behind a socket: calls with Docker's headers, limits, errors and retries. */
export class PluginClient {
  readonly name: string
  private pool: Promise<Pool> | undefined

  constructor(private readonly options: PluginClientOptions) {
    this.name = options.name
  }

  /** A view of the plugin for one kind of driver. */
  caller(subsystem: string, errorMember: 'Err' | 'Error', native: boolean): PluginCaller {
    const path = (method: string): string => `/${subsystem}.${method}`
    return {
      name: this.name,
      native,
      call: (method, body, options) => this.call(path(method), body, errorMember, options),
      download: (method, body, options) => this.download(path(method), body, options),
      upload: (method, query, body, options) => this.upload(path(method), query, body, errorMember, options),
    }
  }

  async call(path: string, body: unknown, errorMember: 'Err' | 'Error' = 'Err', options: CallOptions = {}): Promise<unknown> {
    const text = body === undefined ? '' : `${JSON.stringify(body)}\n`
    const reply = await this.withRetries(path, options, async (signal) => {
      const response = await this.send(path, text, signal)
      try {
        return { status: response.statusCode, text: await readText(response.body, maxReplyBytes) }
      } catch (error) {
        if (this.options.idempotent === true || error instanceof ReplyTooLarge) throw error
        throw new ReplyCut(messageOf(error), { cause: error })
      }
    })
    return this.check(path, reply.status, reply.text, errorMember)
  }

  async download(path: string, body: unknown, options: CallOptions = {}): Promise<Readable> {
    const text = body === undefined ? '' : `${JSON.stringify(body)}\n`
    const response = await this.withRetries(path, options, (signal) => this.send(path, text, signal), true)
    if (response.statusCode === 200) return response.body
    this.check(path, response.statusCode, await readText(response.body, maxErrorBytes), 'Err')
    throw this.failure(path, `answered ${response.statusCode}`)
  }

  async upload(
    path: string,
    query: Record<string, string>,
    body: Readable,
    errorMember: 'Err' | 'Error',
    options: CallOptions = {},
  ): Promise<unknown> {
    const full = `${path}?${new URLSearchParams(query).toString()}`
    const response = await this.send(full, body, options.signal)
    return this.check(path, response.statusCode, await readText(response.body, maxReplyBytes), errorMember)
  }

  async close(): Promise<void> {
    const pool = this.pool
    this.pool = undefined
    await (await pool)?.destroy()
  }

  private async send(path: string, body: string | Readable, signal: AbortSignal | undefined): Promise<Dispatcher.ResponseData> {
    // Loaded when the first plugin is called: most daemons have none.
    this.pool ??= connect(this.options.address)
    const pool = await this.pool
    return pool.request({
      method: 'POST',
      path,
      headers: { accept },
      body,
      ...(signal === undefined ? {} : { signal }),
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** Repeats failures of the round trip, whole body included; never an answer, whatever it says. */
  private async withRetries<T>(
    path: string,
    options: CallOptions,
    attempt: (signal: AbortSignal) => Promise<T>,
    stream = false,
  ): Promise<T> {
    const method = path.slice(path.indexOf('.') + 1)
    const configured = this.options.timeouts?.[method] ?? this.options.timeouts?.[method[0]?.toLowerCase() + method.slice(1)]
    const timeout = configured ?? options.timeout ?? this.options.timeout ?? defaultMilliseconds
    const { delays, budget } = this.options.backoff ?? dockerBackoff
    const started = performance.now()
    for (let count = 0; ; count++) {
      const controller = new AbortController()
      const onAbort = (): void => controller.abort(options.signal?.reason)
      options.signal?.addEventListener('abort', onAbort, { once: true })
      if (options.signal?.aborted === true) onAbort()
      let timedOut = false
      const timer = setTimeout(() => {
        timedOut = true
        controller.abort()
      }, timeout)
      try {
        return await attempt(controller.signal)
      } catch (error) {
        if (options.signal?.aborted === true)
          throw cancelled(`${path} of plugin ${this.name} was cancelled`, { plugin: this.name, call: path.slice(1), cause: error })
        const delay = delays[Math.min(count, delays.length - 1)] ?? budget
        const giveUp =
          options.retry === false ||
          error instanceof ReplyTooLarge ||
          error instanceof ReplyCut ||
          performance.now() - started + delay >= budget
        if (giveUp) throw this.unreachable(path, error, timedOut, timeout)
        await pause(delay, options.signal)
      } finally {
        clearTimeout(timer)
        if (!stream) options.signal?.removeEventListener('abort', onAbort)
      }
    }
  }

  private unreachable(path: string, error: unknown, timedOut: boolean, timeout: number): TsdError {
    const context = { plugin: this.name, call: path.slice(1), cause: error }
    if (timedOut) return deadlineExceeded(`plugin ${this.name}: ${path.slice(1)} did not answer within ${timeout / 1000} s`, context)
    if (error instanceof ReplyTooLarge)
      return systemError(`plugin ${this.name}: ${path.slice(1)} answered more than ${maxReplyBytes} bytes`, context)
    const { socket, url } = this.options.address
    const code = (error as { code?: unknown }).code
    return unavailable(`plugin ${this.name} at ${socket ?? url ?? '?'} does not answer ${path.slice(1)}: ${messageOf(error)}`, {
      ...context,
      ...(typeof code === 'string' ? { code } : {}),
    })
  }

  private check(path: string, status: number, text: string, errorMember: 'Err' | 'Error'): unknown {
    const method = path.slice(1)
    let reply: unknown
    try {
      reply = text.trim() === '' ? undefined : JSON.parse(text)
    } catch (error) {
      if (status === 200) throw this.failure(path, `answered what is not JSON: ${messageOf(error)}`)
    }
    const members = fold(reply, ['Err', 'Error', 'Tsd'])
    const said = status === 200 ? members[errorMember] : (members.Err ?? members.Error)
    const message = typeof said === 'string' ? said : ''
    if (status === 200) {
      if (said !== undefined && typeof said !== 'string') throw this.failure(path, `answered an ${errorMember} that is not a string`)
      if (message !== '') throw this.reported(method, message, members.Tsd)
      return reply ?? {}
    }
    if (status === 404 && message === '')
      throw notImplemented(`plugin ${this.name} does not implement ${method}`, { plugin: this.name, call: method })
    throw this.reported(method, message === '' ? `status ${status}: ${text.trim().slice(0, 1000)}` : message, members.Tsd)
  }

  private failure(path: string, problem: string): TsdError {
    return systemError(`plugin ${this.name}: ${path.slice(1)} ${problem}`, { plugin: this.name, call: path.slice(1) })
  }

  /** An error that the plugin itself reported. Ours carry their category along; of others nothing is known. */
  private reported(method: string, message: string, detail: unknown): TsdError {
    const { Category: category, Code: code } = fold(detail, ['Category', 'Code'])
    const known = errorCategories.includes(category as ErrorCategory)
    return new TsdError(known ? (category as ErrorCategory) : 'System', known ? message : `${method}: ${message}`, {
      plugin: this.name,
      call: method,
      ...(typeof code === 'string' ? { code } : {}),
    })
  }
}

class ReplyTooLarge extends Error {}

/** The plugin had begun to answer: it did the work. */
class ReplyCut extends Error {}

async function readText(body: Readable, limit: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) {
      body.destroy()
      throw new ReplyTooLarge()
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    signal?.addEventListener('abort', done, { once: true })
  })
}

async function connect({ socket, url, tls }: PluginAddress): Promise<Pool> {
  const { Pool } = await import('undici')
  const connectOptions = { timeout: dialMilliseconds, ...(socket === undefined ? {} : { socketPath: socket }), ...tls }
  // Docker drops the path of an address: calls go to /Subsystem.Method.
  const origin = socket !== undefined ? 'http://plugin.moby.localhost' : new URL(url ?? '').origin
  return new Pool(origin, { connect: connectOptions, connections: 64, keepAliveTimeout: 10_000 })
}

import http from 'node:http'
import type { Socket } from 'node:net'
import { EngineError, NoEngine, codeOf, messageOf } from './status.js'

export const defaultHost = 'unix:///run/tsd/tsd.sock'
export const apiVersion = '1.51'

export type Query = Record<string, string | number | boolean | string[] | undefined>

export interface Call {
  query?: Query
  /** Sent as JSON. */
  body?: unknown
  /** Sent as it is; excludes `body`. */
  upload?: NodeJS.ReadableStream
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** Where an engine listens, as `-H` and DOCKER_HOST say it. */
export interface Host {
  url: string
  target: Pick<http.RequestOptions, 'socketPath' | 'host' | 'port'>
}

export function parseHost(url: string): Host {
  const unix = /^unix:\/\/(\/?.+)$/.exec(url)
  if (unix) return { url, target: { socketPath: unix[1] as string } }
  const tcp = /^(?:tcp|http):\/\/(\[[0-9a-fA-F:]+\]|[^/:]+)(?::(\d+))?\/?$/.exec(url)
  if (tcp) return { url, target: { host: (tcp[1] as string).replace(/^\[|\]$/g, ''), port: Number(tcp[2] ?? 2375) } }
  throw new NoEngine(`unable to parse docker host \`${url}\`: expected unix:///path/to.sock or tcp://host:port`, 'EINVAL')
}

const tooNew = /client version \S+ is too new\. Maximum supported API version is ([\d.]+)/

/** The engine's API over its socket. Speaks 1.51 and steps down when an older engine says that this is too new. */
export class Engine {
  readonly host: Host
  private version = process.env.DOCKER_API_VERSION || apiVersion
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: Infinity })

  /** `patience`: milliseconds without an answer until the engine is asked whether it lives. */
  constructor(
    url: string,
    private readonly patience = 5000,
  ) {
    this.host = parseHost(url)
  }

  get apiVersion(): string {
    return this.version
  }

  get<T>(path: string, query?: Query): Promise<T> {
    return this.json<T>('GET', path, query ? { query } : {})
  }
  post<T>(path: string, query?: Query, body?: unknown): Promise<T> {
    return this.json<T>('POST', path, { ...(query ? { query } : {}), ...(body === undefined ? {} : { body }) })
  }
  delete<T>(path: string, query?: Query): Promise<T> {
    return this.json<T>('DELETE', path, query ? { query } : {})
  }

  /** The body of the answer, parsed; undefined for an empty one. */
  async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const text = await this.text(method, path, call)
    if (text === '') return undefined as T
    try {
      return JSON.parse(text) as T
    } catch {
      throw new Error(`${method} ${path}: the engine at ${this.host.url} answered no JSON: ${text.slice(0, 80)}`)
    }
  }

  async text(method: string, path: string, call: Call = {}): Promise<string> {
    return readAll(await this.stream(method, path, call))
  }

  /** The answer once its header is here; a status of failure is thrown. */
  async stream(method: string, path: string, call: Call = {}): Promise<http.IncomingMessage> {
    const { response } = await this.send(method, path, call, false)
    return response as http.IncomingMessage
  }

  /** Takes the connection over: raw bytes both ways. */
  async hijack(path: string, call: Call = {}): Promise<Socket> {
    const { socket } = await this.send('POST', path, call, true)
    return socket as Socket
  }

  /** Header of `_ping`, which every engine answers on every version. */
  async ping(timeoutMs = this.patience): Promise<http.IncomingHttpHeaders> {
    const { response } = await this.request('HEAD', '/_ping', { signal: AbortSignal.timeout(timeoutMs) }, false)
    response?.resume()
    return response?.headers ?? {}
  }

  private async send(method: string, path: string, call: Call, upgrade: boolean): Promise<Answer> {
    for (;;) {
      const answer = await this.request(method, `/v${this.version}${path}${search(call.query)}`, call, upgrade)
      const { response } = answer
      if (!response) return answer
      const status = response.statusCode ?? 0
      if (status < 400 && !upgrade) return answer
      const text = await readAll(response)
      const lower = tooNew.exec(text)?.[1]
      if (lower !== undefined && lower !== this.version && !call.upload) {
        this.version = lower
        continue
      }
      if (status < 400) throw new Error(`unable to upgrade to tcp, received ${status}`)
      throw new EngineError(status, reasonOf(text, status, response.statusMessage ?? ''))
    }
  }

  /** A stop or a start may take long, but an engine that lives answers a ping meanwhile. */
  private watch(request: http.ClientRequest): NodeJS.Timeout {
    const check = () =>
      void this.ping().catch((error: unknown) => {
        const way = 'another process may hold the socket: stop it, or choose another socket with -H'
        if (messageOf(error).includes('aborted'))
          request.destroy(new NoEngine(`what listens at ${this.host.url} takes connections and answers nothing: ${way}`, 'ETIMEDOUT'))
      })
    return setTimeout(check, this.patience).unref()
  }

  private request(method: string, path: string, call: Call, upgrade: boolean): Promise<Answer> {
    const payload = call.body === undefined ? undefined : JSON.stringify(call.body)
    const headers: http.OutgoingHttpHeaders = { Host: 'api.tsd.localhost', 'User-Agent': 'tsd-cli (linux)', ...call.headers }
    if (payload !== undefined) Object.assign(headers, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(payload) })
    else if (!call.upload && method !== 'GET' && method !== 'HEAD') headers['Content-Length'] = 0
    if (upgrade) Object.assign(headers, { Connection: 'Upgrade', Upgrade: 'tcp' })
    return new Promise((resolve, reject) => {
      const request = http.request({
        ...this.host.target,
        method,
        path,
        headers,
        ...(call.signal ? { signal: call.signal } : {}),
        ...(upgrade ? { agent: false } : { agent: this.agent }),
      })
      const watch = call.signal ? undefined : this.watch(request)
      request.on('close', () => clearTimeout(watch))
      request.on('response', (response) => {
        clearTimeout(watch)
        resolve({ response })
      })
      request.on('upgrade', (_response, socket: Socket, head: Buffer) => {
        clearTimeout(watch)
        if (head.length > 0) socket.unshift(head)
        resolve({ socket })
      })
      request.on('error', (error) => reject(this.unreachable(error)))
      if (call.upload) {
        call.upload.on('error', (error) => request.destroy(error as Error))
        call.upload.pipe(request)
      } else request.end(payload)
    })
  }

  private unreachable(error: Error): Error {
    const { url } = this.host
    switch (codeOf(error)) {
      case 'ENOENT':
      case 'ECONNREFUSED':
        return new NoEngine(
          `Cannot connect to the tsd daemon at ${url}. Is the tsd daemon running? (start it with 'tsd daemon')`,
          codeOf(error),
        )
      case 'EACCES':
      case 'EPERM':
        return new NoEngine(
          `permission denied while trying to connect to the tsd daemon socket at ${url}: run as root, or as a member of the socket's group`,
          'EACCES',
        )
      case 'ECONNRESET':
      case 'EPIPE':
        return new NoEngine(`error during connect: the engine at ${url} closed the connection: ${messageOf(error)}`, codeOf(error))
      default:
        return error
    }
  }
}

interface Answer {
  response?: http.IncomingMessage
  socket?: Socket
}

function search(query: Query = {}): string {
  const parts = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue
    if (Array.isArray(value)) for (const one of value) parts.append(key, one)
    else parts.append(key, value === true ? '1' : value === false ? '0' : String(value))
  }
  const text = parts.toString()
  return text === '' ? '' : `?${text}`
}

export async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

function reasonOf(text: string, status: number, statusMessage: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    if (typeof message === 'string') return message.trim()
  } catch {
    // Not JSON: the text itself is the reason.
  }
  return text.trim() || `${status} ${statusMessage}`
}

/** A path segment made of what the user typed. */
export const segment = (name: string): string => encodeURIComponent(name)

/** Reads a stream of JSON values, one per line. */
export async function* jsonLines<T>(stream: NodeJS.ReadableStream): AsyncGenerator<T> {
  let rest = ''
  stream.setEncoding('utf8')
  for await (const chunk of stream) {
    rest += chunk as string
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as T
  }
  if (rest.trim() !== '') yield JSON.parse(rest) as T
}

// An engine made of canned answers, for tests: it records what it is asked, and takes hijacked connections over.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import type { Socket } from 'node:net'
import os from 'node:os'
import path from 'node:path'

export interface Asked {
  method: string
  path: string
  query: Record<string, string>
  headers: http.IncomingHttpHeaders
  body: string
}

export interface Answer {
  status?: number
  body?: unknown
  /** Kept open until resolved: a wait. */
  after?: Promise<unknown>
}

type Handler = (asked: Asked) => Answer | undefined

export class FakeEngine {
  readonly asked: Asked[] = []
  readonly socket: string
  /** Takes over what was upgraded. */
  onHijack: (socket: Socket, asked: Asked) => void = (socket) => socket.end()
  private readonly dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-cli-'))
  private readonly server = http.createServer()

  constructor(private readonly handler: Handler) {
    this.socket = path.join(this.dir, 'engine.sock')
    this.server.on('request', (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => this.answer(this.record(request, Buffer.concat(chunks).toString()), response))
    })
    this.server.on('upgrade', (request: http.IncomingMessage, socket: Socket, head: Buffer) => {
      const asked = this.record(request, head.toString())
      socket.on('error', () => undefined)
      socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
      this.onHijack(socket, asked)
    })
  }

  listen(): Promise<this> {
    return new Promise((resolve) => this.server.listen(this.socket, () => resolve(this)))
  }

  close(): void {
    this.server.closeAllConnections()
    this.server.close()
    fs.rmSync(this.dir, { recursive: true, force: true })
  }

  /** `POST /containers/create` and so on, in order. */
  get requests(): string[] {
    return this.asked.map(({ method, path: url }) => `${method} ${url}`)
  }

  private record(request: http.IncomingMessage, body: string): Asked {
    const url = new URL(request.url ?? '/', 'http://engine')
    const asked = {
      method: request.method ?? '',
      path: url.pathname.replace(/^\/v[\d.]+/, ''),
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body,
    }
    this.asked.push(asked)
    return asked
  }

  private answer(asked: Asked, response: http.ServerResponse): void {
    const { status = 200, body, after } = this.handler(asked) ?? { status: 404, body: { message: `page not found: ${asked.path}` } }
    response.writeHead(status, { 'content-type': 'application/json', 'api-version': '1.51' })
    response.flushHeaders()
    const end = () => response.end(body === undefined ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body))
    if (after) void after.then(end)
    else end()
  }
}

/** One piece of a multiplexed stream. */
export function frame(stream: 1 | 2 | 3, text: string | Buffer): Buffer {
  const data = Buffer.from(text)
  const header = Buffer.alloc(8)
  header[0] = stream
  header.writeUInt32BE(data.length, 4)
  return Buffer.concat([header, data])
}

const main = path.resolve('dist/core/cli/main.js')

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs the CLI as a user does: in a process of its own. `typed` is its standard input, then closed. */
export function cli(
  engine: { socket: string } | string,
  args: readonly string[],
  options: { typed?: string; env?: NodeJS.ProcessEnv; onStart?: (pid: number) => void } = {},
): Promise<Outcome> {
  const host = typeof engine === 'string' ? engine : `unix://${engine.socket}`
  const child = spawn(process.execPath, [main, ...args], { env: { PATH: process.env.PATH, TSD_HOST: host, TZ: 'UTC', ...options.env } })
  options.onStart?.(child.pid as number)
  const out: Buffer[] = []
  const errors: Buffer[] = []
  child.stdout.on('data', (data: Buffer) => out.push(data))
  child.stderr.on('data', (data: Buffer) => errors.push(data))
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.typed ?? '')
  return new Promise((resolve) =>
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(errors).toString() })),
  )
}

/** The same on a terminal of its own, by util-linux's script(1). Answers what the terminal showed. */
export function cliOnTerminal(
  engine: { socket: string },
  args: readonly string[],
  typed: (type: (text: string) => void) => void,
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const words = [process.execPath, main, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const child = spawn('script', ['-qefc', `stty rows 33 cols 99; exec ${words}`, '/dev/null'], {
    env: { PATH: process.env.PATH, TSD_HOST: `unix://${engine.socket}`, TERM: 'xterm', ...env },
  })
  const out: Buffer[] = []
  child.stdout.on('data', (data: Buffer) => out.push(data))
  child.stdin.on('error', () => undefined)
  typed((text) => child.stdin.write(text))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out).toString(), stderr: '' })))
}

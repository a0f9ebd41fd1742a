import http from 'node:http'

export interface Answer {
  status: number
  body: Buffer
  json<T>(): T
}

/** The Engine API on a unix socket, over kept connections: what any SDK does. */
export class Client {
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 32 })

  /** dockerd 20.10's version: both engines are asked for the same. */
  static readonly prefix = '/v1.41'

  constructor(readonly socket: string) {}

  request(method: string, url: string, body?: unknown): Promise<Answer> {
    const payload = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
    const headers: http.OutgoingHttpHeaders = { 'content-length': payload?.length ?? 0 }
    if (payload) headers['content-type'] = Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json'
    return new Promise((resolve, reject) => {
      const path = Client.prefix + url
      const request = http.request({ socketPath: this.socket, agent: this.agent, method, path, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', reject)
        response.once('end', () => {
          const content = Buffer.concat(chunks)
          resolve({ status: response.statusCode ?? 0, body: content, json: <T>() => JSON.parse(content.toString()) as T })
        })
      })
      request.once('error', reject)
      request.end(payload)
    })
  }

  /** As request(), but anything outside 2xx and 304 is an error. */
  async ask(method: string, url: string, body?: unknown): Promise<Answer> {
    const answer = await this.request(method, url, body)
    if (answer.status >= 300 && answer.status !== 304)
      throw new Error(`${method} ${url}: ${answer.status} ${answer.body.toString().trim()}`)
    return answer
  }

  async load(archive: Buffer): Promise<void> {
    const answer = await this.ask('POST', '/images/load?quiet=1', archive)
    if (answer.body.includes('"error"')) throw new Error(`load: ${answer.body.toString()}`)
  }

  async create(image: string, args: string[], hostConfig: Record<string, unknown> = {}): Promise<string> {
    const answer = await this.ask('POST', '/containers/create', { Image: image, Cmd: args, HostConfig: hostConfig })
    return answer.json<{ Id: string }>().Id
  }

  async start(id: string): Promise<void> {
    await this.ask('POST', `/containers/${id}/start`)
  }

  /** Answers the exit status. */
  async wait(id: string): Promise<number> {
    return (await this.ask('POST', `/containers/${id}/wait`)).json<{ StatusCode: number }>().StatusCode
  }

  async forceRemove(id: string): Promise<void> {
    await this.ask('DELETE', `/containers/${id}?force=1&v=1`)
  }

  close(): void {
    this.agent.destroy()
  }
}

/** The `die` events of an engine, each stamped when it was read. */
export class DeathWatch {
  private readonly seen = new Map<string, number>()
  private readonly waiting = new Map<string, (at: number) => void>()

  private constructor(private readonly request: http.ClientRequest) {}

  static open(socket: string): Promise<DeathWatch> {
    const filters = encodeURIComponent(JSON.stringify({ type: ['container'], event: ['die'] }))
    return new Promise((resolve, reject) => {
      const request = http.get({ socketPath: socket, path: `${Client.prefix}/events?filters=${filters}`, agent: false }, (response) => {
        let rest = ''
        response.setEncoding('utf8')
        response.on('data', (text: string) => {
          const at = performance.now()
          const lines = (rest + text).split('\n')
          rest = lines.pop() ?? ''
          for (const line of lines) if (line.trim() !== '') watch.died((JSON.parse(line) as { id: string }).id, at)
        })
        response.once('error', () => undefined)
        resolve(watch)
      })
      const watch = new DeathWatch(request)
      request.once('error', reject)
    })
  }

  private died(id: string, at: number): void {
    const resolve = this.waiting.get(id)
    this.waiting.delete(id)
    if (resolve) resolve(at)
    else this.seen.set(id, at)
  }

  /** When the container's `die` was read, on performance.now()'s clock. */
  death(id: string): Promise<number> {
    const at = this.seen.get(id)
    this.seen.delete(id)
    if (at !== undefined) return Promise.resolve(at)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no die event of ${id} within 60 s`)), 60_000)
      this.waiting.set(id, (when) => {
        clearTimeout(timer)
        resolve(when)
      })
    })
  }

  close(): void {
    this.request.on('error', () => undefined)
    this.request.destroy()
  }
}

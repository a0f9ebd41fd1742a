// Stand-ins for the engine's services, for this room's tests only.
import fs from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import type { AttachOptions, StdioClient, StdioSession } from '../../engine/containers/index.js'
import type { ContainerCreateBody } from '../../schema/engine-api.js'
import { conflict, notFound, notModified } from '../../sdk/errors.js'
import type { Logger } from '../../sdk/ports.js'
import { createApi, type ApiServer, type ApiServices } from '../server.js'
import { frame } from '../stdcopy.js'

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A service of which only the given calls exist; any other fails the test by name. */
export function partial<T extends object>(name: string, calls: Partial<T>): T {
  return new Proxy(calls as T, {
    get(target, key) {
      if (key in target) return target[key as keyof T]
      if (typeof key === 'symbol' || key === 'then') return undefined
      return () => {
        throw new Error(`unexpected call ${name}.${key}`)
      }
    },
  })
}

/** A process that answers every chunk of input in capitals, says bye at the end of its input, and ends. */
export class Echo implements StdioSession {
  readonly inputs: string[] = []
  detached = false
  ended = false

  constructor(
    readonly tty: boolean,
    private readonly client: StdioClient,
  ) {}

  async input(data: Uint8Array): Promise<boolean> {
    const text = Buffer.from(data).toString()
    this.inputs.push(text)
    if (text.includes('\x10\x11')) return false
    await this.client.output('stdout', Buffer.from(text.toUpperCase()))
    return true
  }

  inputEnd(): void {
    this.ended = true
    void this.client.output('stderr', Buffer.from('bye'))
    this.client.end()
  }

  detach(): void {
    this.detached = true
  }
}

/** Output without end, as fast as the client takes it. */
async function flood(client: StdioClient, seen: Recorder): Promise<void> {
  for (let count = 0; count < 1000; count++) {
    seen.calls.push(['flooded', (count + 1) * 100_000])
    await client.output('stdout', Buffer.alloc(100_000, 'x'))
  }
  client.end()
}

export interface Recorder {
  created: { name: string | undefined; body: ContainerCreateBody; platform: string | undefined }[]
  attached: { options: AttachOptions; session: Echo }[]
  calls: unknown[][]
}

export function fakeServices(overrides: Partial<ApiServices> = {}): { services: ApiServices; seen: Recorder } {
  const seen: Recorder = { created: [], attached: [], calls: [] }
  const containers = partial<ApiServices['containers']>('containers', {
    create: async (name, body, platform) => {
      seen.created.push({ name, body, platform })
      return { Id: 'c'.repeat(64), Warnings: [] }
    },
    list: async (options) => {
      seen.calls.push(['list', options])
      return [{ Id: 'c'.repeat(64), Names: ['/one'] }]
    },
    hasTty: async (reference) => {
      if (reference === 'missing') throw notFound(`No such container: ${reference}`)
      return reference === 'tty'
    },
    start: async (reference) => {
      if (reference === 'running') throw notModified('')
      if (reference === 'broken') throw new Error('boom')
    },
    stop: async (...args) => void seen.calls.push(['stop', ...args]),
    remove: async (...args) => void seen.calls.push(['remove', ...args]),
    resize: async (...args) => void seen.calls.push(['resize', ...args]),
    attach: async (reference, options, client) => {
      if (reference === 'paused') throw conflict('Container paused is paused, unpause the container before attach.')
      if (reference === 'late') await new Promise((resolve) => setTimeout(resolve, 150))
      const session = new Echo(reference === 'tty', client)
      seen.attached.push({ options, session })
      void client.output('stdout', Buffer.from('hello'))
      if (reference === 'flood') void flood(client, seen)
      return session
    },
    wait: async () => ({ result: new Promise((resolve) => setTimeout(() => resolve({ StatusCode: 3 }), 100)) }),
    logs: async (reference, options) => {
      seen.calls.push(['logs', reference, options])
      async function* entries() {
        yield [
          { source: 'stdout' as const, time: '2024-01-02T03:04:05.5Z', line: Buffer.from('one\n'), attrs: { b: 'x y', a: '1' } },
          { source: 'stderr' as const, time: '2024-01-02T03:04:06Z', line: Buffer.from('two\n') },
        ]
      }
      return { tty: reference === 'tty', entries: entries() }
    },
    logFrames: async (reference, options) => {
      seen.calls.push(['logs', reference, options])
      const tty = reference === 'tty'
      async function* frames() {
        for (const [source, text] of [
          ['stdout', 'one\n'],
          ['stderr', 'two\n'],
        ] as const)
          if (options[source]) yield Buffer.concat(tty ? [Buffer.from(text)] : frame(source, Buffer.from(text)))
      }
      return { tty, frames: frames() }
    },
  })
  const execs = partial<ApiServices['execs']>('execs', {
    hasTty: async (id) => {
      if (id === 'missing') throw notFound(`No such exec instance: ${id}`)
      return false
    },
    start: async (id, options, client) => {
      seen.calls.push(['exec', id, options])
      if (id === 'nofile') client?.end()
      if (id === 'nofile') throw new Error('exec: "nofile": executable file not found in $PATH')
      return client === undefined ? undefined : new Echo(false, client)
    },
  })
  const images = partial<ApiServices['images']>('images', {
    async *load(tar) {
      let size = 0
      for await (const chunk of tar) {
        size += (chunk as Buffer).length
        if (size > 1024 * 1024 && size < 3 * 1024 * 1024) throw conflict('bad image')
      }
      yield { stream: `Loaded ${size} bytes\n` }
    },
    list: async () => [{ Id: 'sha256:aa', RepoTags: [], RepoDigests: [], Size: 7 }],
    inspect: async (reference) => ({ Id: reference }),
  })
  const system = partial<ApiServices['system']>('system', { info: async () => ({ Name: 'fake' }), version: async () => ({ Version: '0' }) })
  const events = partial<ApiServices['events']>('events', {
    async *subscribe({ signal }) {
      yield { Type: 'container', Action: 'start' }
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      seen.calls.push(['events aborted'])
    },
  })
  const services: ApiServices = {
    system,
    events,
    containers,
    execs,
    images,
    builds: partial<ApiServices['builds']>('builds', {}),
    distribution: partial<ApiServices['distribution']>('distribution', {}),
    volumes: partial<ApiServices['volumes']>('volumes', { list: async () => ({ Volumes: [], Warnings: null }) }),
    networks: partial<ApiServices['networks']>('networks', { list: async () => [] }),
    drivers: partial<ApiServices['drivers']>('drivers', { defaultName: () => 'bridge', list: async () => [] }),
    logger: silent,
    ...overrides,
  }
  return { services, seen }
}

export interface Running {
  api: ApiServer
  socket: string
  seen: Recorder
  dir: string
  stop(): Promise<void>
}

export async function running(overrides: Partial<ApiServices> = {}): Promise<Running> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'tsd-api-'))
  const socket = path.join(dir, 'api.sock')
  const { services, seen } = fakeServices(overrides)
  const api = createApi(services, { version: '1.2.3' })
  await api.listen(`unix://${socket}`)
  const stop = async (): Promise<void> => {
    await api.close(200)
    await fs.rm(dir, { recursive: true, force: true })
  }
  return { api, socket, seen, dir, stop }
}

/** Sends bytes, answers everything that came back until the server ended, or until `enough` says so. */
export function raw(
  socket: string,
  send: (client: net.Socket) => void,
  options: { enough?: (text: string) => boolean; onText?: (text: string, client: net.Socket) => void } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = net.connect({ path: socket, allowHalfOpen: true })
    let text = ''
    const done = (): void => {
      clearTimeout(timer)
      client.destroy()
      resolve(text)
    }
    const timer = setTimeout(() => {
      client.destroy()
      reject(new Error(`no end of answer; so far: ${JSON.stringify(text)}`))
    }, 5_000)
    client.on('connect', () => send(client))
    client.on('data', (chunk) => {
      text += chunk.toString('latin1')
      options.onText?.(text, client)
      if (options.enough?.(text)) done()
    })
    client.on('end', done)
    client.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
  })
}

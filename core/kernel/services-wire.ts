// SDK services of a driver in a process of its own: the daemon serves them on a socket, the child calls them there.
import { Readable } from 'node:stream'
import { cancelled } from '../sdk/errors.js'
import { PluginClient } from '../sdk/http/client.js'
import { fold, numberOf, stringOf } from '../sdk/http/fold.js'
import type { WireHandler } from '../sdk/http/wire.js'
import type { StartedProcess } from '../sdk/kinds/exec.js'
import type { MountInstruction } from '../sdk/kinds/graph.js'
import type { Archiver, Mounter, PackOptions, ShimSpec, Spawner, UnpackOptions, WhiteoutFormat } from '../sdk/ports.js'
import type { DriverServices } from './contexts.js'

/** Services answer when they are done; what they do has deadlines of its own. */
const patient = { timeout: 30 * 60_000, retry: false }

const path = (method: string): string => `/Services.${method}`
const encode = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const decode = (text: unknown): Uint8Array => Buffer.from(stringOf(text, 'bytes'), 'base64')

type Arguments = Record<string, unknown>

/** The daemon's side. */
export function serviceHandlers(services: Pick<DriverServices, 'spawner' | 'mounter' | 'archiver'>): Record<string, WireHandler> {
  const { spawner, mounter, archiver } = services
  const call =
    (work: (args: Arguments, signal: AbortSignal) => Promise<object | void>): WireHandler =>
    async (request) =>
      ((await work((await request.json()) as Arguments, request.signal)) ?? {}) as Record<string, unknown>
  const handlers: Record<string, WireHandler> = {
    Launch: call(async (args) => spawner.launch(args['shim'] as ShimSpec, decode(args['plan']))),
    Resume: call((args) => spawner.resume(stringOf(args['id'], 'id'))),
    Run: call(async (args, signal) => {
      const { output } = await spawner.run(decode(args['plan']), {
        deadline: numberOf(args['deadline'], 'deadline'),
        name: stringOf(args['name'], 'name'),
        signal,
      })
      return { output: encode(output) }
    }),
    Mount: call((args) => mounter.mount(args['instructions'] as MountInstruction[], stringOf(args['target'], 'target'))),
    Unmount: call((args) => mounter.unmount(stringOf(args['target'], 'target'), { lazy: args['lazy'] === true })),
    Mounted: call(async (args) => ({ mounted: await mounter.mounted(stringOf(args['target'], 'target')) })),
    Copy: call((args) => archiver.copy(stringOf(args['from'], 'from'), stringOf(args['into'], 'into'))),
    RemoveTree: call((args) => archiver.remove(stringOf(args['path'], 'path'))),
    Size: call(async (args) => ({ size: await archiver.size(stringOf(args['path'], 'path')) })),
    Changes: call(async (args, signal) => ({ changes: await archiver.changes(packOptions(args, signal)) })),
    Pack: async (request) => archiver.pack(packOptions((await request.json()) as Arguments, request.signal)),
    Unpack: async (request) => {
      const { query } = request
      const options: UnpackOptions = {
        root: query.get('root') ?? '',
        whiteouts: (query.get('whiteouts') ?? 'none') as WhiteoutFormat,
        signal: request.signal,
      }
      const [maxBytes, maxEntries] = [query.get('maxBytes'), query.get('maxEntries')]
      if (maxBytes !== null) options.maxBytes = Number(maxBytes)
      if (maxEntries !== null) options.maxEntries = Number(maxEntries)
      return { ...(await archiver.unpack(request.body, options)) }
    },
  }
  return Object.fromEntries(Object.entries(handlers).map(([method, handler]) => [path(method), handler]))
}

function packOptions(args: Arguments, signal: AbortSignal): PackOptions {
  const base = args['base']
  return {
    root: stringOf(args['root'], 'root'),
    whiteouts: args['whiteouts'] === 'overlay' ? 'overlay' : 'none',
    ...(base === undefined || base === null ? {} : { base: stringOf(base, 'base') }),
    signal,
  }
}

/** The child's side. */
export function remoteServices(socket: string): { spawner: Spawner; mounter: Mounter; archiver: Archiver; close(): Promise<void> } {
  const client = new PluginClient({ name: 'tsd', address: { socket } })
  const call = async <T>(method: string, args: Arguments, signal?: AbortSignal): Promise<T> =>
    (await client.call(path(method), args, 'Err', { ...patient, ...(signal === undefined ? {} : { signal }) })) as T
  const spawner: Spawner = {
    launch: async (shim, plan) => {
      const { pid, startTime } = await call<StartedProcess>('Launch', { shim, plan: encode(plan) })
      return { pid, startTime }
    },
    resume: async (id) => void (await call('Resume', { id })),
    run: async (plan, { deadline, name, signal }) => ({
      output: decode((await call<{ output: string }>('Run', { plan: encode(plan), deadline, name }, signal)).output),
    }),
  }
  const mounter: Mounter = {
    mount: async (instructions, target) => void (await call('Mount', { instructions, target })),
    unmount: async (target, options) => void (await call('Unmount', { target, lazy: options?.lazy ?? false })),
    mounted: async (target) => (await call<{ mounted: boolean }>('Mounted', { target })).mounted,
  }
  const archiver: Archiver = {
    copy: async (from, into) => void (await call('Copy', { from, into })),
    remove: async (tree) => void (await call('RemoveTree', { path: tree })),
    size: async (tree) => (await call<{ size: number }>('Size', { path: tree })).size,
    changes: async ({ signal, ...options }) =>
      (await call<{ changes: Awaited<ReturnType<Archiver['changes']>> }>('Changes', { ...options }, signal)).changes,
    pack: ({ signal, ...options }) =>
      lazyStream(async () => client.download(path('Pack'), options, { ...patient, ...(signal === undefined ? {} : { signal }) })),
    unpack: async (tar, { root, whiteouts, maxBytes, maxEntries, signal }) => {
      if (signal?.aborted === true) throw cancelled('unpack was cancelled')
      const query = {
        root,
        whiteouts,
        ...(maxBytes === undefined ? {} : { maxBytes: String(maxBytes) }),
        ...(maxEntries === undefined ? {} : { maxEntries: String(maxEntries) }),
      }
      const reply = fold(await client.upload(path('Unpack'), query, tar, 'Err', signal === undefined ? {} : { signal }), [
        'size',
        'entries',
      ])
      return { size: numberOf(reply.size, 'size'), entries: numberOf(reply.entries, 'entries') }
    },
  }
  return { spawner, mounter, archiver, close: () => client.close() }
}

function lazyStream(open: () => Promise<Readable>): Readable {
  return Readable.from(
    (async function* () {
      yield* (await open()) as AsyncIterable<Buffer>
    })(),
    { objectMode: false },
  )
}

import { access } from 'node:fs/promises'
import { mkdirSync } from 'node:fs'
import { Disposables } from '../../base/disposables.js'
import { randomId } from '../../base/ids.js'
import { removeFiles } from '../../base/remove-files.js'
import { conflict, isTsdError, messageOf, systemError } from '../../sdk/errors.js'
import type { OciMount, OciSpec } from '../../sdk/oci.js'
import { placeGone, type FilePlace, type LedgerResource } from '../ports/index.js'
import type { Container } from './container.js'
import { containerDir, type ContainersContext } from './context.js'
import { hostFilePaths } from './host-files.js'
import { resolveMounts } from './resolve-mounts.js'
import { runProcess } from './run-process.js'
import { cgroupsPathOf } from './spec/build.js'
import type { ResolvedMount, SpecInput } from './spec/input.js'
import { ownMounts } from './spec/mounts.js'
import { settled } from './stop.js'

/** Work on the files of a container. It holds them until `left` settles, which may be after it has answered. */
export type Visit<T> = (place: FilePlace, signal: AbortSignal) => Promise<{ value: T; left: Promise<void> }>

/**
 * Runs in sight of a container's files: in the mount namespace of its process, or, when it is stopped, in one that its own plan makes, with a
 * process that is parked there in place of the command.
 */
export function visit<T>(ctx: ContainersContext, container: Container, signal: AbortSignal, work: Visit<T>): Promise<T> {
  if (container.running && container.isLive) return visitRunning(ctx, container, signal, work)
  return new Promise((resolve, reject) => {
    ctx.locks
      .run(container.id, () => visitLocked(ctx, container, signal, work, resolve), { signal })
      .catch((error: unknown) => reject(error as Error))
  })
}

/** Binds, volumes and the engine's own files are part of a container's files; /proc, /sys, /dev and what is in memory are not. */
const placeOf = ({ record }: Container, { pid, startTime }: { pid: number; startTime: string }): FilePlace => ({
  pid,
  startTime,
  mounts: [
    ...record.mounts.filter(({ type }) => type !== 'tmpfs').map(({ destination }) => destination),
    '/etc/hosts',
    '/etc/hostname',
    '/etc/resolv.conf',
  ],
})

async function visitRunning<T>(ctx: ContainersContext, container: Container, signal: AbortSignal, work: Visit<T>): Promise<T> {
  const shim = container.running?.shim
  if (!shim) throw conflict(`container ${container.id} is not running`)
  const place = placeOf(container, shim)
  try {
    return await ctx.visits.enter(container.id, (leave) => work(place, AbortSignal.any([signal, leave])))
  } catch (error) {
    if (isTsdError(error) && error.code === placeGone)
      throw conflict(`container ${container.record.name} ended while its files were looked for: try again`, { cause: error })
    throw error
  }
}

/** The lock is held until the visit is over: a layer is mounted once. */
async function visitLocked<T>(
  ctx: ContainersContext,
  container: Container,
  signal: AbortSignal,
  work: Visit<T>,
  answer: (value: T | Promise<T>) => void,
): Promise<void> {
  if (ctx.registry.find(container.id) !== container) throw conflict(`container ${container.id} has been removed`)
  const { status } = container.record.state
  if (status === 'removing' || status === 'dead')
    throw conflict(`container ${container.id} is marked for removal: its files cannot be read`)
  if (container.running && container.isLive) return answer(visitRunning(ctx, container, signal, work))
  await settled(container)
  const stack = new Disposables()
  try {
    const place = await park(ctx, container, stack)
    const { value, left } = await work(place, signal)
    answer(value)
    await left.catch(() => undefined)
  } finally {
    await stack
      .dispose()
      .catch((error: unknown) => ctx.logger.warn(`after a look at the files of container ${container.id}: ${messageOf(error)}`))
  }
}

/** Starts the container's plan without network and limits, and stops it where the command would begin. */
async function park(ctx: ContainersContext, container: Container, stack: Disposables): Promise<FilePlace> {
  const { record } = container
  const why = `files of container ${record.id}`
  const name = `${record.id.slice(0, 20)}-cp-${randomId().slice(0, 12)}`
  const holder = `${record.id}.${name}`
  const graph = await ctx.drivers.lease('graph', record.graphDriver, why)
  stack.defer('graph lease', () => graph.release())
  const exec = await ctx.drivers.lease('exec', record.runtime, why)
  stack.defer('exec lease', () => exec.release())
  const dir = `${ctx.config.execRoot}/shims/${name}`
  const resources: LedgerResource[] = [
    { kind: 'parked-shim', key: name, data: { dir } },
    { kind: 'exec', key: name, data: { driver: record.runtime } },
    { kind: 'snapshot', key: holder, data: { driver: record.graphDriver, layer: record.id } },
  ]
  ctx.ledger.intend(record.id, resources)
  stack.defer('ledger', () => ctx.ledger.released(record.id, resources))
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  stack.defer('shim directory', () => removeFiles(dir))
  const { mounts } = await resolveMounts(ctx, container, holder, stack)
  await ctx.layers.createContainerLayer(record.id, record.topLayer, record.hostConfig.StorageOpt ?? {})
  stack.defer('layer', () => graph.driver.release(record.id, holder))
  const rootfs = await graph.driver.prepare(record.id, holder)
  stack.defer('shim', async () => {
    const shim = ctx.shims.get(name)
    await shim?.released
    shim?.close()
  })
  await runProcess(ctx, exec.driver, stack, {
    id: name,
    owner: record.id,
    holder,
    bundle: containerDir(ctx, record.id),
    spec: await parkedSpec(ctx, container, name, { mounts, needsProc: exec.driver.run === undefined }),
    rootfs,
    network: { host: [], container: [] },
    shim: { id: name, dir, terminal: false, openStdin: false, stdinOnce: false, sink: { type: 'none' }, stream: false },
    park: true,
  })
  const shim = ctx.shims.get(name)
  if (!shim) throw systemError(`exec driver ${record.runtime} made the file system of container ${record.id} without a shim`)
  return placeOf(container, shim)
}

async function parkedSpec(
  ctx: ContainersContext,
  container: Container,
  name: string,
  { mounts, needsProc }: { mounts: ResolvedMount[]; needsProc: boolean },
): Promise<OciSpec> {
  const { hostConfig } = container.record
  const input: Pick<SpecInput, 'mounts' | 'files' | 'hostConfig'> = {
    // What is put into memory alone would be lost again.
    mounts: mounts.filter(({ type }) => type !== 'tmpfs'),
    files: await existingFiles(ctx, container),
    hostConfig: { ...hostConfig, Tmpfs: {} },
  }
  const system: OciMount[] = [
    // Exec drivers make device nodes: not in the container's layer.
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=64k'] },
    // Runtimes of others read their own /proc/self inside, and look for the command before they hold it back.
    ...(needsProc ? [{ destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] }] : []),
  ]
  return {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: [needsProc ? '/proc/self/exe' : '/'], env: [], cwd: '/' },
    root: { path: 'rootfs', readonly: hostConfig.ReadonlyRootfs === true },
    mounts: [...system, ...ownMounts(input)],
    linux: {
      namespaces: [{ type: 'mount' }, ...(needsProc ? [{ type: 'pid' } as const] : [])],
      resources: {},
      cgroupsPath: cgroupsPathOf(hostConfig.CgroupParent, ctx.config.cgroupParent, name),
    },
  }
}

/** A container that never ran has none of its own yet. */
async function existingFiles(ctx: ContainersContext, container: Container): Promise<SpecInput['files']> {
  const mode = container.record.hostConfig.NetworkMode ?? ''
  const owner = mode.startsWith('container:') ? ctx.registry.find(mode.slice('container:'.length)) : container
  if (!owner) return {}
  const paths = hostFilePaths(ctx, owner.id)
  const there = await Promise.all(
    Object.entries(paths).map(([key, path]) =>
      access(path).then(
        () => [[key, path] as const],
        () => [],
      ),
    ),
  )
  return Object.fromEntries(there.flat())
}

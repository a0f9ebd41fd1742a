import { mkdirSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { allOf } from '../../base/all-of.js'
import { Disposables } from '../../base/disposables.js'
import { removeFiles } from '../../base/remove-files.js'
import { conflict, messageOf, notModified, systemError } from '../../sdk/errors.js'
import type { ShimFile, ShimSpec } from '../../sdk/ports.js'
import type { GraphDriver, MountInstruction } from '../../sdk/kinds/graph.js'
import type { LogInfo, LogSink } from '../../sdk/kinds/log.js'
import type { Endpoint } from '../networks/index.js'
import type { LedgerResource, SandboxTarget } from '../ports/index.js'
import { unmountRootfs } from './cleanup.js'
import type { Container, Running } from './container.js'
import { containerDir, publish, type ContainersContext } from './context.js'
import { hostFilePaths, hostsFile, nameFiles } from './host-files.js'
import { initialHealth, watchHealth } from './health.js'
import { logInfoOf } from './log-info.js'
import { closeNames, findsNames, openNames, planNames } from './name-server.js'
import { joinNetworks, mergePlans } from './networking.js'
import { resolveMounts } from './resolve-mounts.js'
import { runProcess } from './run-process.js'
import { buildSpec } from './spec/build.js'
import { sharedMemoryPath, specInput } from './spec-input.js'
import { startError } from './start-error.js'

/** Names everything one start makes: never reused. */
export const holderOf = (container: Container): string => `${container.id}-${container.record.starts}`
/** Short, because a socket path must fit in 107 bytes. */
const shimIdOf = (container: Container): string => `${container.id.slice(0, 20)}-${container.record.starts}`

export type ExitHandler = (container: Container, running: Running) => void

/** Throws unless the container may be started. Called with the container's lock held. */
export function assertStartable(container: Container): void {
  const { status } = container.record.state
  if (status === 'paused') throw conflict('cannot start a paused container, try unpause instead')
  if (status === 'running') throw notModified(`container ${container.record.name} is already running`)
  if (status === 'removing' || status === 'dead') throw conflict('container is marked for removal and cannot be started')
}

/** Runs the container's process. Resolves once it is exec'd; everything made is released again if it is not. */
export async function startContainer(ctx: ContainersContext, container: Container, onExit: ExitHandler): Promise<void> {
  await container.cleaning
  const { record } = container
  record.starts += 1
  const before = { state: record.state, hasBeenStarted: record.hasBeenStarted }
  const stack = new Disposables()
  try {
    const running = await launch(ctx, container, stack)
    container.running = running
    // The pid is kept by the shim: a daemon that adopts the container asks it.
    record.state = { ...record.state, status: 'running', pid: running.shim.pid }
    stack.keep()
    watch(ctx, container, running, onExit)
    publish(ctx, container, 'start')
    watchHealth(ctx, container)
  } catch (error) {
    const failure = startError(error)
    container.running = undefined
    record.hasBeenStarted = before.hasBeenStarted
    await stack.dispose().catch((undo: unknown) => ctx.logger.warn(`unwinding a failed start of ${record.id}: ${messageOf(undo)}`))
    const status = record.hasBeenStarted ? 'exited' : 'created'
    record.state = { ...before.state, status, pid: 0, exitCode: failure.exitCode, error: failure.error.message }
    await ctx.registry.save(container, { sync: false })
    container.hub.release()
    throw failure.error
  }
}

/** Follows a process that runs, in this life of the daemon or adopted from an earlier one. */
export function watch(ctx: ContainersContext, container: Container, running: Running, onExit: ExitHandler): void {
  running.shim.onOom = () => {
    container.record.state.oomKilled = true
    publish(ctx, container, 'oom')
  }
  void running.shim.exited.then(() => onExit(container, running))
}

function shimSpec(container: Container, dir: string, sink: LogSink, files: ShimFile[]): ShimSpec {
  const { config, hostConfig } = container.record
  const [height = 0, width = 0] = hostConfig.ConsoleSize ?? []
  return {
    id: shimIdOf(container),
    dir,
    terminal: config.Tty === true,
    consoleSize: height > 0 && width > 0 ? { height, width } : undefined,
    openStdin: config.OpenStdin === true,
    stdinOnce: config.StdinOnce === true && config.OpenStdin === true,
    sink,
    files,
    stream: container.hub.attached,
  }
}

/** The container whose network namespace is shared, if one is. */
function networkPeer(ctx: ContainersContext, container: Container): Container | undefined {
  const mode = container.record.hostConfig.NetworkMode ?? ''
  return mode.startsWith('container:') ? ctx.registry.get(mode.slice('container:'.length)) : undefined
}

/** /dev/shm of a container that shares it is mounted on the host; everybody else's is made inside. */
async function mountSharedMemory(
  ctx: ContainersContext,
  container: Container,
  stack: Disposables,
): Promise<ReturnType<typeof sharedMemoryPath>> {
  const sharedMemory = sharedMemoryPath(ctx, container)
  if (!sharedMemory?.own) return sharedMemory
  const { path } = sharedMemory
  const resource = { kind: 'mount', key: path }
  const size = container.record.hostConfig.ShmSize || ctx.config.defaultShmSize
  ctx.ledger.intend(container.id, [resource])
  stack.defer('shared memory', async () => {
    await unmountRootfs(ctx, path)
    ctx.ledger.released(container.id, [resource])
  })
  await mkdir(path, { recursive: true, mode: 0o700 })
  await ctx.mounter.mount([{ type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${size}`] }], path)
  ctx.ledger.fact(container.id, [resource])
  return sharedMemory
}

async function prepareRoot(
  ctx: ContainersContext,
  container: Container,
  graph: GraphDriver,
  holder: string,
  stack: Disposables,
): Promise<MountInstruction[]> {
  const { id, topLayer, hostConfig } = container.record
  // Repeated here because a power failure may have taken a layer that was never used.
  await ctx.layers.createContainerLayer(id, topLayer, hostConfig.StorageOpt ?? {})
  stack.defer('layer', () => graph.release(id, holder))
  return graph.prepare(id, holder)
}

async function startLog(ctx: ContainersContext, container: Container, info: LogInfo, stack: Disposables): Promise<LogSink> {
  const { Type } = container.record.logConfig
  stack.defer('log', () => ctx.logs.stop(Type, info))
  return ctx.logs.start(Type, info)
}

const hostNetwork = (container: Container, endpoints: Endpoint[]) => ({
  addresses: endpoints
    .flatMap(({ settings }) => [settings.IPAddress ?? '', settings.GlobalIPv6Address ?? ''])
    .filter((address) => address !== ''),
  gateway: endpoints[0]?.settings.Gateway ?? '',
  ownNetns: container.record.hostConfig.NetworkMode !== 'host',
})

/**
 * What a reboot must find is on disk before the start is acknowledged, and costs it no time: it is written while the process is made. A daemon
 * killed in between finds the process, or finds that there is none.
 */
async function saveAsStarted(ctx: ContainersContext, container: Container): Promise<void> {
  // The native driver sends its plan one turn after it was asked to: that goes first.
  await turn()
  await turn()
  const { record } = container
  const health = initialHealth(container)
  const state = {
    ...record.state,
    health,
    status: 'running',
    error: '',
    exitCode: 0,
    oomKilled: false,
    startedAt: ctx.clock.timestamp(),
  } as const
  record.hasBeenStarted = true
  record.manuallyStopped = false
  record.state = { ...record.state, health, error: '', exitCode: 0, oomKilled: false, startedAt: state.startedAt }
  await ctx.registry.saveAs(container, { ...record, state }, { sync: true })
}

async function launch(ctx: ContainersContext, container: Container, stack: Disposables): Promise<Running> {
  const { record } = container
  const holder = holderOf(container)
  const why = `container ${record.id}`
  const graph = await ctx.drivers.lease('graph', record.graphDriver, why)
  stack.defer('graph lease', () => graph.release())
  const exec = await ctx.drivers.lease('exec', record.runtime, why)
  stack.defer('exec lease', () => exec.release())

  const dir = `${ctx.config.execRoot}/shims/${shimIdOf(container)}`
  const resources: LedgerResource[] = [
    { kind: 'shim', key: shimIdOf(container), data: { dir } },
    { kind: 'exec', key: record.id, data: { driver: record.runtime } },
    { kind: 'snapshot', key: holder, data: { driver: record.graphDriver, layer: record.id } },
  ]
  ctx.ledger.intend(record.id, resources)
  stack.defer('ledger', () => ctx.ledger.released(record.id, resources))
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  stack.defer('shim directory', () => removeFiles(dir))

  const logInfo = logInfoOf(ctx, record)
  const peer = networkPeer(ctx, container)
  // Who shares a network namespace goes by its name, too, and has its files.
  if (peer) Object.assign(record.config, { Hostname: peer.record.config.Hostname, Domainname: peer.record.config.Domainname })
  const [inUse, endpoints, rootfs, sink, sharedMemory] = await allOf([
    resolveMounts(ctx, container, holder, stack),
    joinNetworks(ctx, container, stack),
    prepareRoot(ctx, container, graph.driver, holder, stack),
    startLog(ctx, container, logInfo, stack),
    mountSharedMemory(ctx, container, stack),
  ])
  const server = findsNames(endpoints) ? planNames(ctx, container) : undefined
  if (server) stack.defer('name server', () => closeNames(ctx, container))
  const files = peer
    ? []
    : [
        ...nameFiles(ctx, container, { ownServer: server !== undefined }),
        await hostsFile(ctx, container, hostNetwork(container, endpoints)),
      ]
  const hostFiles = hostFilePaths(ctx, (peer ?? container).id)
  const spec = buildSpec(await specInput(ctx, container, { mounts: inUse.mounts, files: hostFiles, shmPath: sharedMemory?.path }))
  const shim = shimSpec(container, dir, sink, files)
  await turn()
  const [process] = await allOf([
    runProcess(ctx, exec.driver, stack, {
      id: record.id,
      owner: record.id,
      holder,
      bundle: containerDir(ctx, record.id),
      spec,
      rootfs,
      network: mergePlans(endpoints, server?.steps),
      shim,
      ...(server ? { prepare: (target: SandboxTarget) => void openNames(ctx, container, target, server.ports, endpoints) } : {}),
    }),
    saveAsStarted(ctx, container),
  ])
  const connection = ctx.shims.get(shim.id)
  if (!connection) throw systemError(`exec driver ${record.runtime} started container ${record.id} without its shim`)
  for (const endpoint of endpoints) ctx.networks.connected(endpoint, record.id)
  ctx.ledger.fact(record.id, resources)
  container.hub.bind(connection)
  return {
    ...process,
    holder,
    shim: connection,
    shimDir: dir,
    exec,
    graph,
    endpoints,
    volumeHolders: inUse.volumes,
    sharedMemory: sharedMemory?.own ? sharedMemory.path : undefined,
    logInfo,
    startedMs: ctx.clock.now(),
  }
}

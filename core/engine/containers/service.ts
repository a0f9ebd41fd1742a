import type { Readable } from 'node:stream'
import { inject, injectable } from 'tsyringe'
import { untilTime } from '../../base/until.js'
import { KeyedLock } from '../../base/keyed-lock.js'
import type { ContainerCreateBody, ContainerInspectResponse, ContainerStatsResponse, ContainerSummary } from '../../schema/engine-api.js'
import { conflict, invalidParameter, messageOf } from '../../sdk/errors.js'
import {
  Archiver as ArchiverToken,
  Clock,
  ContainerFiles as ContainerFilesToken,
  Zstd as ZstdToken,
  Drivers,
  EngineConfig,
  Logger as LoggerToken,
  Mounter as MounterToken,
  NetworkNamespaces,
  RunLedger,
  Shims,
  MetadataStore,
} from '../ports/index.js'
import type { ContainerFiles, PathStat, Zstd } from '../ports/index.js'
import type { Archiver, Logger, Mounter } from '../../sdk/ports.js'
import { Events } from '../events/index.js'
import { Images } from '../images/index.js'
import { Layers } from '../layers/index.js'
import { Logs } from '../logs/index.js'
import { Names } from '../names/index.js'
import { Networks } from '../networks/index.js'
import { Volumes } from '../volumes/index.js'
import { exportContainer, readArchive, statPath, writeArchive } from './archive.js'
import { attachContainer, containerLogFrames, containerLogs } from './attach.js'
import { containerChanges } from './changes.js'
import { commitContainer } from './commit.js'
import type { Container, Running } from './container.js'
import { publish, type ContainersContext } from './context.js'
import { createContainer } from './create.js'
import { execProcess } from './exec-process.js'
import { watchHealth } from './health.js'
import { handleExit, type AfterExit } from './exit.js'
import type {
  ArchiveWrite,
  CommitOptions,
  UpdateRequest,
  AttachOptions,
  Containers,
  ExecTarget,
  ListOptions,
  LogsOptions,
  StdioClient,
  StdioSession,
  WaitResult,
} from './contract.js'
import { inspectContainer } from './inspect.js'
import { listContainers, pruneCandidates } from './list.js'
import { connectNetwork, disconnectNetwork } from './live-networks.js'
import { ContainerRegistry } from './registry.js'
import { removeContainer } from './remove.js'
import { applyRestartPolicies, restoreContainers, shutdownContainer, type Lifecycle } from './restore.js'
import { assertStartable, startContainer, watch } from './start.js'
import { killContainer, pauseContainer, stopContainer, unpauseContainer } from './stop.js'
import type { HostFacts } from './spec/input.js'
import type { SeccompProfile } from './spec/seccomp-default.js'
import { statsOnce, streamStats } from './stats.js'
import { topContainer } from './top.js'
import { updateContainer } from './update.js'
import { Visits } from './visits.js'

export const HostFactsToken = Symbol.for('tsd.HostFacts')
/** The daemon's own profile; undefined: built in; null: unconfined. */
export interface SeccompSetting {
  profile: SeccompProfile | null | undefined
}
export const SeccompSetting = Symbol.for('tsd.SeccompSetting')

/** The containers noun: each verb finds its container, takes its lock where it must, and leaves the work to the file of that name. */
@injectable()
export class ContainerService implements Containers, Lifecycle {
  readonly ctx: ContainersContext
  readonly afterExit: AfterExit = {
    restart: (container) => this.restartByPolicy(container),
    remove: (container) => this.locked(container, () => removeContainer(this.ctx, container, { force: false, volumes: true })),
  }

  constructor(
    @inject(EngineConfig) config: EngineConfig,
    @inject(HostFactsToken) facts: HostFacts,
    @inject(SeccompSetting) seccomp: SeccompSetting,
    @inject(Drivers) drivers: Drivers,
    @inject(Images) images: Images,
    @inject(Layers) layers: Layers,
    @inject(Volumes) volumes: Volumes,
    @inject(Networks) networks: Networks,
    @inject(Names) names: Names,
    @inject(Logs) logs: Logs,
    @inject(Events) events: Events,
    @inject(RunLedger) ledger: RunLedger,
    @inject(Shims) shims: Shims,
    @inject(NetworkNamespaces) netns: NetworkNamespaces,
    @inject(MounterToken) mounter: Mounter,
    @inject(ArchiverToken) archiver: Archiver,
    @inject(ContainerFilesToken) files: ContainerFiles,
    @inject(ZstdToken) zstd: Zstd,
    @inject(Clock) clock: Clock,
    @inject(LoggerToken) logger: Logger,
    @inject(MetadataStore) store: MetadataStore,
  ) {
    const registry = new ContainerRegistry(store)
    const locks = new KeyedLock()
    this.ctx = {
      config,
      facts,
      seccompProfile: seccomp.profile,
      drivers,
      images,
      layers,
      volumes,
      networks,
      names,
      logs,
      events,
      ledger,
      shims,
      netns,
      mounter,
      archiver,
      files,
      zstd,
      clock,
      logger,
      registry,
      locks,
      visits: new Visits(),
    }
    images.usedBy = (imageId) =>
      registry
        .all()
        .filter((c) => c.record.imageId === imageId)
        .map((c) => ({ containerId: c.id, running: c.isRunning }))
  }

  async create(name: string | undefined, body: ContainerCreateBody, platform?: string): Promise<{ Id: string; Warnings: string[] }> {
    const { container, warnings } = await createContainer(this.ctx, name, body, platform)
    return { Id: container.id, Warnings: warnings }
  }

  async start(reference: string): Promise<void> {
    const container = this.get(reference)
    await this.locked(container, () => this.startLocked(container))
  }

  list(options: ListOptions): Promise<ContainerSummary[]> {
    return listContainers(this.ctx, options)
  }

  inspect(reference: string, options: { size: boolean }): Promise<ContainerInspectResponse> {
    return inspectContainer(this.ctx, this.get(reference), options.size)
  }

  async stop(reference: string, options: { signal?: string; timeout?: number }): Promise<void> {
    const container = this.get(reference)
    await this.locked(container, () => stopContainer(this.ctx, container, options))
  }

  async restart(reference: string, options: { signal?: string; timeout?: number }): Promise<void> {
    const container = this.get(reference)
    await this.locked(container, async () => {
      container.keepOnExit = true
      try {
        if (container.isRunning) await stopContainer(this.ctx, container, options)
        await this.startLocked(container)
      } finally {
        container.keepOnExit = false
      }
      publish(this.ctx, container, 'restart')
    })
  }

  kill(reference: string, signal: string | undefined): Promise<void> {
    return killContainer(this.ctx, this.get(reference), signal)
  }

  async pause(reference: string): Promise<void> {
    const container = this.get(reference)
    await this.locked(container, () => pauseContainer(this.ctx, container))
  }

  async unpause(reference: string): Promise<void> {
    const container = this.get(reference)
    await this.locked(container, () => unpauseContainer(this.ctx, container))
  }

  async rename(reference: string, name: string): Promise<void> {
    const container = this.get(reference)
    await this.locked(container, async () => {
      const oldName = container.record.name
      const newName = name.replace(/^\//, '')
      if (oldName === newName) throw conflict('Renaming a container with the same name as its current name')
      this.ctx.registry.reserve(newName, container.id)
      container.record.name = newName
      try {
        await this.ctx.registry.save(container, { sync: true })
      } catch (error) {
        container.record.name = oldName
        this.ctx.registry.unreserve(newName, container.id)
        throw error
      }
      this.ctx.registry.unreserve(oldName, container.id)
      this.ctx.networks.rename(container.id, newName)
      publish(this.ctx, container, 'rename', { oldName: `/${oldName}` })
    })
  }

  resize(reference: string, height: number, width: number): Promise<void> {
    const container = this.get(reference)
    if (!container.running || !container.isLive) throw conflict(`container ${container.id} is not running`)
    container.running.shim.resize(height, width)
    publish(this.ctx, container, 'resize', { height: String(height), width: String(width) })
    return Promise.resolve()
  }

  top(reference: string, psArgs: string): Promise<{ Titles: string[]; Processes: string[][] }> {
    const container = this.get(reference)
    publish(this.ctx, container, 'top')
    return topContainer(this.ctx, container, psArgs)
  }

  async remove(reference: string, options: { force: boolean; volumes: boolean; link: boolean }): Promise<void> {
    const container = this.get(reference)
    if (container.record.state.status === 'removing' && this.ctx.locks.held(container.id))
      throw conflict(`removal of container ${reference} is already in progress`)
    // A forced removal ends a process that another call may be waiting for.
    if (options.force && container.isLive && this.ctx.locks.held(container.id)) await killContainer(this.ctx, container, 'SIGKILL')
    await this.locked(container, () => removeContainer(this.ctx, container, options))
  }

  async wait(
    reference: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    signal: AbortSignal,
  ): Promise<{ result: Promise<WaitResult> }> {
    const container = this.get(reference)
    if (condition === 'not-running' && !container.isRunning) {
      await container.cleaning
      const { exitCode, error } = container.record.state
      return { result: Promise.resolve(error ? { StatusCode: exitCode, Error: { Message: error } } : { StatusCode: exitCode }) }
    }
    const result = container.waitFor(condition, signal)
    result.catch(() => undefined)
    return { result }
  }

  attach(reference: string, options: AttachOptions, client: StdioClient): Promise<StdioSession> {
    return attachContainer(this.ctx, this.get(reference), options, client)
  }

  hasTty(reference: string): Promise<boolean> {
    return Promise.resolve(this.get(reference).record.config.Tty === true)
  }

  logs(reference: string, options: LogsOptions): ReturnType<Containers['logs']> {
    return containerLogs(this.ctx, this.get(reference), options)
  }

  logFrames(reference: string, options: LogsOptions): ReturnType<Containers['logFrames']> {
    return containerLogFrames(this.ctx, this.get(reference), options)
  }

  statPath(reference: string, path: string, signal: AbortSignal): Promise<PathStat> {
    return statPath(this.ctx, this.get(reference), path, signal)
  }

  readArchive(reference: string, path: string, signal: AbortSignal): ReturnType<Containers['readArchive']> {
    return readArchive(this.ctx, this.get(reference), path, signal)
  }

  writeArchive(reference: string, write: ArchiveWrite): Promise<void> {
    return writeArchive(this.ctx, this.get(reference), write)
  }

  changes(reference: string): ReturnType<Containers['changes']> {
    return containerChanges(this.ctx, this.get(reference))
  }

  export(reference: string, signal: AbortSignal): Promise<Readable> {
    return exportContainer(this.ctx, this.get(reference), signal)
  }

  async commit(reference: string, options: CommitOptions): Promise<{ Id: string }> {
    const container = this.get(reference)
    return this.locked(container, () => commitContainer(this.ctx, container, options))
  }

  usage(): Promise<ContainerSummary[]> {
    return listContainers(this.ctx, { all: true, limit: 0, size: true, filters: {} })
  }

  async update(reference: string, request: UpdateRequest): Promise<{ Warnings: string[] }> {
    const container = this.get(reference)
    return this.locked(container, () => updateContainer(this.ctx, container, request))
  }

  async stats(reference: string, options: { oneShot: boolean; signal: AbortSignal }): Promise<ContainerStatsResponse> {
    return statsOnce(this.ctx, this.get(reference), options)
  }

  streamStats(reference: string, signal: AbortSignal): AsyncIterable<ContainerStatsResponse> {
    return streamStats(this.ctx, this.get(reference), signal)
  }

  async prune(filters: Record<string, string[]>): Promise<{ ContainersDeleted: string[]; SpaceReclaimed: number }> {
    const { until = [], ...rest } = filters
    const [value, ...more] = until
    if (more.length > 0) throw invalidParameter('more than one until filter specified')
    const before = value === undefined ? undefined : untilTime(value, this.ctx.clock.now())
    const deleted: string[] = []
    let reclaimed = 0
    for (const container of await pruneCandidates(this.ctx, rest, before)) {
      const { rw } = await this.ctx.layers.containerSizes(container.id, container.record.topLayer)
      await this.locked(container, () => removeContainer(this.ctx, container, { force: false, volumes: false })).then(
        () => {
          deleted.push(container.id)
          reclaimed += rw
        },
        (error: unknown) => this.ctx.logger.warn(`prune left container ${container.id}: ${messageOf(error)}`),
      )
    }
    this.ctx.events.publish('container', 'prune', '', { reclaimed: String(reclaimed) })
    return { ContainersDeleted: deleted, SpaceReclaimed: reclaimed }
  }

  async connectNetwork(network: string, reference: string, settings: Record<string, unknown>): Promise<void> {
    const container = this.get(reference)
    await this.locked(container, () => connectNetwork(this.ctx, container, network, settings))
  }

  async disconnectNetwork(network: string, reference: string, force: boolean): Promise<void> {
    const container = this.ctx.registry.find(reference)
    if (!container && force) return
    const found = container ?? this.get(reference)
    await this.locked(found, () => disconnectNetwork(this.ctx, found, network))
  }

  execTarget(reference: string): ExecTarget {
    const container = this.get(reference)
    const { record, running } = container
    if (!running || !container.isLive) throw conflict(`container ${record.id} is not running`)
    if (record.state.status === 'paused') throw conflict(`container ${record.id} is paused, unpause the container before exec`)
    return {
      id: record.id,
      driver: running.exec.driver,
      driverName: running.exec.name,
      ended: running.shim.ended,
      process: (exec) => {
        return execProcess(this.ctx, container, exec)
      },
      publish: (action, attributes) => publish(this.ctx, container, action, attributes),
      addExec: (id) => void container.execs.add(id),
      dropExec: (id) => void container.execs.delete(id),
    }
  }

  counts(): { total: number; running: number; paused: number; stopped: number } {
    const counts = { total: 0, running: 0, paused: 0, stopped: 0 }
    for (const container of this.ctx.registry.all()) {
      counts.total += 1
      if (container.record.state.status === 'paused') counts.paused += 1
      else if (container.isRunning) counts.running += 1
      else counts.stopped += 1
    }
    return counts
  }

  restore(): Promise<void> {
    return restoreContainers(this)
  }

  applyRestartPolicies(): Promise<void> {
    return applyRestartPolicies(this)
  }

  ids(): string[] {
    return this.ctx.registry.all().map((container) => container.id)
  }

  isLive(id: string): boolean {
    return this.ctx.registry.find(id)?.isLive ?? false
  }

  async stopAll(timeoutSeconds: number): Promise<void> {
    await Promise.all(
      this.ctx.registry
        .all()
        .filter((container) => container.isRunning)
        .map((container) => shutdownContainer(this, container, timeoutSeconds)),
    )
  }

  adopt(container: Container, running: Running): void {
    container.running = running
    container.hub.bind(running.shim)
    watch(this.ctx, container, running, this.onExit)
    watchHealth(this.ctx, container)
  }

  async startLocked(container: Container): Promise<void> {
    clearTimeout(container.restartTimer)
    container.restartTimer = undefined
    assertStartable(container)
    try {
      await startContainer(this.ctx, container, this.onExit)
    } catch (error) {
      // A client of `run --rm` waits for the removal.
      if (container.record.hostConfig.AutoRemove) await removeContainer(this.ctx, container, { force: false, volumes: true })
      throw error
    }
  }

  locked<T>(container: Container, work: () => Promise<T>): Promise<T> {
    return this.ctx.locks.run(container.id, work)
  }

  private readonly onExit = (container: Container, running: Running): void => {
    void running.shim.exited
      .then((exit) => handleExit(this.ctx, container, running, exit, this.afterExit))
      .catch((error: unknown) => this.ctx.logger.error(`exit of container ${container.id}: ${messageOf(error)}`))
  }

  private async restartByPolicy(container: Container): Promise<void> {
    await this.locked(container, async () => {
      if (container.record.state.status !== 'restarting') return
      try {
        await this.startLocked(container)
      } catch (error) {
        container.exitedNow()
        throw error
      }
    })
  }

  private get(reference: string): Container {
    return this.ctx.registry.get(reference)
  }
}

import { mkdir, rm } from 'node:fs/promises'
import { isTsdError, messageOf } from '../../sdk/errors.js'
import type { LedgerEntry, ShimConnection, ShimExit } from '../ports/index.js'
import { unmountRootfs } from './cleanup.js'
import type { Container, Running } from './container.js'
import { containerDir, type ContainersContext } from './context.js'
import type { AfterExit } from './exit.js'
import { logInfoOf } from './log-info.js'
import { forgetAddresses, settleEndpoints } from './networking.js'
import { finishRemoval } from './remove.js'
import { unpauseContainer } from './stop.js'
import { shouldRestart, startsAtBoot } from './restart-policy.js'

/** Exit of a process whose keeper left no record: it was killed. */
const killedExit = (ctx: ContainersContext): ShimExit => ({ code: 0, signal: 9, oom: false, time: ctx.clock.timestamp() })
/** Exit code shown for what ran when the machine went down. */
const lostExitCode = 255

const text = (data: Record<string, unknown> | undefined, key: string): string => {
  const value = data?.[key]
  return typeof value === 'string' ? value : ''
}

/** What restoring asks of the containers service. */
export interface Lifecycle {
  readonly ctx: ContainersContext
  readonly afterExit: AfterExit
  /** Follows the process of a container that an earlier daemon started. */
  adopt(container: Container, running: Running): void
  stop(reference: string, options: { timeout: number }): Promise<void>
}

interface Survivor {
  entry: LedgerEntry
  dir: string
  shim: ShimConnection | { exit: ShimExit } | undefined
}

async function findShim(ctx: ContainersContext, entries: LedgerEntry[]): Promise<Survivor | undefined> {
  const entry = entries.filter((e) => e.kind === 'shim').at(-1)
  if (!entry) return undefined
  const dir = text(entry.data, 'dir')
  return { entry, dir, shim: await ctx.shims.attach(entry.key, dir) }
}

const isConnection = (shim: Survivor['shim']): shim is ShimConnection => shim !== undefined && 'ended' in shim

/** What a run held, read back from the ledger. */
async function rebuild(
  ctx: ContainersContext,
  container: Container,
  survivor: Survivor,
  shim: ShimConnection,
  entries: LedgerEntry[],
): Promise<Running> {
  const { record } = container
  const why = `container ${record.id}`
  const find = (kind: string): LedgerEntry | undefined => entries.filter((e) => e.kind === kind).at(-1)
  const mountBelow = (dir: string): string | undefined =>
    entries.filter((e) => e.kind === 'mount' && e.key.startsWith(`${ctx.config.execRoot}/${dir}/`) && !e.key.endsWith('.copy-up')).at(-1)
      ?.key
  return {
    holder: find('snapshot')?.key ?? '',
    shim,
    shimDir: survivor.dir,
    exec: await ctx.drivers.lease('exec', record.runtime, why),
    graph: await ctx.drivers.lease('graph', record.graphDriver, why),
    endpoints: ctx.networks.endpoints(record.id),
    volumeHolders: entries.filter((e) => e.kind === 'volume-mount').map((e) => ({ name: text(e.data, 'volume'), holder: e.key })),
    logInfo: logInfoOf(ctx, record),
    mountedRootfs: mountBelow('rootfs'),
    sharedMemory: mountBelow('shm'),
    netns: find('netns')?.key,
    startedMs: Date.parse(record.state.startedAt),
  }
}

/** Releases whatever the ledger holds of an owner that is not to run, its processes first. A step that fails stays in the ledger. */
export async function releaseEntries(ctx: ContainersContext, owner: string, entries: LedgerEntry[]): Promise<void> {
  const latestFirst = [...entries].reverse()
  const isProcess = (entry: LedgerEntry): boolean => entry.kind === 'exec'
  for (const entry of [...latestFirst.filter(isProcess), ...latestFirst.filter((entry) => !isProcess(entry))]) {
    try {
      await releaseEntry(ctx, owner, entry)
    } catch (error) {
      ctx.logger.warn(`left over ${entry.kind} ${entry.key} of ${owner}: ${messageOf(error)}`)
    }
  }
}

async function releaseEntry(ctx: ContainersContext, owner: string, entry: LedgerEntry): Promise<void> {
  const done = (): void => ctx.ledger.released(owner, [entry])
  switch (entry.kind) {
    case 'exec': {
      const lease = await ctx.drivers.lease('exec', text(entry.data, 'driver'), `reconcile ${owner}`)
      await lease.driver.delete(entry.key).finally(() => lease.release())
      return done()
    }
    case 'snapshot': {
      const lease = await ctx.drivers.lease('graph', text(entry.data, 'driver'), `reconcile ${owner}`)
      await lease.driver.release(text(entry.data, 'layer'), entry.key).finally(() => lease.release())
      return done()
    }
    case 'mount':
      await unmountRootfs(ctx, entry.key)
      return done()
    case 'netns':
      await ctx.netns.remove(entry.key)
      return done()
    case 'volume-mount':
      // Boot waits for no plugin: the volumes service takes what is left here, and asks each driver when it is there.
      if (ctx.drivers.active('volume', text(entry.data, 'driver')) === undefined) return
      return ctx.volumes.unmount({ name: text(entry.data, 'volume'), holder: entry.key }, owner)
    case 'shim':
    case 'frozen':
      return done()
    case 'exec-shim':
    case 'parked-shim':
      await rm(text(entry.data, 'dir'), { recursive: true, force: true })
      return done()
    default:
      // Addresses, ports and endpoints are released by the networks service.
      return
  }
}

async function markExited(ctx: ContainersContext, container: Container, exitCode: number, finishedAt: string, oom: boolean): Promise<void> {
  const { record } = container
  record.state = { ...record.state, status: 'exited', pid: 0, exitCode, finishedAt, oomKilled: record.state.oomKilled || oom }
  for (const name of Object.keys(record.networks)) record.networks[name] = forgetAddresses(record.networks[name] ?? {})
  await ctx.registry.save(container, { sync: false })
}

/** The record comes first: a create that was cut off has no layer yet. Costs nothing where there is one. */
async function finishCreate(ctx: ContainersContext, { record }: Container): Promise<void> {
  await mkdir(containerDir(ctx, record.id), { recursive: true, mode: 0o710 })
  await ctx.layers.createContainerLayer(record.id, record.topLayer, record.hostConfig.StorageOpt ?? {})
}

/** The driver may have to do its part while the container writes. Before its exit can be heard of: a stop comes after this. */
async function resumeLog(ctx: ContainersContext, { record }: Container, { logInfo }: Running): Promise<void> {
  try {
    await ctx.logs.start(record.logConfig.Type, logInfo)
  } catch (error) {
    ctx.logger.warn(`the log of container ${record.name} is written, but its driver does no more: ${messageOf(error)}`)
  }
}

/** A start that was cut off before its record was saved has used its number up: holders are never reused. */
async function countStarts(ctx: ContainersContext, container: Container, entries: LedgerEntry[]): Promise<void> {
  const { record } = container
  const numbers = entries.filter((e) => e.kind === 'shim').map((e) => Number(e.key.slice(e.key.lastIndexOf('-') + 1)))
  const most = Math.max(record.starts, ...numbers)
  if (most === record.starts) return
  record.starts = most
  await ctx.registry.save(container, { sync: false })
}

async function restoreOne(service: Lifecycle, container: Container, entries: LedgerEntry[]): Promise<void> {
  const { ctx } = service
  const { record } = container
  const survivor = await findShim(ctx, entries)
  const wasLive = container.isLive
  await countStarts(ctx, container, entries)
  // Started, and maybe not yet acknowledged. Before the fact its endpoints may not be there: such a start is undone, whatever its record says.
  if (survivor && isConnection(survivor.shim) && survivor.entry.state === 'fact') {
    const startedAt = wasLive ? record.state.startedAt : ctx.clock.timestamp()
    const status = record.state.status === 'paused' ? 'paused' : 'running'
    record.state = { ...record.state, status, pid: survivor.shim.pid, startedAt }
    record.hasBeenStarted = true
    const running = await rebuild(ctx, container, survivor, survivor.shim, entries)
    await resumeLog(ctx, container, running)
    service.adopt(container, running)
    await ctx.registry.save(container, { sync: false })
    const frozen = entries.filter(({ kind }) => kind === 'frozen')
    if (frozen.length > 0 && status === 'paused') await unpauseContainer(ctx, container)
    ctx.ledger.released(record.id, frozen)
    await settleEndpoints(ctx, container, running)
    return
  }
  if (survivor && isConnection(survivor.shim)) survivor.shim.close()
  await releaseEntries(ctx, record.id, entries)
  await ctx.networks.releaseOwner(record.id)
  if (record.state.status === 'removing' || record.state.status === 'dead') {
    await finishRemoval(ctx, container, record.hostConfig.AutoRemove === true)
    return
  }
  if (!container.isRunning) {
    if (record.hostConfig.AutoRemove && record.hasBeenStarted) await service.afterExit.remove(container)
    else await finishCreate(ctx, container)
    return
  }
  if (wasLive) {
    const exit =
      survivor?.shim && 'exit' in survivor.shim ? (survivor.shim.exit ?? killedExit(ctx)) : survivor ? killedExit(ctx) : undefined
    const exitCode = exit ? (exit.signal > 0 ? 128 + exit.signal : exit.code) : lostExitCode
    await markExited(ctx, container, exitCode, exit?.time ?? ctx.clock.timestamp(), exit?.oom ?? false)
    const { hostConfig, restartCount, manuallyStopped } = record
    ctx.events.publish('container', 'die', record.id, {
      ...(record.config.Labels ?? {}),
      image: record.image,
      name: record.name,
      exitCode: String(exitCode),
    })
    if (hostConfig.AutoRemove) return service.afterExit.remove(container)
    if (shouldRestart({ hostConfig, exitCode, restartCount, manuallyStopped })) record.state.status = 'restarting'
  }
}

function alive(ctx: ContainersContext): Set<string> {
  return new Set(ctx.registry.all().map((container) => container.id))
}

/** Adopts what lives, records what ended, applies --rm and releases what nobody owns. */
export async function restoreContainers(service: Lifecycle): Promise<void> {
  const { ctx } = service
  const containers = await ctx.registry.load()
  for (const container of containers)
    for (const point of container.record.mounts) if (point.type === 'volume') ctx.volumes.reference(point.name, container.id)
  const byOwner = new Map<string, LedgerEntry[]>()
  for (const entry of ctx.ledger.entries()) byOwner.set(entry.owner, [...(byOwner.get(entry.owner) ?? []), entry])
  await ctx.networks.restore((owner) => alive(ctx).has(owner))
  for (const container of containers) {
    const name = container.record.name
    await restoreOne(service, container, byOwner.get(container.id) ?? []).catch((error: unknown) =>
      ctx.logger.error(`container ${name} could not be restored: ${messageOf(error)}`),
    )
  }
  ctx.logs.wake(ctx.registry.all().map(({ record }) => record.logConfig.Type))
  const known = alive(ctx)
  for (const [owner, entries] of byOwner) if (!known.has(owner)) await releaseEntries(ctx, owner, entries)
}

/** Starts what was running, or always is, one after the other. */
export async function applyRestartPolicies(service: Lifecycle): Promise<void> {
  const { ctx } = service
  for (const container of ctx.registry.all()) {
    const { record } = container
    const due =
      record.state.status === 'restarting' ||
      (!container.isRunning && record.hasBeenStarted && startsAtBoot(record.hostConfig, record.manuallyStopped))
    if (!due) continue
    record.state.status = 'restarting'
    record.restartCount += 1
    await service.afterExit
      .restart(container)
      .catch((error: unknown) => ctx.logger.warn(`starting container ${record.name}: ${messageOf(error)}`))
  }
}

/** A clean stop of the daemon: the restart policy is kept for the next boot. */
export async function shutdownContainer(service: Lifecycle, container: Container, timeoutSeconds: number): Promise<void> {
  const { record } = container
  const keep = record.manuallyStopped
  const policy = record.hostConfig.RestartPolicy?.Name ?? ''
  const restarts = policy === 'always' || policy === 'unless-stopped' || policy === 'on-failure'
  try {
    await service.stop(container.id, { timeout: record.config.StopTimeout ?? timeoutSeconds })
  } catch (error) {
    if (!(isTsdError(error) && error.category === 'NotModified'))
      service.ctx.logger.warn(`stopping container ${record.name}: ${messageOf(error)}`)
  }
  if (!restarts || !service.ctx.registry.find(record.id)) return
  record.manuallyStopped = keep
  await service.ctx.registry.save(container, { sync: false })
}

import { readFile } from 'node:fs/promises'
import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerStatsResponse } from '../../schema/engine-api.js'
import type { ContainerStats } from '../../sdk/kinds/exec.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'
import { zeroTime } from './record.js'

type CpuStats = NonNullable<ContainerStatsResponse['cpu_stats']>

const everyMs = 1_000
const noThrottling = { periods: 0, throttled_periods: 0, throttled_time: 0 }
const noCpu: CpuStats = { cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 }, throttling_data: noThrottling }

/** What all CPUs of the machine have spent, in nanoseconds. */
async function systemCpu(): Promise<number> {
  const first = (await readFile('/proc/stat', 'latin1')).split('\n', 1)[0] ?? ''
  // USER_HZ is 100 on every architecture that Node runs on.
  return (
    first
      .split(/\s+/)
      .slice(1, 8)
      .reduce((sum, ticks) => sum + Number(ticks), 0) * 10_000_000
  )
}

/** Interfaces of a network namespace, seen through one of its processes. */
async function networksOf(pid: number): Promise<ContainerStatsResponse['networks']> {
  const text = await readFile(`/proc/${pid}/net/dev`, 'latin1').catch(() => '')
  const found: NonNullable<ContainerStatsResponse['networks']> = {}
  for (const line of text.split('\n').slice(2)) {
    const [name, counters] = line.trim().split(/:\s*/)
    if (!name || !counters || name === 'lo') continue
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0, , , , , txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] =
      counters.split(/\s+/).map(Number)
    found[name] = {
      rx_bytes: rxBytes,
      rx_packets: rxPackets,
      rx_errors: rxErrors,
      rx_dropped: rxDropped,
      tx_bytes: txBytes,
      tx_packets: txPackets,
      tx_errors: txErrors,
      tx_dropped: txDropped,
    }
  }
  return Object.keys(found).length === 0 ? undefined : found
}

function blkio(stats: ContainerStats['blkio'], version: 1 | 2): ContainerStatsResponse['blkio_stats'] {
  const of = (kind: 'bytes' | 'operations') =>
    (stats ?? []).filter((entry) => entry.kind === kind).map(({ major, minor, op, value }) => ({ major, minor, op, value }))
  // Only v1 ever accounts the others, and says so with an empty list.
  const rest = version === 1 ? [] : null
  return {
    io_service_bytes_recursive: of('bytes'),
    io_serviced_recursive: of('operations'),
    io_queue_recursive: rest,
    io_service_time_recursive: rest,
    io_wait_time_recursive: rest,
    io_merged_recursive: rest,
    io_time_recursive: rest,
    sectors_recursive: rest,
  }
}

function cpuStats(cpu: ContainerStats['cpu'], system: number): CpuStats {
  if (cpu === undefined) return noCpu
  return {
    cpu_usage: {
      total_usage: cpu.total,
      ...(cpu.perCpu ? { percpu_usage: cpu.perCpu } : {}),
      usage_in_kernelmode: cpu.system,
      usage_in_usermode: cpu.user,
    },
    system_cpu_usage: system,
    online_cpus: os.cpus().length,
    throttling_data: { periods: cpu.periods ?? 0, throttled_periods: cpu.throttledPeriods ?? 0, throttled_time: cpu.throttledTime ?? 0 },
  }
}

function memoryStats(memory: ContainerStats['memory'], version: 1 | 2): ContainerStatsResponse['memory_stats'] {
  if (memory === undefined) return {}
  return {
    usage: memory.usage,
    ...(version === 1 && memory.maxUsage !== undefined ? { max_usage: memory.maxUsage } : {}),
    stats: memory.stats,
    ...(memory.failcnt === undefined || memory.failcnt === 0 ? {} : { failcnt: memory.failcnt }),
    // What is not limited ends with the machine's own.
    limit: Math.min(memory.limit, os.totalmem()),
  }
}

const nothing = (container: Container): ContainerStatsResponse => ({
  name: `/${container.record.name}`,
  id: container.id,
  read: zeroTime,
  preread: zeroTime,
  pids_stats: {},
  blkio_stats: blkio([], 2),
  num_procs: 0,
  storage_stats: {},
  cpu_stats: noCpu,
  precpu_stats: noCpu,
  memory_stats: {},
})

async function sample(
  ctx: ContainersContext,
  container: Container,
  before: ContainerStatsResponse | undefined,
): Promise<ContainerStatsResponse> {
  const { running } = container
  if (!running || !container.isLive) return nothing(container)
  const shared = container.record.hostConfig.NetworkMode === 'host'
  const [stats, system, networks] = await Promise.all([
    running.exec.driver.stats(container.id),
    systemCpu(),
    shared ? undefined : networksOf(running.shim.pid),
  ])
  const version = ctx.facts.cgroupVersion
  const { pids } = stats
  return {
    ...nothing(container),
    read: ctx.clock.timestamp(),
    preread: before?.read ?? zeroTime,
    pids_stats: pids ? { current: pids.current, ...(pids.limit >= Number.MAX_SAFE_INTEGER ? {} : { limit: pids.limit }) } : {},
    blkio_stats: blkio(stats.blkio, version),
    cpu_stats: cpuStats(stats.cpu, system),
    precpu_stats: before?.cpu_stats ?? noCpu,
    memory_stats: memoryStats(stats.memory, version),
    ...(networks ? { networks } : {}),
  }
}

/** One after the other, a second apart, until the signal or the container's removal. A container that does not run has nothing but its name. */
export async function* streamStats(
  ctx: ContainersContext,
  container: Container,
  signal: AbortSignal,
): AsyncGenerator<ContainerStatsResponse> {
  let before: ContainerStatsResponse | undefined
  while (!signal.aborted && ctx.registry.find(container.id) === container) {
    const current = await sample(ctx, container, before)
    before = current.read === zeroTime ? undefined : current
    yield current
    await sleep(everyMs, undefined, { signal }).catch(() => undefined)
  }
}

/** One record. Without `oneShot` it takes a second, because rates need two looks. */
export async function statsOnce(
  ctx: ContainersContext,
  container: Container,
  options: { oneShot: boolean; signal: AbortSignal },
): Promise<ContainerStatsResponse> {
  const first = await sample(ctx, container, undefined)
  if (options.oneShot || first.read === zeroTime) return first
  await sleep(everyMs, undefined, { signal: options.signal }).catch(() => undefined)
  return sample(ctx, container, first)
}

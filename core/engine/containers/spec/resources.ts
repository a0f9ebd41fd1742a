import type { HostConfig, ThrottleDevice } from '../../../schema/engine-api.js'
import { invalidParameter } from '../../../sdk/errors.js'
import type { OciResources, OciThrottleDevice } from '../../../sdk/oci.js'
import { deviceRules } from './devices.js'
import type { HostDevices, SpecInput } from './input.js'

function blockNumber(path: string, devices: HostDevices): { major: number; minor: number } {
  const found = devices.block[path]
  if (!found) throw invalidParameter(`error gathering device information for "${path}": it is not a block device`)
  return found
}

const throttle = (list: ThrottleDevice[] | null | undefined, devices: HostDevices): OciThrottleDevice[] | undefined =>
  list?.length ? list.map(({ Path = '', Rate = 0 }) => ({ ...blockNumber(Path, devices), rate: Rate })) : undefined

function blockIO(host: HostConfig, devices: HostDevices): OciResources['blockIO'] {
  const weightDevice = host.BlkioWeightDevice?.map(({ Path = '', Weight = 0 }) => ({ ...blockNumber(Path, devices), weight: Weight }))
  const throttles = {
    throttleReadBpsDevice: throttle(host.BlkioDeviceReadBps, devices),
    throttleWriteBpsDevice: throttle(host.BlkioDeviceWriteBps, devices),
    throttleReadIOPSDevice: throttle(host.BlkioDeviceReadIOps, devices),
    throttleWriteIOPSDevice: throttle(host.BlkioDeviceWriteIOps, devices),
  }
  const set = Object.fromEntries(Object.entries(throttles).filter(([, value]) => value !== undefined))
  if (!host.BlkioWeight && !weightDevice?.length && Object.keys(set).length === 0) return undefined
  return { ...(host.BlkioWeight ? { weight: host.BlkioWeight } : {}), ...(weightDevice?.length ? { weightDevice } : {}), ...set }
}

function memory(host: HostConfig): OciResources['memory'] {
  const result: NonNullable<OciResources['memory']> = {}
  if (host.Memory) result.limit = host.Memory
  if (host.MemoryReservation) result.reservation = host.MemoryReservation
  // Without a wish the container may swap as much as it has memory, as Docker does.
  if (host.MemorySwap) result.swap = host.MemorySwap
  else if (host.Memory) result.swap = host.Memory * 2
  if (host.KernelMemoryTCP) result.kernelTCP = host.KernelMemoryTCP
  if (host.MemorySwappiness !== undefined && host.MemorySwappiness !== null && host.MemorySwappiness >= 0)
    result.swappiness = host.MemorySwappiness
  if (host.OomKillDisable) result.disableOOMKiller = true
  return Object.keys(result).length > 0 ? result : undefined
}

const NANO_PERIOD = 100_000

function cpu(host: HostConfig): OciResources['cpu'] {
  const result: NonNullable<OciResources['cpu']> = {}
  if (host.CpuShares) result.shares = host.CpuShares
  if (host.NanoCpus) {
    result.period = NANO_PERIOD
    result.quota = Math.floor((host.NanoCpus * NANO_PERIOD) / 1e9)
  }
  if (host.CpuPeriod) result.period = host.CpuPeriod
  if (host.CpuQuota) result.quota = host.CpuQuota
  if (host.CpuRealtimePeriod) result.realtimePeriod = host.CpuRealtimePeriod
  if (host.CpuRealtimeRuntime) result.realtimeRuntime = host.CpuRealtimeRuntime
  if (host.CpusetCpus) result.cpus = host.CpusetCpus
  if (host.CpusetMems) result.mems = host.CpusetMems
  return Object.keys(result).length > 0 ? result : undefined
}

/** Limits alone: also what an update applies. */
export function limitsOf(host: HostConfig, devices: HostDevices): OciResources {
  const parts = {
    memory: memory(host),
    cpu: cpu(host),
    pids: host.PidsLimit ? { limit: host.PidsLimit < 0 ? -1 : host.PidsLimit } : undefined,
    blockIO: blockIO(host, devices),
  }
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as OciResources
}

export function buildResources({ hostConfig, devices }: Pick<SpecInput, 'hostConfig' | 'devices'>): OciResources {
  return { ...limitsOf(hostConfig, devices), devices: deviceRules(hostConfig, devices) }
}

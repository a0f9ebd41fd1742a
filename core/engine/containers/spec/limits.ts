import type { HostConfig, Resources } from '../../../schema/engine-api.js'
import { invalidParameter } from '../../../sdk/errors.js'
import { parseDeviceRule } from './devices.js'
import type { HostFacts } from './input.js'

const MIN_MEMORY = 6 << 20

/** `0-2,7` -> 0 1 2 7; undefined when malformed. */
export function parseCpuList(text: string): number[] | undefined {
  const result = new Set<number>()
  for (const part of text.split(',')) {
    const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part)
    if (!match) return undefined
    const first = Number(match[1])
    const last = match[2] === undefined ? first : Number(match[2])
    if (last < first || last > 8191) return undefined
    for (let cpu = first; cpu <= last; cpu++) result.add(cpu)
  }
  return [...result]
}

function cpuset(wanted: string | undefined, available: string, kind: 'cpus' | 'mems'): void {
  if (!wanted) return
  const list = parseCpuList(wanted)
  if (!list) throw invalidParameter(`Invalid value ${wanted} for cpuset ${kind}`)
  const have = new Set(parseCpuList(available) ?? [])
  if (available !== '' && !list.every((item) => have.has(item)))
    throw invalidParameter(
      kind === 'cpus'
        ? `Requested CPUs are not available - requested ${wanted}, available: ${available}`
        : `Requested memory nodes are not available - requested ${wanted}, available: ${available}`,
    )
}

function memory(host: Resources, warnings: string[], facts: HostFacts): void {
  const { Memory = 0, MemorySwap = 0, MemoryReservation = 0, MemorySwappiness } = host
  if (Memory < 0 || (Memory > 0 && Memory < MIN_MEMORY)) throw invalidParameter('Minimum memory limit allowed is 6MB')
  if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory)
    throw invalidParameter('Minimum memoryswap limit should be larger than memory limit, see usage')
  if (Memory === 0 && MemorySwap > 0)
    throw invalidParameter('You should always set the Memory limit when using Memoryswap limit, see usage')
  if (typeof MemorySwappiness === 'number' && MemorySwappiness !== -1) {
    if (MemorySwappiness < 0 || MemorySwappiness > 100)
      throw invalidParameter(`Invalid value: ${MemorySwappiness}, valid memory swappiness range is 0-100`)
    if (facts.cgroupVersion === 2) throw invalidParameter('Memory swappiness is not supported with cgroup v2: leave it out')
  }
  if (MemoryReservation < 0 || (MemoryReservation > 0 && MemoryReservation < MIN_MEMORY))
    throw invalidParameter('Minimum memory reservation allowed is 6MB')
  if (Memory > 0 && MemoryReservation > 0 && Memory < MemoryReservation)
    throw invalidParameter('Minimum memory limit can not be less than memory reservation limit, see usage')
  if (Memory > 0 && !facts.swapLimit && MemorySwap !== -1)
    warnings.push('Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.')
  if (host.OomKillDisable && !facts.oomControl) warnings.push('Your kernel does not support OomKillDisable. OomKillDisable discarded.')
  else if (host.OomKillDisable && Memory === 0)
    warnings.push(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    )
}

function cpu(host: Resources, facts: HostFacts): void {
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, CpuShares = 0, CpuRealtimePeriod = 0, CpuRealtimeRuntime = 0 } = host
  if (NanoCpus > 0 && CpuPeriod > 0) throw invalidParameter('Conflicting options: Nano CPUs and CPU Period cannot both be set.')
  if (NanoCpus > 0 && CpuQuota > 0) throw invalidParameter('Conflicting options: Nano CPUs and CPU Quota cannot both be set.')
  if (NanoCpus < 0 || NanoCpus > facts.cpus * 1e9)
    throw invalidParameter(`range of CPUs is from 0.01 to ${facts.cpus}.00, as there are only ${facts.cpus} CPUs available`)
  if (CpuShares < 0) throw invalidParameter(`invalid CPU shares (${CpuShares}): value must be a positive integer`)
  if (CpuPeriod !== 0 && (CpuPeriod < 1000 || CpuPeriod > 1_000_000))
    throw invalidParameter('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)')
  if (CpuQuota > 0 && CpuQuota < 1000) throw invalidParameter('CPU cfs quota can not be less than 1ms (i.e. 1000)')
  if ((CpuRealtimePeriod || CpuRealtimeRuntime) && !facts.cpuRealtime)
    throw invalidParameter('Your kernel does not support CPU real-time scheduler')
  if (CpuRealtimeRuntime > 0 && CpuRealtimePeriod > 0 && CpuRealtimeRuntime > CpuRealtimePeriod)
    throw invalidParameter('cpu real-time runtime cannot be higher than cpu real-time period')
  cpuset(host.CpusetCpus, facts.cpusetCpus, 'cpus')
  cpuset(host.CpusetMems, facts.cpusetMems, 'mems')
}

function blockIO(host: Resources, warnings: string[], facts: HostFacts): void {
  const { BlkioWeight = 0 } = host
  if (BlkioWeight !== 0 && (BlkioWeight < 10 || BlkioWeight > 1000)) throw invalidParameter('Range of blkio weight is from 10 to 1000')
  if (BlkioWeight !== 0 && !facts.blockWeight)
    warnings.push('Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.')
  if (host.BlkioWeightDevice?.length && !facts.blockWeight)
    warnings.push('Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.')
  for (const { Path = '', Weight = 0 } of host.BlkioWeightDevice ?? [])
    if (Weight < 10 || Weight > 1000) throw invalidParameter(`Range of blkio weight is from 10 to 1000: ${Path} has ${Weight}`)
  for (const field of ['BlkioDeviceReadBps', 'BlkioDeviceWriteBps', 'BlkioDeviceReadIOps', 'BlkioDeviceWriteIOps'] as const)
    for (const { Path = '', Rate = 0 } of host[field] ?? [])
      if (!Path.startsWith('/') || Rate < 0)
        throw invalidParameter(`invalid ${field}: "${Path}:${Rate}": a device path and a rate of at least 0 are needed`)
}

const ULIMITS = new Set('core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' '))

export function checkUlimit(name: string, soft: number, hard: number): void {
  if (!ULIMITS.has(name)) throw invalidParameter(`invalid ulimit type: ${name}`)
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw invalidParameter(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`)
}

/** Limits, at create and at update. */
export function checkLimits(host: Resources, facts: HostFacts, warnings: string[]): void {
  memory(host, warnings, facts)
  cpu(host, facts)
  blockIO(host, warnings, facts)
  if (host.IOMaximumBandwidth) throw invalidParameter('Invalid QoS settings: linux does not support Maximum IO Bandwidth')
  if (host.IOMaximumIOps) throw invalidParameter('Invalid QoS settings: linux does not support Maximum IO IOps')
  for (const { Name = '', Soft = 0, Hard = 0 } of host.Ulimits ?? []) checkUlimit(Name, Soft, Hard)
  for (const rule of host.DeviceCgroupRules ?? []) parseDeviceRule(rule)
}

export function checkDevicePaths(host: HostConfig): void {
  for (const { PathOnHost = '', PathInContainer = '', CgroupPermissions = '' } of host.Devices ?? []) {
    if (!PathOnHost.startsWith('/')) throw invalidParameter(`invalid device "${PathOnHost}": the path on the host must be absolute`)
    if (PathInContainer !== '' && !PathInContainer.startsWith('/'))
      throw invalidParameter(`invalid device "${PathInContainer}": the path in the container must be absolute`)
    if (!/^[rwm]*$/.test(CgroupPermissions)) throw invalidParameter(`invalid device mode: "${CgroupPermissions}"`)
  }
}

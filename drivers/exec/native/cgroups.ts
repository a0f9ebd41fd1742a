import { invalidParameter, type OciDeviceRule, type OciResources } from 'tsd-engine/sdk'
import type { CgroupLayout } from 'tsd-engine/native'

/** A value to write into a file of a cgroup, below the container's directory of that controller. */
export interface CgroupWrite {
  controller: string
  file: string
  value: string
  /** The machine may lack the file. */
  optional?: boolean
}

const text = (value: number) => (value < 0 ? '-1' : String(value))

function memoryV1(memory: NonNullable<OciResources['memory']>): CgroupWrite[] {
  const put = (file: string, value: number | undefined, optional = false): CgroupWrite[] =>
    value === undefined || value === 0 ? [] : [{ controller: 'memory', file, value: text(value), ...(optional ? { optional } : {}) }]
  return [
    ...put('memory.limit_in_bytes', memory.limit),
    ...put('memory.memsw.limit_in_bytes', memory.swap, true),
    ...put('memory.soft_limit_in_bytes', memory.reservation),
    ...put('memory.kmem.limit_in_bytes', memory.kernel, true),
    ...put('memory.kmem.tcp.limit_in_bytes', memory.kernelTCP, true),
    ...(memory.swappiness === undefined ? [] : [{ controller: 'memory', file: 'memory.swappiness', value: String(memory.swappiness) }]),
    ...(memory.disableOOMKiller ? [{ controller: 'memory', file: 'memory.oom_control', value: '1', optional: true }] : []),
  ]
}

const number = (value: number | undefined) => (value === undefined ? '*' : String(value))

function deviceEntry({ type = 'a', major, minor, access = 'rwm' }: OciDeviceRule): string {
  return type === 'a' ? 'a' : `${type} ${number(major)}:${number(minor)} ${access}`
}

const devicesV1 = (rules: readonly OciDeviceRule[]): CgroupWrite[] =>
  rules.map((rule) => ({ controller: 'devices', file: rule.allow ? 'devices.allow' : 'devices.deny', value: deviceEntry(rule) }))

const throttleFiles = {
  throttleReadBpsDevice: ['blkio.throttle.read_bps_device', 'rbps'],
  throttleWriteBpsDevice: ['blkio.throttle.write_bps_device', 'wbps'],
  throttleReadIOPSDevice: ['blkio.throttle.read_iops_device', 'riops'],
  throttleWriteIOPSDevice: ['blkio.throttle.write_iops_device', 'wiops'],
} as const

/** Settings for cgroup v1, in an order that the kernel accepts for a new group. */
export function writesV1(resources: OciResources): CgroupWrite[] {
  const { memory, cpu, pids, blockIO } = resources
  const writes: CgroupWrite[] = []
  const put = (controller: string, file: string, value: string | number | undefined, optional = false) => {
    if (value !== undefined && value !== '') writes.push({ controller, file, value: String(value), ...(optional ? { optional } : {}) })
  }
  if (resources.devices) writes.push(...devicesV1(resources.devices))
  if (memory) writes.push(...memoryV1(memory))
  if (cpu) {
    put('cpu', 'cpu.shares', cpu.shares || undefined)
    put('cpu', 'cpu.cfs_period_us', cpu.period || undefined)
    put('cpu', 'cpu.cfs_quota_us', cpu.quota || undefined)
    put('cpu', 'cpu.rt_period_us', cpu.realtimePeriod || undefined)
    put('cpu', 'cpu.rt_runtime_us', cpu.realtimeRuntime || undefined)
    put('cpuset', 'cpuset.cpus', cpu.cpus)
    put('cpuset', 'cpuset.mems', cpu.mems)
  }
  if (pids && pids.limit !== 0) put('pids', 'pids.max', pids.limit < 0 ? 'max' : pids.limit)
  if (blockIO) {
    // One of the two exists, depending on the scheduler of the kernel.
    put('blkio', 'blkio.weight', blockIO.weight || undefined, true)
    put('blkio', 'blkio.bfq.weight', blockIO.weight || undefined, true)
    for (const { major, minor, weight } of blockIO.weightDevice ?? []) {
      put('blkio', 'blkio.weight_device', `${major}:${minor} ${weight}`, true)
      put('blkio', 'blkio.bfq.weight_device', `${major}:${minor} ${weight}`, true)
    }
    for (const [key, [file]] of Object.entries(throttleFiles))
      for (const { major, minor, rate } of blockIO[key as keyof typeof throttleFiles] ?? []) put('blkio', file, `${major}:${minor} ${rate}`)
  }
  for (const { pageSize, limit } of resources.hugepageLimits ?? []) put('hugetlb', `hugetlb.${pageSize}.limit_in_bytes`, limit)
  if (resources.unified && Object.keys(resources.unified).length > 0)
    throw invalidParameter('cgroup v2 settings (linux.resources.unified) were asked for on a machine with cgroup v1')
  return writes
}

/** Docker's CPU shares (2..262144) on v2's scale (1..10000). */
export const weightOfShares = (shares: number) => Math.floor(1 + ((Math.min(Math.max(shares, 2), 262144) - 2) * 9999) / 262142)

/** blkio weight (10..1000) on io.weight's scale (1..10000). */
export const ioWeight = (weight: number) => Math.floor(1 + ((weight - 10) * 9999) / 990)

const limitV2 = (value: number) => (value < 0 ? 'max' : String(value))

/** Settings for cgroup v2. Devices are not files there: see deviceProgram of tsd-engine/native. */
export function writesV2(resources: OciResources): CgroupWrite[] {
  const { memory, cpu, pids, blockIO } = resources
  const writes: CgroupWrite[] = []
  const put = (file: string, value: string | number | undefined, optional = false) => {
    if (value !== undefined && value !== '')
      writes.push({ controller: file.slice(0, file.indexOf('.')), file, value: String(value), ...(optional ? { optional } : {}) })
  }
  if (memory) {
    if (memory.disableOOMKiller) throw invalidParameter('OomKillDisable is not supported with cgroup v2')
    if (memory.limit) put('memory.max', limitV2(memory.limit))
    if (memory.reservation) put('memory.low', limitV2(memory.reservation))
    if (memory.swap) {
      // v1 counts memory and swap together, v2 swap alone.
      const swap = memory.swap < 0 ? -1 : memory.limit && memory.limit > 0 ? memory.swap - memory.limit : memory.swap
      put('memory.swap.max', limitV2(swap), true)
    }
  }
  if (cpu) {
    if (cpu.shares) put('cpu.weight', weightOfShares(cpu.shares))
    if (cpu.quota || cpu.period) put('cpu.max', `${cpu.quota && cpu.quota > 0 ? cpu.quota : 'max'} ${cpu.period || 100000}`)
    if (cpu.realtimePeriod || cpu.realtimeRuntime) throw invalidParameter('CPU real-time scheduling is not supported with cgroup v2')
    put('cpuset.cpus', cpu.cpus)
    put('cpuset.mems', cpu.mems)
  }
  if (pids && pids.limit !== 0) put('pids.max', limitV2(pids.limit))
  if (blockIO) {
    if (blockIO.weight) {
      put('io.bfq.weight', blockIO.weight, true)
      put('io.weight', ioWeight(blockIO.weight), true)
    }
    for (const { major, minor, weight } of blockIO.weightDevice ?? []) put('io.bfq.weight', `${major}:${minor} ${weight}`, true)
    for (const [key, [, name]] of Object.entries(throttleFiles))
      for (const { major, minor, rate } of blockIO[key as keyof typeof throttleFiles] ?? [])
        put('io.max', `${major}:${minor} ${name}=${rate === 0 ? 'max' : rate}`)
  }
  for (const { pageSize, limit } of resources.hugepageLimits ?? []) put(`hugetlb.${pageSize}.max`, limitV2(limit))
  for (const [file, value] of Object.entries(resources.unified ?? {})) {
    if (!/^[a-z0-9_]+(\.[A-Za-z0-9_]+)+$/.test(file)) throw invalidParameter(`invalid cgroup v2 setting "${file}"`)
    put(file, value)
  }
  return writes
}

/** The container's directories, by controller. */
export interface CgroupPaths {
  version: 1 | 2
  /** Every directory, in the order in which they are made. */
  dirs: string[]
  byController: Record<string, string>
}

/** A path of an OCI spec must stay below the hierarchy's root. */
export function checkCgroupsPath(cgroupsPath: string): string {
  if (!cgroupsPath.startsWith('/') || cgroupsPath.length < 2 || cgroupsPath.split('/').includes('..'))
    throw invalidParameter(`invalid cgroups path "${cgroupsPath}": it must be absolute, without ..`)
  return cgroupsPath.replace(/\/{2,}/g, '/').replace(/\/$/, '')
}

export function cgroupPathsOf(layout: CgroupLayout, cgroupsPath: string): CgroupPaths {
  if (layout.version === 2) {
    const dir = layout.dir + cgroupsPath
    return { version: 2, dirs: [dir], byController: Object.fromEntries([...layout.controllers, 'cgroup'].map((name) => [name, dir])) }
  }
  const byController: Record<string, string> = {}
  const dirs = layout.hierarchies.map(({ dir, controllers }) => {
    for (const name of controllers) byController[name] = dir + cgroupsPath
    return dir + cgroupsPath
  })
  return { version: 1, dirs, byController }
}

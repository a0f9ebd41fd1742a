import { parseBinarySize } from '../../base/sizes.js'
import type { Resources } from '../../schema/engine-api.js'
import type { Values } from '../flags.js'
import { UsageError } from '../status.js'
import { parseDevices, parseGpus, parseThrottle, parseWeight } from './devices.js'

const ulimits = [
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
]

/** `nofile=1024:2048`. */
export function parseUlimit(spec: string): { Name: string; Hard: number; Soft: number } {
  const equals = spec.indexOf('=')
  if (equals < 0) throw new UsageError(`invalid ulimit argument: ${spec}`)
  const name = spec.slice(0, equals)
  if (!ulimits.includes(name)) throw new UsageError(`invalid ulimit type: ${name}`)
  const limits = spec.slice(equals + 1).split(':')
  if (limits.length > 2)
    throw new UsageError(`too many limit value arguments - ${spec.slice(equals + 1)}, can only have up to two, \`soft[:hard]\``)
  const bad = limits.find((text) => !/^-?\d+$/.test(text))
  if (bad !== undefined) throw new UsageError(`strconv.ParseInt: parsing ${JSON.stringify(bad)}: invalid syntax`)
  const [soft, hard = soft] = limits.map(Number) as [number, number?]
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw new UsageError(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`)
  return { Name: name, Hard: hard, Soft: soft }
}

const memory = (text: string): number => (text === '' ? 0 : text === '-1' ? -1 : parseBinarySize(text))

/** Digits moved, not multiplied: 0.1 has no exact double. */
export function nanoCpus(text: string): number {
  if (text === '') return 0
  const [whole = '', fraction = ''] = text.split('.')
  return Number(`${whole}${fraction.padEnd(9, '0')}`)
}

export function resourcesOf(values: Values): Resources & { OomKillDisable: boolean } {
  const swappiness = values.int('memory-swappiness')
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100))
    throw new UsageError(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`)
  const { devices, requests } = parseDevices(values.list('device'))
  if (values.has('gpus')) requests.unshift(parseGpus(values.string('gpus')))
  const throttle = (name: string, bytes: boolean) => values.list(name).map((spec) => parseThrottle(spec, bytes))
  return {
    CpuShares: values.int('cpu-shares'),
    Memory: memory(values.string('memory')),
    NanoCpus: nanoCpus(values.string('cpus')),
    CgroupParent: values.string('cgroup-parent'),
    BlkioWeight: values.int('blkio-weight'),
    BlkioWeightDevice: values.list('blkio-weight-device').map(parseWeight),
    BlkioDeviceReadBps: throttle('device-read-bps', true),
    BlkioDeviceWriteBps: throttle('device-write-bps', true),
    BlkioDeviceReadIOps: throttle('device-read-iops', false),
    BlkioDeviceWriteIOps: throttle('device-write-iops', false),
    CpuPeriod: values.int('cpu-period'),
    CpuQuota: values.int('cpu-quota'),
    CpuRealtimePeriod: values.int('cpu-rt-period'),
    CpuRealtimeRuntime: values.int('cpu-rt-runtime'),
    CpusetCpus: values.string('cpuset-cpus'),
    CpusetMems: values.string('cpuset-mems'),
    Devices: devices,
    DeviceCgroupRules: values.has('device-cgroup-rule') ? values.list('device-cgroup-rule') : null,
    DeviceRequests: requests.length > 0 ? requests : null,
    MemoryReservation: memory(values.string('memory-reservation')),
    MemorySwap: memory(values.string('memory-swap')),
    MemorySwappiness: swappiness,
    OomKillDisable: values.bool('oom-kill-disable'),
    PidsLimit: values.int('pids-limit'),
    Ulimits: values
      .list('ulimit')
      .map(parseUlimit)
      .toSorted((a, b) => (a.Name < b.Name ? -1 : 1)),
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
  }
}

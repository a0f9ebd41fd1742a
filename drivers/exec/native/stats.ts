import fs from 'node:fs/promises'
import path from 'node:path'
import type { ContainerStats } from 'tsd-engine/sdk'
import type { CgroupPaths } from './cgroups.js'

const read = (file: string): Promise<string> => fs.readFile(file, 'utf8').catch(() => '')

/** Lines of `name value`. */
export function keyed(text: string): Record<string, number> {
  const result: Record<string, number> = {}
  for (const line of text.split('\n')) {
    const space = line.lastIndexOf(' ')
    if (space > 0) result[line.slice(0, space)] = Number(line.slice(space + 1))
  }
  return result
}

const UNLIMITED = Number.MAX_SAFE_INTEGER

function limit(text: string): number {
  const value = text.trim()
  return value === 'max' || value === '' ? UNLIMITED : Math.min(Number(value), UNLIMITED)
}

type BlkioEntry = NonNullable<ContainerStats['blkio']>[number]

/** Lines of `major:minor Op value`. */
export function blkioV1(text: string, kind: BlkioEntry['kind']): BlkioEntry[] {
  return text.split('\n').flatMap((line) => {
    const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line)
    return match ? [{ op: match[3] ?? '', major: Number(match[1]), minor: Number(match[2]), value: Number(match[4]), kind }] : []
  })
}

/** Lines of `major:minor rbytes=1 wbytes=2 rios=3 wios=4 ...`. */
export function ioV2(text: string): BlkioEntry[] {
  const names: Record<string, [string, BlkioEntry['kind']]> = {
    rbytes: ['read', 'bytes'],
    wbytes: ['write', 'bytes'],
    rios: ['read', 'operations'],
    wios: ['write', 'operations'],
  }
  return text.split('\n').flatMap((line) => {
    const [device = '', ...pairs] = line.split(' ')
    const [major, minor] = device.split(':').map(Number)
    if (major === undefined || minor === undefined || Number.isNaN(major)) return []
    return pairs.flatMap((pair) => {
      const [key = '', value = '0'] = pair.split('=')
      const named = names[key]
      return named ? [{ op: named[0], major, minor, value: Number(value), kind: named[1] }] : []
    })
  })
}

async function statsV1({ byController }: CgroupPaths): Promise<ContainerStats> {
  const file = (controller: string, name: string) =>
    byController[controller] ? read(path.join(byController[controller], name)) : Promise.resolve('')
  const [usage, acct, perCpu, throttle, memUsage, memMax, memLimit, memStat, memFail, pids, pidsMax, bytes, operations] = await Promise.all(
    [
      file('cpuacct', 'cpuacct.usage'),
      file('cpuacct', 'cpuacct.stat'),
      file('cpuacct', 'cpuacct.usage_percpu'),
      file('cpu', 'cpu.stat'),
      file('memory', 'memory.usage_in_bytes'),
      file('memory', 'memory.max_usage_in_bytes'),
      file('memory', 'memory.limit_in_bytes'),
      file('memory', 'memory.stat'),
      file('memory', 'memory.failcnt'),
      file('pids', 'pids.current'),
      file('pids', 'pids.max'),
      file('blkio', 'blkio.throttle.io_service_bytes_recursive'),
      file('blkio', 'blkio.throttle.io_serviced_recursive'),
    ],
  )
  const ticks = keyed(acct)
  const periods = keyed(throttle)
  // USER_HZ is 100 on every architecture that Node runs on.
  const nanoseconds = (value: number | undefined) => (value ?? 0) * 10_000_000
  return {
    ...(usage
      ? {
          cpu: {
            total: Number(usage),
            user: nanoseconds(ticks.user),
            system: nanoseconds(ticks.system),
            perCpu: perCpu.trim().split(' ').map(Number),
            periods: periods.nr_periods ?? 0,
            throttledPeriods: periods.nr_throttled ?? 0,
            throttledTime: periods.throttled_time ?? 0,
          },
        }
      : {}),
    ...(memUsage
      ? {
          memory: {
            usage: Number(memUsage),
            maxUsage: Number(memMax),
            limit: limit(memLimit),
            stats: keyed(memStat),
            failcnt: Number(memFail),
          },
        }
      : {}),
    ...(pids ? { pids: { current: Number(pids), limit: limit(pidsMax) } } : {}),
    blkio: [...blkioV1(bytes, 'bytes'), ...blkioV1(operations, 'operations')],
  }
}

async function statsV2({ dirs: [dir = ''] }: CgroupPaths): Promise<ContainerStats> {
  const [cpu, memory, peak, max, stat, events, pids, pidsMax, io] = await Promise.all(
    ['cpu.stat', 'memory.current', 'memory.peak', 'memory.max', 'memory.stat', 'memory.events', 'pids.current', 'pids.max', 'io.stat'].map(
      (name) => read(path.join(dir, name)),
    ),
  )
  const times = keyed(cpu ?? '')
  const micro = (name: string) => (times[name] ?? 0) * 1000
  return {
    ...(cpu
      ? {
          cpu: {
            total: micro('usage_usec'),
            user: micro('user_usec'),
            system: micro('system_usec'),
            periods: times.nr_periods ?? 0,
            throttledPeriods: times.nr_throttled ?? 0,
            throttledTime: micro('throttled_usec'),
          },
        }
      : {}),
    ...(memory
      ? {
          memory: {
            usage: Number(memory),
            ...(peak ? { maxUsage: Number(peak) } : {}),
            limit: limit(max ?? ''),
            stats: keyed(stat ?? ''),
            failcnt: keyed(events ?? '').max ?? 0,
          },
        }
      : {}),
    ...(pids ? { pids: { current: Number(pids), limit: limit(pidsMax ?? '') } } : {}),
    blkio: ioV2(io ?? ''),
  }
}

export const readStats = (cgroups: CgroupPaths): Promise<ContainerStats> => (cgroups.version === 2 ? statsV2(cgroups) : statsV1(cgroups))

/** Pids in a group and all groups below it. */
export async function processesBelow(dir: string): Promise<number[]> {
  const pids = (await read(`${dir}/cgroup.procs`))
    .split('\n')
    .filter((line) => line !== '')
    .map(Number)
  const below = await fs.readdir(dir, { withFileTypes: true }).catch(() => [])
  for (const entry of below) if (entry.isDirectory()) pids.push(...(await processesBelow(`${dir}/${entry.name}`)))
  return pids
}

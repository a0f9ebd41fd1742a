import type { ContainerStats } from 'tsd-engine/sdk'

interface Memory {
  usage?: number
  max?: number
  limit?: number
  failcnt?: number
}

interface BlkioEntry {
  major?: number
  minor?: number
  op?: string
  value?: number
}

/** `events --stats` of runc and crun. */
interface Event {
  data?: {
    cpu?: {
      usage?: { total?: number; percpu?: number[]; kernel?: number; user?: number }
      throttling?: { periods?: number; throttledPeriods?: number; throttledTime?: number }
    }
    memory?: { usage?: Memory; raw?: Record<string, number> }
    pids?: { current?: number; limit?: number }
    blkio?: { ioServiceBytesRecursive?: BlkioEntry[]; ioServicedRecursive?: BlkioEntry[] }
  }
}

export function statsOf(text: string): ContainerStats {
  const { data = {} } = JSON.parse(text) as Event
  const blkio = (list: BlkioEntry[] | undefined, kind: 'bytes' | 'operations') =>
    (list ?? []).map(({ op = '', major = 0, minor = 0, value = 0 }) => ({ op, major, minor, value, kind }))
  const { cpu, memory, pids } = data
  const limit = (value: number | undefined) => Math.min(value || Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  return {
    ...(cpu?.usage
      ? {
          cpu: {
            total: cpu.usage.total ?? 0,
            user: cpu.usage.user ?? 0,
            system: cpu.usage.kernel ?? 0,
            ...(cpu.usage.percpu ? { perCpu: cpu.usage.percpu } : {}),
            periods: cpu.throttling?.periods ?? 0,
            throttledPeriods: cpu.throttling?.throttledPeriods ?? 0,
            throttledTime: cpu.throttling?.throttledTime ?? 0,
          },
        }
      : {}),
    ...(memory?.usage
      ? {
          memory: {
            usage: memory.usage.usage ?? 0,
            ...(memory.usage.max === undefined ? {} : { maxUsage: memory.usage.max }),
            limit: limit(memory.usage.limit),
            stats: memory.raw ?? {},
            failcnt: memory.usage.failcnt ?? 0,
          },
        }
      : {}),
    ...(pids ? { pids: { current: pids.current ?? 0, limit: limit(pids.limit) } } : {}),
    blkio: [...blkio(data.blkio?.ioServiceBytesRecursive, 'bytes'), ...blkio(data.blkio?.ioServicedRecursive, 'operations')],
  }
}

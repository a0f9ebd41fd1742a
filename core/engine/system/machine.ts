import fs from 'node:fs/promises'
import os from 'node:os'

/** What does not change while the daemon runs. */
export interface Machine {
  kernelVersion: string
  operatingSystem: string
  osVersion: string
  /** As uname -m says it: x86_64. */
  architecture: string
  /** As Go says it: amd64. */
  goArchitecture: string
  cpus: number
  memory: number
  hostname: string
  cgroupVersion: '1' | '2'
  limits: {
    memory: boolean
    swap: boolean
    cpuShares: boolean
    cpuCfs: boolean
    cpuset: boolean
    pids: boolean
    oomKillDisable: boolean
    kernelMemoryTcp: boolean
  }
  seccomp: boolean
}

const goNames: Record<string, string> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
}

const text = (file: string): Promise<string> => fs.readFile(file, 'utf8').catch(() => '')
const exists = (file: string): Promise<boolean> =>
  fs.access(file).then(
    () => true,
    () => false,
  )

/** Values of an os-release file, quotes taken off. */
export function parseOsRelease(content: string): Record<string, string> {
  const values: Record<string, string> = {}
  for (const row of content.split('\n')) {
    const match = /^([A-Z][A-Z0-9_]*)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S*))\s*$/.exec(row)
    if (match !== null) values[match[1] as string] = (match[2]?.replace(/\\(.)/g, '$1') ?? match[3] ?? match[4]) as string
  }
  return values
}

/** Where each v1 controller is mounted; empty on a unified hierarchy. */
function controllersV1(mounts: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const row of mounts.split('\n')) {
    const [, place, type, options = ''] = row.split(' ')
    if (type === 'cgroup' && place !== undefined) for (const option of options.split(',')) if (!found.has(option)) found.set(option, place)
  }
  return found
}

async function limitsOf(): Promise<Pick<Machine, 'cgroupVersion' | 'limits'>> {
  const unified = await text('/sys/fs/cgroup/cgroup.controllers')
  if (unified !== '') {
    const has = new Set(unified.trim().split(/\s+/))
    const [memory, cpu] = [has.has('memory'), has.has('cpu')]
    const limits = { memory, swap: memory, cpuShares: cpu, cpuCfs: cpu, cpuset: has.has('cpuset'), pids: has.has('pids') }
    return { cgroupVersion: '2', limits: { ...limits, oomKillDisable: false, kernelMemoryTcp: false } }
  }
  const at = controllersV1(await text('/proc/self/mounts'))
  const has = async (controller: string, file: string): Promise<boolean> => {
    const place = at.get(controller)
    return place !== undefined && (await exists(`${place}/${file}`))
  }
  const limits = {
    memory: at.has('memory'),
    swap: await has('memory', 'memory.memsw.limit_in_bytes'),
    cpuShares: await has('cpu', 'cpu.shares'),
    cpuCfs: await has('cpu', 'cpu.cfs_quota_us'),
    cpuset: at.has('cpuset'),
    pids: at.has('pids'),
    oomKillDisable: await has('memory', 'memory.oom_control'),
    kernelMemoryTcp: await has('memory', 'memory.kmem.tcp.limit_in_bytes'),
  }
  return { cgroupVersion: '1', limits }
}

export async function readMachine(): Promise<Machine> {
  const distribution = parseOsRelease((await text('/etc/os-release')) || (await text('/usr/lib/os-release')))
  return {
    kernelVersion: os.release(),
    operatingSystem: distribution['PRETTY_NAME'] ?? distribution['NAME'] ?? 'Linux',
    osVersion: distribution['VERSION_ID'] ?? '',
    architecture: os.machine(),
    goArchitecture: goNames[process.arch] ?? process.arch,
    cpus: os.availableParallelism(),
    memory: os.totalmem(),
    hostname: os.hostname(),
    seccomp: /^Seccomp:/m.test(await text('/proc/self/status')),
    ...(await limitsOf()),
  }
}

/** May change at any time. */
export async function ipv4Forwarding(): Promise<boolean> {
  return (await text('/proc/sys/net/ipv4/ip_forward')).trim() === '1'
}

export async function openFiles(): Promise<number> {
  return (await fs.readdir('/proc/self/fd').catch(() => [])).length
}

import fs from 'node:fs/promises'
import os from 'node:os'
import { capabilitiesOfMask } from '../../../base/capabilities.js'
import type { HostFacts } from './input.js'

const read = (file: string): Promise<string> => fs.readFile(file, 'utf8').catch(() => '')
const exists = (file: string): Promise<boolean> =>
  fs.access(file).then(
    () => true,
    () => false,
  )

const someExists = async (files: string[]): Promise<boolean> => (await Promise.all(files.map(exists))).includes(true)

const GO_ARCHITECTURE: Record<string, string> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle', ppc64: 'ppc64le', loong64: 'loong64' }

/** Names such as `2MB`, as the hugetlb controller uses. */
function hugepageName(kilobytes: number): string {
  const units = ['KB', 'MB', 'GB']
  let unit = 0
  while (kilobytes >= 1024 && unit < 2) {
    kilobytes /= 1024
    unit++
  }
  return `${kilobytes}${units[unit]}`
}

/** Looks at the machine. /proc and /sys only: nothing here can hang. */
export async function readHostFacts(): Promise<HostFacts> {
  const [status, controllers, apparmor, hugepages] = await Promise.all([
    read('/proc/self/status'),
    exists('/sys/fs/cgroup/cgroup.controllers'),
    read('/sys/module/apparmor/parameters/enabled'),
    fs.readdir('/sys/kernel/mm/hugepages').catch(() => [] as string[]),
  ])
  const cgroupVersion = controllers ? 2 : 1
  const cgroup = '/sys/fs/cgroup'
  const [swapLimit, oomControl, blockWeight, cpuRealtime, cpus, mems] = await Promise.all([
    exists(cgroupVersion === 2 ? '/proc/swaps' : `${cgroup}/memory/memory.memsw.limit_in_bytes`),
    cgroupVersion === 1 && exists(`${cgroup}/memory/memory.oom_control`),
    // The root group has no weight: what else the scheduler with weights shows there tells of it. The root group of v2 shows nothing.
    cgroupVersion === 2 || someExists(['weight', 'bfq.io_serviced'].map((name) => `${cgroup}/blkio/blkio.${name}`)),
    cgroupVersion === 1 && exists(`${cgroup}/cpu/cpu.rt_runtime_us`),
    read(cgroupVersion === 2 ? `${cgroup}/cpuset.cpus.effective` : `${cgroup}/cpuset/cpuset.effective_cpus`),
    read(cgroupVersion === 2 ? `${cgroup}/cpuset.mems.effective` : `${cgroup}/cpuset/cpuset.effective_mems`),
  ])
  const [major = 0, minor = 0] = os
    .release()
    .split('.')
    .map((part) => Number.parseInt(part, 10))
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'
  return {
    cgroupVersion,
    capabilities: capabilitiesOfMask(BigInt(`0x${mask}`)),
    architecture: GO_ARCHITECTURE[process.arch] ?? process.arch,
    kernel: [major, minor],
    cpus: os.availableParallelism(),
    cpusetCpus: cpus.trim(),
    cpusetMems: mems.trim(),
    apparmor: apparmor.trim() === 'Y',
    swapLimit,
    oomControl,
    blockWeight,
    cpuRealtime,
    hugepageSizes: hugepages.map((name) => hugepageName(Number.parseInt(name.replace('hugepages-', ''), 10))),
  }
}

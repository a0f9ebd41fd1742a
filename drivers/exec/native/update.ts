import fs from 'node:fs/promises'
import { invalidParameter, type OciResources } from 'tsd-engine/sdk'
import { writesV1, writesV2, type CgroupPaths } from './cgroups.js'

/** A v1 memory limit may never exceed the limit of memory and swap: the one that grows is written first. */
async function inOrder<T extends { file: string; value: string }>(writes: T[], cgroups: CgroupPaths): Promise<T[]> {
  const memory = writes.find(({ file }) => file === 'memory.limit_in_bytes')
  const swap = writes.find(({ file }) => file === 'memory.memsw.limit_in_bytes')
  if (!memory || !swap) return writes
  const current = Number(await fs.readFile(`${cgroups.byController.memory}/memory.memsw.limit_in_bytes`, 'utf8').catch(() => '0'))
  const larger = swap.value === '-1' || Number(swap.value) > current
  const rest = writes.filter((write) => write !== memory && write !== swap)
  return larger ? [swap, memory, ...rest] : [memory, swap, ...rest]
}

/** New limits for a running container. Device rules stay as they are. */
export async function updateLimits(id: string, cgroups: CgroupPaths, resources: OciResources): Promise<void> {
  const { devices: _devices, ...limits } = resources
  const writes = cgroups.version === 2 ? writesV2(limits) : await inOrder(writesV1(limits), cgroups)
  for (const { controller, file, value, optional } of writes) {
    const dir = cgroups.byController[controller]
    if (dir === undefined) {
      if (optional) continue
      throw invalidParameter(`cannot set ${file}: the machine has no ${controller} cgroup controller`)
    }
    await fs.writeFile(`${dir}/${file}`, value).catch((error: NodeJS.ErrnoException) => {
      if (optional && (error.code === 'ENOENT' || error.code === 'EACCES' || error.code === 'ENOTSUP')) return
      throw invalidParameter(`cannot set ${file} of container ${id} to ${value}: ${error.message}`, { cause: error })
    })
  }
}

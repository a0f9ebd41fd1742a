import type { HostConfig } from '../../schema/engine-api.js'
import { conflict, invalidParameter, messageOf } from '../../sdk/errors.js'
import type { OciResources } from '../../sdk/oci.js'
import type { Container } from './container.js'
import { publish, type ContainersContext } from './context.js'
import type { UpdateRequest } from './contract.js'
import { resolveDevices } from './spec/devices.js'
import { checkLimits } from './spec/limits.js'
import { limitsOf } from './spec/resources.js'
import { checkRestart } from './spec/validate.js'

const numbers = [
  'BlkioWeight',
  'CpuShares',
  'NanoCpus',
  'CpuPeriod',
  'CpuQuota',
  'CpuRealtimePeriod',
  'CpuRealtimeRuntime',
  'Memory',
  'MemorySwap',
  'MemoryReservation',
] as const
const texts = ['CpusetCpus', 'CpusetMems'] as const
const changeable = new Set<string>([...numbers, ...texts, 'PidsLimit', 'RestartPolicy'])

/** Which part of the limits a field belongs to. */
const partOf = (field: string): keyof OciResources =>
  field.startsWith('Blkio') ? 'blockIO' : field.startsWith('Memory') ? 'memory' : field === 'PidsLimit' ? 'pids' : 'cpu'

const isZero = (value: unknown): boolean =>
  value === undefined || value === null || value === 0 || value === '' || value === false || (Array.isArray(value) && value.length === 0)

function refuseOthers(request: UpdateRequest): void {
  const refused = Object.entries(request).find(
    ([field, value]) => !changeable.has(field) && !isZero(value) && !(field === 'MemorySwappiness' && value === -1),
  )
  if (refused) throw invalidParameter(`${refused[0]} of a container cannot be updated: create the container anew with it`)
}

const clash = (what: string) => conflict(`Conflicting options: ${what}`)

/** Docker's rules of what a limit may become while another stands. */
function checkAgainst(old: HostConfig, request: UpdateRequest): void {
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, Memory = 0, MemorySwap = 0 } = request
  if (old.NanoCpus && CpuPeriod > 0) throw clash('CPU Period cannot be updated as NanoCPUs has already been set.')
  if (old.NanoCpus && CpuQuota > 0) throw clash('CPU Quota cannot be updated as NanoCPUs has already been set.')
  if (NanoCpus > 0 && old.CpuPeriod) throw clash('Nano CPUs cannot be updated as CPU Period has already been set.')
  if (NanoCpus > 0 && old.CpuQuota) throw clash('Nano CPUs cannot be updated as CPU Quota has already been set.')
  const swap = old.MemorySwap || (old.Memory ?? 0) * 2
  if (Memory > 0 && swap !== -1 && Memory > swap && MemorySwap === 0)
    throw conflict('Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time')
}

function merged(old: HostConfig, request: UpdateRequest): { next: HostConfig; parts: Set<keyof OciResources> } {
  const next: HostConfig = { ...old }
  const parts = new Set<keyof OciResources>()
  for (const field of [...numbers, ...texts]) {
    const value = request[field]
    if (isZero(value)) continue
    Object.assign(next, { [field]: value })
    parts.add(partOf(field))
  }
  if (request.PidsLimit !== undefined && request.PidsLimit !== null) {
    next.PidsLimit = request.PidsLimit > 0 ? request.PidsLimit : -1
    parts.add('pids')
  }
  if (request.RestartPolicy?.Name) next.RestartPolicy = { MaximumRetryCount: 0, ...request.RestartPolicy }
  return { next, parts }
}

/** Called with the container's lock held. On disk before it applies: a daemon that is killed in between starts the container with it. */
export async function updateContainer(
  ctx: ContainersContext,
  container: Container,
  request: UpdateRequest,
): Promise<{ Warnings: string[] }> {
  const { record } = container
  const { status } = record.state
  if (status === 'removing' || status === 'dead')
    throw conflict(`Cannot update container ${record.id}: Container is marked for removal and cannot be "update".`)
  refuseOthers(request)
  checkRestart({ ...(request.RestartPolicy ? { RestartPolicy: request.RestartPolicy } : {}) })
  const policy = request.RestartPolicy?.Name
  if (record.hostConfig.AutoRemove && policy && policy !== 'no')
    throw clash('Restart policy cannot be updated because AutoRemove is enabled for the container')
  const old = record.hostConfig
  checkAgainst(old, request)
  const { next, parts } = merged(old, request)
  const warnings: string[] = []
  checkLimits(next, ctx.facts, warnings)
  record.hostConfig = next
  await ctx.registry.save(container, { sync: true })
  try {
    if (container.running && container.isLive && parts.size > 0) {
      const limits = limitsOf(next, await resolveDevices(next))
      const changed = Object.fromEntries(Object.entries(limits).filter(([part]) => parts.has(part as keyof OciResources))) as OciResources
      await container.running.exec.driver.update(container.id, changed)
    }
  } catch (error) {
    record.hostConfig = old
    await ctx.registry.save(container, { sync: true })
    throw invalidParameter(`Cannot update container ${record.id}: ${messageOf(error)}`, { cause: error })
  }
  publish(ctx, container, 'update')
  return { Warnings: warnings }
}

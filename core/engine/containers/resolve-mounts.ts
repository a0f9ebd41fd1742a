import { mkdir, stat } from 'node:fs/promises'
import type { Disposables } from '../../base/disposables.js'
import { invalidParameter } from '../../sdk/errors.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'
import { checkPropagation } from './propagation.js'
import type { MountPointRecord } from './record.js'
import type { ResolvedMount } from './spec/input.js'
import { tmpfsOptions } from './spec/mounts.js'

export interface MountsInUse {
  mounts: ResolvedMount[]
  volumes: { name: string; holder: string }[]
}

async function bindSource(point: MountPointRecord): Promise<string> {
  try {
    await stat(point.source)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    if (!point.createSource)
      throw invalidParameter(`invalid mount config for type "bind": bind source path does not exist: ${point.source}`)
    await mkdir(point.source, { recursive: true })
  }
  return point.source
}

/** What `--mount` names must be there when the container is created. */
export async function checkBindSources(mounts: MountPointRecord[]): Promise<void> {
  for (const point of mounts) if (point.type === 'bind' && !point.createSource) await bindSource(point)
}

const resolvedOf = (point: MountPointRecord, source: string): ResolvedMount => ({
  type: point.type,
  source,
  destination: point.destination,
  readonly: !point.writable,
  propagation: point.propagation,
  nonRecursive: !point.recursive,
  readonlyNonRecursive: point.readonlyNonRecursive,
  readonlyForceRecursive: point.readonlyRecursive,
  ...(point.type === 'tmpfs' ? { options: tmpfsOptions(point.tmpfsOptions.join(',')) } : {}),
})

/** What the mount event tells. */
const mountAttributes = (container: Container, point: MountPointRecord): Record<string, string> => ({
  container: container.id,
  destination: point.destination,
  'read/write': String(point.writable),
  propagation: point.propagation,
})

/** Host paths of everything to be mounted: binds are checked, volumes are mounted by their drivers. */
export async function resolveMounts(
  ctx: ContainersContext,
  container: Container,
  holder: string,
  stack: Disposables,
): Promise<MountsInUse> {
  const inUse: MountsInUse = { mounts: [], volumes: [] }
  for (const [index, point] of container.record.mounts.entries()) {
    if (point.type === 'tmpfs') inUse.mounts.push(resolvedOf(point, ''))
    else if (point.type === 'bind') {
      const source = await bindSource(point)
      await checkPropagation(source, point.propagation)
      inUse.mounts.push(resolvedOf(point, source))
    } else {
      const volume = { name: point.name, holder: `${holder}.${index}`, attributes: { container: container.id } }
      await ctx.volumes.ensure(point.name, point.driver)
      stack.defer(`volume ${point.name}`, () => ctx.volumes.unmount(volume, container.id))
      const { mountpoint } = await ctx.volumes.mount({ ...volume, attributes: mountAttributes(container, point) }, container.id)
      point.source = mountpoint
      inUse.mounts.push(resolvedOf(point, mountpoint))
      inUse.volumes.push(volume)
    }
  }
  return inUse
}

import type { Archiver, Logger, Mounter } from '../../sdk/ports.js'
import type { Events } from '../events/index.js'
import type { Images } from '../images/index.js'
import type { Layers } from '../layers/index.js'
import type { Logs } from '../logs/index.js'
import type { Names } from '../names/index.js'
import type { Networks } from '../networks/index.js'
import type { Clock, ContainerFiles, Drivers, EngineConfig, NetworkNamespaces, RunLedger, Shims, Zstd } from '../ports/index.js'
import type { Volumes } from '../volumes/index.js'
import type { KeyedLock } from '../../base/keyed-lock.js'
import type { Container } from './container.js'
import type { ContainerRegistry } from './registry.js'
import type { Visits } from './visits.js'
import type { HostFacts } from './spec/input.js'
import type { SeccompProfile } from './spec/seccomp-default.js'

/** What the parts of the containers service share. */
export interface ContainersContext {
  config: EngineConfig
  facts: HostFacts
  /** The daemon's own profile; undefined: built in; null: unconfined. */
  seccompProfile: SeccompProfile | null | undefined
  drivers: Drivers
  images: Images
  layers: Layers
  volumes: Volumes
  networks: Networks
  names: Names
  logs: Logs
  events: Events
  ledger: RunLedger
  shims: Shims
  netns: NetworkNamespaces
  mounter: Mounter
  archiver: Archiver
  files: ContainerFiles
  zstd: Zstd
  clock: Clock
  logger: Logger
  registry: ContainerRegistry
  /** One lock per container: start, stop, restart, remove, connect. Never taken by kill, inspect, list or an exit. */
  locks: KeyedLock
  visits: Visits
}

/** Directory of a container that survives a reboot: bundle, logs, hosts files. */
export const containerDir = (ctx: ContainersContext, id: string): string => `${ctx.config.dataRoot}/containers/${id}`

/** Docker's attributes of a container event: labels, image and name. */
export function publish(ctx: ContainersContext, container: Container, action: string, extra: Record<string, string> = {}): void {
  const { record } = container
  ctx.events.publish('container', action, record.id, {
    ...(record.config.Labels ?? {}),
    image: record.image,
    name: record.name,
    ...extra,
  })
}

import type { ExecDriver } from './kinds/exec.js'
import type { GraphDriver } from './kinds/graph.js'
import type { IpamDriver } from './kinds/ipam.js'
import type { LogDriver } from './kinds/log.js'
import type { NetworkDriver } from './kinds/network.js'
import type { VolumeDriver } from './kinds/volume.js'
import type { DriverContext } from './ports.js'

/** The interface that each kind of driver implements. */
export interface KindMap {
  graph: GraphDriver
  volume: VolumeDriver
  network: NetworkDriver
  ipam: IpamDriver
  exec: ExecDriver
  log: LogDriver
}
export type Kind = keyof KindMap

export const kinds: readonly Kind[] = ['graph', 'volume', 'network', 'ipam', 'exec', 'log']

export function isKind(value: unknown): value is Kind {
  return kinds.includes(value as Kind)
}

/** A refusal is a value with its reason, not an error: `tsd driver why` prints it. */
export type ProbeResult = { ok: true } | { ok: false; reason: string }

/** What `create` answers. `dispose` must be safe after a half-done life and never destroys data. */
export type DriverInstance<K extends Kind> = KindMap[K] & { dispose?(): Promise<void> | void }

export interface DriverDefinition<K extends Kind = Kind> {
  kind: K
  /** As in the manifest (`tsd.kinds[].name`). */
  name: string
  /** Can this driver work here? No side effects; `dataDir` and `runDir` may not exist yet. Absent: always. */
  probe?(ctx: DriverContext): Promise<ProbeResult>
  /** Called once per daemon (again after a crash). Directories of `ctx` exist. */
  create(ctx: DriverContext): Promise<DriverInstance<K>> | DriverInstance<K>
}

/** A definition of any kind, for lists. */
export type AnyDriverDefinition = { [K in Kind]: DriverDefinition<K> }[Kind]

const BRAND = Symbol.for('tsd.driver')

/** A plugin's `index.ts` default-exports the answer, or an array of them. */
export function defineDriver<K extends Kind>(definition: DriverDefinition<K>): DriverDefinition<K> {
  Object.defineProperty(definition, BRAND, { value: true })
  return definition
}

/** True for definitions of this copy of the SDK and of any other. */
export function isDriverDefinition(value: unknown): value is AnyDriverDefinition {
  return typeof value === 'object' && value !== null && (value as { [BRAND]?: unknown })[BRAND] === true
}

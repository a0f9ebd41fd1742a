// What the kernel offers to the engine. Stands in the SDK because both may import it; a driver has no use for it.
import type { Kind, KindMap } from './driver.js'

/** The right to use a driver until released. Swapping or disabling the driver waits for it. */
export interface Lease<T> {
  readonly name: string
  readonly driver: T
  /** False: a Docker plugin, which knows nothing of holders and may count what is said twice. */
  readonly crashOnly: boolean
  release(): void
}

export interface DriverVerdict {
  name: string
  verdict: 'selected' | 'available' | 'refused' | 'failed' | 'skipped' | 'absent'
  reason: string
  source: string
}

export interface DriverSummary {
  kind: Kind
  name: string
  version: string
  host: 'in-process' | 'process' | 'http'
  state: 'active' | 'available' | 'failed' | 'pending'
  selected: boolean
  source: string
}

export interface Drivers {
  /** Name used when an object names none (config `drivers.<kind>`). */
  defaultName(kind: Kind): string
  /**
   * Loads and initialises the driver if need be. `holder` shows in `tsd plugin why`. Unknown names fail at once with NotFound, listing near names.
   * For `graph` the name is the selected one.
   */
  lease<K extends Kind>(kind: K, name: string, holder: string): Promise<Lease<KindMap[K]>>
  /** A driver that is already active, without waiting; undefined otherwise. For the start path. */
  active<K extends Kind>(kind: K, name: string): KindMap[K] | undefined
  /** Names that can be asked for, external plugins included. */
  names(kind: Kind): Promise<string[]>
  list(): Promise<DriverSummary[]>
  why(kind: Kind): Promise<DriverVerdict[]>
  inspect(name: string): Promise<Record<string, unknown>>
  /** Runs once for each activation of a driver of the kind (now for those active already): pending ledger entries are retried then. */
  onActivate(kind: Kind, callback: (name: string) => void): void
}
export const Drivers = Symbol.for('tsd.Drivers')

/** Something that the engine made in the world, or is about to. */
export interface LedgerResource {
  /** `shim`, `cgroup`, `netns`, `endpoint`, `address`, `snapshot`, `volume-mount`, `mount`, `exec` ... */
  kind: string
  /** Unique within the kind and owner. */
  key: string
  /** What release needs to know. */
  data?: Record<string, unknown>
}

export interface LedgerEntry extends LedgerResource {
  owner: string
  state: 'intent' | 'fact'
}

/** The run ledger: what a reboot destroys. One append per call, never fsynced; survives a kill of any process. */
export interface RunLedger {
  /** Before anything is made. One record for all. */
  intend(owner: string, resources: LedgerResource[]): void
  /** After it was made; merges `data`. */
  fact(owner: string, resources: LedgerResource[]): void
  /** After it is gone. */
  released(owner: string, resources: { kind: string; key: string }[]): void
  /** What is not released, in the order of intent. */
  entries(owner?: string): LedgerEntry[]
}
export const RunLedger = Symbol.for('tsd.RunLedger')

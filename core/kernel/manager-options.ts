import type { Kind } from '../sdk/driver.js'
import type { DaemonFacts, Logger } from '../sdk/ports.js'
import type { DriverOptions, DriverServices } from './contexts.js'
import type { PluginRoot } from './discovery.js'
import type { DockerPlaces } from './docker-places.js'
import type { ProcessHostOptions } from './host-process.js'
import type { Timings } from './timings.js'

/** A further name for a driver, with options of its own: an OCI runtime by path. */
export interface DriverAlias {
  kind: Kind
  name: string
  driver: string
  options: Record<string, unknown>
}

export interface ManagerSettings {
  /** Configured graph driver; empty: by prior state and priority. */
  graphName: string
  graphPriority: readonly string[]
  /** Names used when an object names none, best first: the first that exists is taken unless it is `required`. */
  defaults: Record<Exclude<Kind, 'graph'>, readonly string[]>
  /** Defaults that the administrator chose: their absence or failure is fatal. `kind/name`. */
  required: readonly string[]
  options: DriverOptions
  aliases: readonly DriverAlias[]
}

export interface ManagerOptions {
  settings: ManagerSettings
  roots: readonly PluginRoot[]
  /** Directory of the engine's package.json: what `tsd-engine` resolves to. */
  packageRoot: string
  sdkVersion: string
  facts: DaemonFacts
  services: DriverServices
  logger: Logger
  timings?: Timings
  /** Docker's plugin places; absent: none are looked at. */
  docker?: DockerPlaces
  /** For the children of plugins with isolation `process`. */
  children?: Pick<ProcessHostOptions, 'onStart' | 'inherit'>
}

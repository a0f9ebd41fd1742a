import path from 'node:path'
import { unavailable } from '../sdk/errors.js'
import type { DaemonFacts, Logger } from '../sdk/ports.js'
import type { DriverServices } from './contexts.js'
import type { FoundPlugin } from './discovery.js'
import type { PluginHost } from './host.js'
import { InProcessHost } from './host-in-process.js'
import type { ProcessHostOptions } from './host-process.js'
import { copyVersion, linkEngine, pruneVersions } from './versions.js'

export interface PluginHostsOptions {
  facts: DaemonFacts
  services: DriverServices
  logger: Logger
  packageRoot: string
  children: Pick<ProcessHostOptions, 'onStart' | 'inherit'>
}

/** Where each plugin runs, and from which copy. */
export class PluginHosts {
  private readonly hosts = new Map<string, PluginHost>()
  private readonly versionsInUse = new Set<string>()

  constructor(private readonly options: PluginHostsOptions) {}

  has(plugin: string): boolean {
    return this.hosts.has(plugin)
  }

  get(plugin: string): PluginHost {
    const host = this.hosts.get(plugin)
    if (host === undefined) throw unavailable(`plugin ${plugin} has no host`)
    return host
  }

  /** Loads nothing yet: copies are made and processes started when a first driver is wanted. */
  async add({ manifest, folder, bundled }: FoundPlugin): Promise<PluginHost> {
    let loading: Promise<string> | undefined
    const load = (): Promise<string> => (loading ??= bundled ? Promise.resolve(folder) : this.copy(folder, manifest.name))
    const host = manifest.isolation === 'process' ? await this.processHost(manifest, load) : new InProcessHost(manifest, load)
    this.hosts.set(manifest.name, host)
    return host
  }

  /** Removes copies that no plugin of this daemon was loaded from. */
  async prune(): Promise<void> {
    await pruneVersions(this.store, this.versionsInUse)
  }

  private get store(): string {
    return path.join(this.options.facts.dataRoot, 'drivers')
  }

  private async processHost(manifest: FoundPlugin['manifest'], folder: () => Promise<string>): Promise<PluginHost> {
    const { facts, services, logger, children } = this.options
    // Most daemons have no such plugin and save the memory.
    const { ProcessHost } = await import('./host-process.js')
    return new ProcessHost(manifest, folder, { directory: path.join(facts.execRoot, 'hosts'), services, logger, ...children })
  }

  private async copy(folder: string, name: string): Promise<string> {
    await linkEngine(this.store, this.options.packageRoot)
    const version = await copyVersion(folder, name, this.store)
    this.versionsInUse.add(version)
    return version
  }
}

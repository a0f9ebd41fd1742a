import path from 'node:path'
import { Disposables } from '../base/disposables.js'
import { didYouMean } from '../base/near.js'
import { type DriverInstance, type Kind, type KindMap, type ProbeResult, isKind, kinds } from '../sdk/driver.js'
import { categoryOf, conflict, invalidParameter, messageOf, TsdError, notFound, notImplemented, unavailable } from '../sdk/errors.js'
import type { Drivers, DriverSummary, DriverVerdict, Lease } from '../sdk/registry.js'
import { Aliases } from './aliases.js'
import { driverOptions, makeContext, makeDirectories } from './contexts.js'
import { discover, type Discovered, type FoundPlugin } from './discovery.js'
import { DockerPlugins } from './docker-plugins.js'
import { type HostedDriver, type PluginHost, withDeadline } from './host.js'
import { PluginHosts } from './hosts.js'
import type { Manifest, ManifestKind } from './manifest.js'
import type { ManagerOptions, ManagerSettings } from './manager-options.js'
import { describeDriver, explainGraph, explainNamed, summarise } from './reports.js'
import { findCycles } from './requires.js'
import { chooseGraph, findPriorState, SelectionError, writeMarker } from './selection.js'
import { DriverSlot } from './slot.js'
import { DriverStore, type StoredDriver } from './store.js'
import { Timings } from './timings.js'
import { satisfies } from './version-range.js'

const probeMilliseconds = 10_000
const initMilliseconds = 30_000
const disposeMilliseconds = 10_000

/** Finds drivers, chooses among them, starts and ends them, and keeps account of who uses which. */
export class DriverManager implements Drivers {
  readonly store = new DriverStore()
  private readonly docker: DockerPlugins
  private readonly hosts: PluginHosts
  private readonly ending = new Disposables()
  private readonly timings: Timings
  private found: Discovered = { plugins: [], broken: [], looked: [] }
  private graph: { name: string; verdicts: DriverVerdict[] } | undefined

  private settings: ManagerSettings
  private readonly aliases: Aliases

  constructor(private readonly options: ManagerOptions) {
    this.settings = options.settings
    this.timings = options.timings ?? new Timings('drivers')
    this.docker = new DockerPlugins(options.docker ?? { sockets: [], specs: [] }, options.logger, (kind, name) =>
      this.store.activated(kind, name),
    )
    const { facts, services, logger, packageRoot, children } = options
    this.hosts = new PluginHosts({ facts, services, logger, packageRoot, children: children ?? {} })
    this.aliases = new Aliases({
      store: this.store,
      make: ({ info }, { name, options: extra }) =>
        this.make(info.manifest as Manifest, info.entry as ManifestKind, this.hosts.get(info.plugin), name, extra),
      looked: () => this.found.looked,
      logger,
    })
    this.ending.defer('Docker plugins', () => this.docker.dispose())
  }

  /** Finds and validates; loads nothing. */
  async discover(): Promise<void> {
    await this.timings.span('discover drivers', async () => {
      this.found = await discover(this.options.roots)
      for (const { folder, reason } of this.found.broken) this.options.logger.warn('a plugin cannot be used', { folder, reason })
      const cycles = this.cycles()
      for (const plugin of this.found.plugins) await this.addPlugin(plugin, cycles)
      this.aliases.replaceBy(this.settings.aliases)
    })
  }

  /** Chooses the graph driver and starts what objects use by default. Rejects when a required driver cannot be used. */
  async start(): Promise<void> {
    if (this.found.looked.length === 0) await this.discover()
    await this.timings.span('choose graph driver', () => this.selectGraph())
    await this.timings.span('start default drivers', async (timings) => {
      const started = await Promise.allSettled(kinds.map((kind) => this.startDefault(kind, timings)))
      const failed = started.find((one) => one.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    })
    void this.hosts.prune().catch(() => undefined)
  }

  /** Takes over what can change without a restart: further names of drivers, and the defaults. Nothing changes when it rejects. */
  reload({ aliases, defaults, required }: Pick<ManagerSettings, 'aliases' | 'defaults' | 'required'>): void {
    for (const id of required) {
      const [kind, name] = id.split('/') as [Kind, string]
      // Runtimes alone change here; other kinds may be Docker plugins that are not there yet.
      if (kind !== 'exec') continue
      const names = [...this.aliases.plainNames(kind), ...aliases.filter((one) => one.kind === kind).map((one) => one.name)]
      if (!names.includes(name))
        throw invalidParameter(`${unknownDriver(kind, name)}${didYouMean(name, names)}: the default ${kind} driver must be one that exists`)
    }
    this.aliases.replaceBy(aliases)
    this.settings = { ...this.settings, aliases, defaults, required }
  }

  private async startDefault(kind: Kind, timings: Timings): Promise<void> {
    const name = this.defaultName(kind)
    const required = kind === 'graph' || this.settings.required.includes(`${kind}/${name}`)
    if (this.store.get(kind, name) === undefined) {
      if (!required) return
      // Somebody else starts it, perhaps later: it is asked for when an object needs it.
      if ((await this.docker.find(name)) !== undefined) return
    }
    try {
      await timings.span(`${kind}/${name}`, async () => (await this.slot(kind, name)).slot.activate())
    } catch (error) {
      if (required) throw error
      this.options.logger.warn('a default driver cannot be used', { driver: `${kind}/${name}`, error })
    }
  }

  defaultName(kind: Kind): string {
    if (kind === 'graph') return this.graph?.name ?? this.settings.graphName
    const names = this.settings.defaults[kind]
    return (
      names.find((name) => this.store.get(kind, name) !== undefined || this.settings.required.includes(`${kind}/${name}`)) ?? names[0] ?? ''
    )
  }

  async lease<K extends Kind>(kind: K, name: string, holder: string): Promise<Lease<KindMap[K]>> {
    const wanted = name === '' ? this.defaultName(kind) : name
    if (kind === 'graph' && wanted !== this.graph?.name) {
      throw conflict(`graph driver ${wanted} is not the one in use (${this.graph?.name ?? 'none'}): one data root has one graph driver`)
    }
    const { slot } = await this.slot(kind, wanted)
    return slot.lease(holder)
  }

  active<K extends Kind>(kind: K, name: string): KindMap[K] | undefined {
    const wanted = name === '' ? this.defaultName(kind) : name
    return this.store.get(kind, wanted)?.slot.driver ?? this.docker.active(kind, wanted)
  }

  async names(kind: Kind): Promise<string[]> {
    const own = this.store.getAllByCapability(kind).map((one) => one.slot.name)
    // Docker's protocol has no runtimes, and every container create asks for their names.
    const foreign = kind === 'exec' ? [] : await this.docker.names(kind)
    return [...new Set([...own, ...foreign])].sort()
  }

  async list(): Promise<DriverSummary[]> {
    const foreign = await this.docker.list()
    const own = this.store.getAll().map((one) => summarise(one, one.slot.name === this.defaultName(one.slot.kind)))
    return [...own, ...foreign.filter((one) => this.store.get(one.kind, one.name) === undefined)]
  }

  async why(kind: Kind): Promise<DriverVerdict[]> {
    const probe = (one: StoredDriver): Promise<ProbeResult> => this.probe(one)
    const broken = this.found.broken.map(({ folder, reason }): DriverVerdict => ({
      name: path.basename(folder),
      verdict: 'failed',
      reason,
      source: folder,
    }))
    if (kind === 'graph') return [...(await explainGraph(this.graph?.verdicts ?? [], this.store, probe)), ...broken]
    const { defaults, required } = this.settings
    const choice = { chosen: this.defaultName(kind), defaults: defaults[kind], required, looked: this.looked() }
    return [...(await explainNamed(kind, choice, this.store, probe)), ...(await this.docker.explain(kind)), ...broken]
  }

  inspect(name: string): Promise<Record<string, unknown>> {
    const [first, second] = name.split('/', 2)
    const matches = this.store
      .getAll()
      .filter(({ slot }) => (second === undefined || !isKind(first) ? slot.name === name : slot.kind === first && slot.name === second))
    if (matches.length > 0)
      return Promise.resolve(describeDriver(name, matches, (one) => one.slot.name === this.defaultName(one.slot.kind)))
    const near = didYouMean(
      name,
      this.store.getAll().map((one) => one.slot.name),
    )
    return Promise.reject(notFound(`no such driver: ${name}${near}: looked in ${this.looked().join(', ')}`))
  }

  onActivate(kind: Kind, callback: (name: string) => void): void {
    for (const { slot } of this.docker.drivers()) if (slot.kind === kind && slot.state === 'active') callback(slot.name)
    this.store.onActivate(kind, callback)
  }

  /** Who holds a driver. */
  holders(kind: Kind, name: string): { holder: string; since: string }[] {
    return this.store.get(kind, name)?.slot.leases() ?? []
  }

  /** Waits until nobody uses the driver and ends it; the next lease starts it again. */
  async disable(kind: Kind, name: string, milliseconds = disposeMilliseconds): Promise<void> {
    await this.store.get(kind, name)?.slot.drain(milliseconds)
  }

  /** Ends every driver in the reverse of the order in which they started. */
  async dispose(): Promise<void> {
    await this.ending.dispose()
  }

  private looked(): string[] {
    return [...this.found.looked, ...this.docker.places]
  }

  private cycles(): Map<string, string[]> {
    const provider = new Map<string, string>(
      this.found.plugins.flatMap(({ manifest }) => manifest.kinds.map((one) => [`${one.kind}/${one.name}`, manifest.name] as const)),
    )
    const requires = new Map(
      this.found.plugins.map(({ manifest }) => [manifest.name, manifest.requires.flatMap((one) => provider.get(one) ?? [])]),
    )
    return findCycles(requires)
  }

  private async addPlugin(plugin: FoundPlugin, cycles: Map<string, string[]>): Promise<void> {
    const { manifest, folder, bundled } = plugin
    const fail = (reason: string): void => {
      this.found.broken.push({ folder, reason })
      this.options.logger.warn('a plugin cannot be used', { folder, reason })
    }
    if (!satisfies(this.options.sdkVersion, manifest.sdk)) return fail(`needs SDK ${manifest.sdk}, this is ${this.options.sdkVersion}`)
    if (this.hosts.has(manifest.name)) return fail(`a plugin named ${manifest.name} was found before it`)
    const cycle = cycles.get(manifest.name)
    if (cycle !== undefined) return fail(`its requirements form a circle: ${cycle.join(' -> ')}`)
    const host = await this.hosts.add(plugin)
    // Registered before any driver starts, so hosts end after all drivers.
    this.ending.defer(`plugin ${manifest.name}`, () => host.dispose())
    for (const entry of manifest.kinds) {
      const slot = new DriverSlot(entry.kind, entry.name, () => this.make(manifest, entry, host, entry.name, {}))
      const info = {
        host: host.type,
        source: folder,
        version: manifest.version,
        plugin: manifest.name,
        manifest,
        entry,
        bundled,
        crashOnly: true,
        details: () => host.inspect(),
      }
      if (!this.store.add({ slot: slot as unknown as DriverSlot, info })) {
        const first = this.store.get(entry.kind, entry.name)?.info.source ?? ''
        fail(`${entry.kind}/${entry.name} is provided by ${first} already`)
      }
    }
  }

  /** Requirements, options, directories, init: everything before a driver serves. */
  private async make<K extends Kind>(
    manifest: Manifest,
    entry: ManifestKind,
    host: PluginHost,
    name: string,
    extra: Record<string, unknown>,
  ): Promise<DriverInstance<K>> {
    const kind = entry.kind as K
    const culprit = `driver ${kind}/${name} (plugin ${manifest.name})`
    for (const requirement of manifest.requires) {
      const [requiredKind, requiredName] = requirement.split('/') as [Kind, string]
      try {
        await (await this.slot(requiredKind, requiredName)).slot.activate()
      } catch (error) {
        throw unavailable(`${culprit} requires ${requirement}: ${messageOf(error)}`, { cause: error, plugin: manifest.name })
      }
    }
    const options = driverOptions(this.settings.options, kind, name, entry.options, extra)
    const ctx = makeContext(kind, name, options, this.options.facts, this.options.services)
    const hosted = await host.driver(kind, entry.name)
    if (kind !== 'graph') await this.mustProbe(hosted, entry, ctx, culprit)
    await makeDirectories(ctx)
    const creating = hosted.create(ctx).catch((error: unknown) => {
      throw new TsdError(categoryOf(error), `${culprit} failed to start: ${messageOf(error)}`, {
        cause: error,
        plugin: manifest.name,
        call: 'create',
      })
    })
    const driver = await withDeadline(creating, entry.timeouts['init'] ?? initMilliseconds, culprit, 'init')
    if (kind === 'graph') await writeMarker(ctx.dataDir, { driver: name, plugin: manifest.name, version: manifest.version })
    this.ending.defer(culprit, () => this.end(kind, name, entry, culprit))
    // After the slot has become active.
    setImmediate(() => this.store.activated(kind, name))
    return driver
  }

  private async mustProbe(
    hosted: HostedDriver,
    entry: ManifestKind,
    ctx: Parameters<HostedDriver['probe']>[0],
    culprit: string,
  ): Promise<void> {
    const answer = await withDeadline(hosted.probe(ctx), entry.timeouts['probe'] ?? probeMilliseconds, culprit, 'probe')
    if (!answer.ok) throw unavailable(`${culprit} cannot be used: ${answer.reason}`)
  }

  private async end(kind: Kind, name: string, entry: ManifestKind, culprit: string): Promise<void> {
    const slot = this.store.get(kind, name)?.slot
    if (slot !== undefined) await withDeadline(slot.dispose(), entry.timeouts['dispose'] ?? disposeMilliseconds, culprit, 'dispose')
  }

  /** The driver under a name, of whichever family. Unknown names fail at once. */
  private async slot<K extends Kind>(kind: K, name: string): Promise<StoredDriver<K>> {
    const known = this.store.get(kind, name)
    if (known !== undefined) return known
    const foreign = await this.docker.driver(kind, name)
    if (foreign !== undefined) return foreign
    const near = didYouMean(
      name,
      this.store.getAllByCapability(kind).map((one) => one.slot.name),
    )
    const broken = this.found.broken.map((one) => `${one.folder}: ${one.reason}`)
    const unusable = broken.length === 0 ? '' : `; unusable plugins: ${broken.join('; ')}`
    throw notFound(`${unknownDriver(kind, name)}${near}: looked in ${this.looked().join(', ')}${unusable}`)
  }

  private async selectGraph(): Promise<void> {
    const { settings } = this
    const { facts } = this.options
    try {
      this.graph = await chooseGraph({
        configured: settings.graphName,
        priority: settings.graphPriority,
        prior: await findPriorState(facts.dataRoot),
        candidates: this.store
          .getAllByCapability('graph')
          .map((one) => ({ name: one.slot.name, source: one.info.source, probe: () => this.probe(one) })),
        looked: this.found.looked,
      })
    } catch (error) {
      if (!(error instanceof SelectionError)) throw error
      this.graph = undefined
      this.options.logger.error('no graph driver', {
        verdicts: error.verdicts.map((one) => `${one.name}: ${one.verdict} (${one.reason})`).join('; '),
      })
      throw error.cause
    }
  }

  private async probe({ slot, info }: StoredDriver): Promise<ProbeResult> {
    const { manifest, entry } = info
    if (manifest === undefined || entry === undefined) throw notImplemented(`driver ${slot.id} cannot be probed`)
    const culprit = `driver ${slot.id} (plugin ${manifest.name})`
    const options = driverOptions(this.settings.options, slot.kind, slot.name, entry.options)
    const hosted = await this.hosts.get(manifest.name).driver(slot.kind, entry.name)
    const ctx = makeContext(slot.kind, slot.name, options, this.options.facts, this.options.services)
    return withDeadline(hosted.probe(ctx), entry.timeouts['probe'] ?? probeMilliseconds, culprit, 'probe')
  }
}

/** Docker's words, where it has them. */
function unknownDriver(kind: Kind, name: string): string {
  if (name === '') return invalidParameter(`no ${kind} driver is installed`).message
  if (kind === 'volume') return `error looking up volume plugin ${name}: plugin "${name}" not found`
  if (kind === 'log') return `logger: no log driver named '${name}' is registered`
  if (kind === 'exec') return `unknown or invalid runtime name: ${name}`
  return `${kind} driver: plugin "${name}" not found`
}

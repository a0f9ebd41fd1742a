import fs from 'node:fs/promises'
import type { Kind, KindMap } from '../sdk/driver.js'
import { messageOf } from '../sdk/errors.js'
import type { Logger } from '../sdk/ports.js'
import type { DriverSummary, DriverVerdict } from '../sdk/registry.js'
import { type DockerPlaces, findPluginFile, type PluginFile, readAddress, scanPluginFiles } from './docker-places.js'
import { HttpHost } from './host-http.js'
import { DriverSlot } from './slot.js'
import type { StoredDriver } from './store.js'

/** How long a listing waits for plugins it has never talked to, all at once. */
const listMilliseconds = 1_000
/** A plugin that did not answer a listing is left in peace for a while. */
const silenceMilliseconds = 30_000

interface Known {
  file: PluginFile
  /** Changes when somebody puts another socket in its place. */
  identity: string
  host: HttpHost
  kinds: Kind[] | undefined
  drivers: Map<Kind, StoredDriver>
  failedAt: number
  failure: string
}

/** Plugins in Docker's places, started by somebody else. They are talked to when they are asked for, never at boot. */
export class DockerPlugins {
  private readonly known = new Map<string, Known>()

  constructor(
    private readonly dirs: DockerPlaces,
    private readonly logger: Logger,
    /** Told of each driver that became usable. */
    private readonly onActivate: (kind: Kind, name: string) => void = () => undefined,
  ) {}

  get places(): readonly string[] {
    return [...this.dirs.sockets, ...this.dirs.specs]
  }

  /** Where the name is found, without talking to it. */
  async find(name: string): Promise<string | undefined> {
    return (await findPluginFile(name, this.dirs))?.file
  }

  /** The driver, once its plugin said that it is of this kind; undefined when the name is nowhere. */
  async driver<K extends Kind>(kind: K, name: string): Promise<StoredDriver<K> | undefined> {
    const plugin = await this.look(name)
    if (plugin === undefined) return undefined
    const known = plugin.drivers.get(kind) as StoredDriver<K> | undefined
    if (known !== undefined) return known
    const hosted = await plugin.host.driver(kind, name)
    plugin.kinds = await plugin.host.activate()
    const crashOnly = await plugin.host.native(kind)
    const made = plugin.drivers.get(kind) as StoredDriver<K> | undefined
    if (made !== undefined) return made
    // Contexts are for drivers that run here.
    const slot = new DriverSlot<K>(kind, name, () => hosted.create(undefined as never), crashOnly)
    const stored: StoredDriver<K> = {
      slot,
      info: {
        host: 'http',
        source: plugin.file.file,
        version: '',
        plugin: name,
        manifest: undefined,
        entry: undefined,
        bundled: false,
        crashOnly,
        details: () => plugin.host.inspect(),
      },
    }
    plugin.drivers.set(kind, stored as unknown as StoredDriver)
    await slot.activate()
    this.onActivate(kind, name)
    return stored
  }

  /** Names of plugins that implement the kind. One that does not answer in a second is left out. */
  async names(kind: Kind): Promise<string[]> {
    const plugins = await this.all()
    return plugins.filter((one) => one.kinds?.includes(kind) === true).map((one) => one.file.name)
  }

  async list(): Promise<DriverSummary[]> {
    const plugins = await this.all()
    return plugins.flatMap((one) =>
      (one.kinds ?? []).map((kind): DriverSummary => {
        const active = one.drivers.get(kind)?.slot.state === 'active'
        return {
          kind,
          name: one.file.name,
          version: '',
          host: 'http',
          state: active ? 'active' : 'available',
          selected: false,
          source: one.file.file,
        }
      }),
    )
  }

  /** A driver that is in use already. */
  active<K extends Kind>(kind: K, name: string): KindMap[K] | undefined {
    return (this.known.get(name)?.drivers.get(kind) as StoredDriver<K> | undefined)?.slot.driver
  }

  /** Rows of `driver why`. */
  async explain(kind: Kind): Promise<DriverVerdict[]> {
    const plugins = await this.all()
    return plugins.flatMap(({ kinds, file, failure }): DriverVerdict[] => {
      const row = { name: file.name, source: file.file }
      if (kinds === undefined) return [{ ...row, verdict: 'failed', reason: `a plugin of unknown kind that does not answer: ${failure}` }]
      return kinds.includes(kind) ? [{ ...row, verdict: 'available', reason: 'Docker plugin, used when named' }] : []
    })
  }

  /** Drivers that were used, for `driver inspect`. */
  drivers(): StoredDriver[] {
    return [...this.known.values()].flatMap((one) => [...one.drivers.values()])
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.known.values()].map((one) => one.host.dispose()))
    this.known.clear()
  }

  private async all(): Promise<Known[]> {
    const files = await scanPluginFiles(this.dirs)
    const plugins = await Promise.all(files.map((file) => this.know(file).catch(() => undefined)))
    const found = plugins.filter((one) => one !== undefined)
    await Promise.all(found.map((one) => this.greet(one)))
    return found
  }

  private async greet(plugin: Known): Promise<void> {
    if (plugin.kinds !== undefined || Date.now() - plugin.failedAt < silenceMilliseconds) return
    try {
      plugin.kinds = await plugin.host.activate({ timeout: listMilliseconds, retry: false })
    } catch (error) {
      plugin.failedAt = Date.now()
      plugin.failure = messageOf(error)
      this.logger.warn('a plugin does not answer', { plugin: plugin.file.name, file: plugin.file.file, error })
    }
  }

  private async look(name: string): Promise<Known | undefined> {
    const file = await findPluginFile(name, this.dirs)
    return file === undefined ? undefined : this.know(file)
  }

  private async know(file: PluginFile): Promise<Known> {
    const { ino, ctimeMs } = await fs.stat(file.file)
    const identity = `${file.file} ${ino} ${ctimeMs}`
    const before = this.known.get(file.name)
    if (before?.identity === identity) return before
    const address = await readAddress(file)
    if (before !== undefined) {
      // Started again: it is asked anew what it is, and no Mount is replayed into it.
      this.logger.info('a plugin was started again', { plugin: file.name, file: file.file })
      void before.host.dispose()
    }
    const plugin: Known = {
      file,
      identity,
      host: new HttpHost(file.name, address),
      kinds: undefined,
      drivers: new Map(),
      failedAt: 0,
      failure: '',
    }
    this.known.set(file.name, plugin)
    return plugin
  }
}

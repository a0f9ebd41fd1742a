import { inject, injectable } from 'tsyringe'
import type { Readable } from 'node:stream'
import { KeyedLock } from '../../base/keyed-lock.js'
import { messageOf, notFound } from '../../sdk/errors.js'
import type { GraphDriver, LayerChange } from '../../sdk/kinds/graph.js'
import { Archiver, Drivers, EngineConfig, Logger, MetadataStore, Mounter, Zstd } from '../ports/index.js'
import type { ArchiverPort, LoggerPort, MounterPort, StoreOperation } from '../ports/index.js'
import { layerId } from './chain.js'
import type { Layer, LayerBlob, LayerPins, Layers } from './contract.js'
import { NaiveDiff } from './naive-diff.js'
import type { DiffingDriver } from './naive-diff.js'
import { verifiedTar } from './verify.js'

interface LayerRecord {
  diffId: string
  parent?: string
  size: number
}

const LAYER = 'layer/'
const REFERENCE = 'layer-ref/'
const CONTAINER = 'container-layer/'

/**
 * Layers of the selected graph driver. Records stand in the metadata store, one prefix per driver, and are kept in memory:
 * `layer/<driver>/<id>`, `layer-ref/<driver>/<id>/<owner>`, `container-layer/<driver>/<container>`.
 */
@injectable()
export class LayerStore implements Layers {
  private readonly locks = new KeyedLock()
  private readonly layers = new Map<string, Layer>()
  private readonly references = new Map<string, Set<string>>()
  /** Parent layer by container. */
  private readonly containers = new Map<string, string | undefined>()
  private readonly pinned = new Map<string, number>()
  private opened: Promise<void> | undefined

  constructor(
    @inject(Drivers) private readonly drivers: Drivers,
    @inject(MetadataStore) private readonly store: MetadataStore,
    @inject(Archiver) private readonly archiver: ArchiverPort,
    @inject(Mounter) private readonly mounter: MounterPort,
    @inject(EngineConfig) private readonly config: EngineConfig,
    @inject(Logger) private readonly logger: LoggerPort,
    @inject(Zstd) private readonly zstd: Zstd,
  ) {}

  private get driverName(): string {
    return this.drivers.defaultName('graph')
  }

  private key(prefix: string, rest = ''): string {
    return `${prefix}${this.driverName}/${rest}`
  }

  /** Reads the records once. To be awaited before anything else is called. */
  open(): Promise<void> {
    return (this.opened ??= this.readRecords())
  }

  private async readRecords(): Promise<void> {
    const below = async <T>(prefix: string): Promise<[rest: string, value: T][]> => {
      const start = this.key(prefix)
      return (await this.store.list<T>(start)).map(({ key, value }) => [key.slice(start.length), value])
    }
    for (const [id, { diffId, parent, size }] of await below<LayerRecord>(LAYER)) this.layers.set(id, { id, diffId, parent, size })
    for (const [rest] of await below(REFERENCE)) this.addReference(rest.slice(0, rest.indexOf('/')), rest.slice(rest.indexOf('/') + 1))
    for (const [id, { parent }] of await below<{ parent?: string }>(CONTAINER)) this.containers.set(id, parent)
  }

  private addReference(id: string, owner: string): void {
    const owners = this.references.get(id)
    if (owners === undefined) this.references.set(id, new Set([owner]))
    else owners.add(owner)
  }

  private async using<T>(purpose: string, work: (driver: GraphDriver) => Promise<T>): Promise<T> {
    const lease = await this.drivers.lease('graph', this.driverName, purpose)
    try {
      return await work(lease.driver)
    } finally {
      lease.release()
    }
  }

  private diffing(driver: GraphDriver): DiffingDriver {
    return new NaiveDiff(driver, this.mounter, this.archiver, `${this.config.execRoot}/layers`).completed()
  }

  async createContainerLayer(containerId: string, topLayer: string | undefined, storageOpt: Record<string, string>): Promise<void> {
    await this.open()
    if (this.containers.has(containerId)) return
    await this.locks.run(`container/${containerId}`, async () => {
      if (this.containers.has(containerId)) return
      if (topLayer !== undefined && !this.layers.has(topLayer)) throw notFound(`layer ${topLayer} does not exist`)
      const pins = this.pin()
      if (topLayer !== undefined) pins.add(topLayer)
      try {
        await this.using(`create layer of container ${containerId}`, async (driver) => {
          await driver.createReadWrite(containerId, topLayer, { storageOpt })
          const record = topLayer === undefined ? {} : { parent: topLayer }
          try {
            await this.store.batch([{ put: this.key(CONTAINER, containerId), value: record }], { sync: false })
          } catch (error) {
            await driver.remove(containerId)
            throw error
          }
        })
        this.containers.set(containerId, topLayer)
      } finally {
        await pins.release()
      }
    })
  }

  async removeContainerLayer(containerId: string): Promise<void> {
    await this.open()
    await this.locks.run(`container/${containerId}`, async () => {
      await this.using(`remove layer of container ${containerId}`, (driver) => driver.remove(containerId))
      if (!this.containers.has(containerId)) return
      const parent = this.containers.get(containerId)
      await this.store.batch([{ del: this.key(CONTAINER, containerId) }], { sync: false })
      this.containers.delete(containerId)
      // The container may have outlived its image.
      if (parent !== undefined) await this.collect(parent)
    })
  }

  async containerSizes(containerId: string, topLayer: string | undefined): Promise<{ rw: number; rootFs: number }> {
    await this.open()
    const below = topLayer === undefined ? 0 : this.chain(topLayer).reduce((sum, { size }) => sum + size, 0)
    const rw = await this.using(`size of container ${containerId}`, (driver) => this.diffing(driver).diffSize(containerId, topLayer))
    return { rw, rootFs: rw + below }
  }

  async containerChanges(containerId: string): Promise<LayerChange[]> {
    await this.open()
    return this.using(`changes of container ${containerId}`, (driver) =>
      this.diffing(driver).changes(containerId, this.containers.get(containerId)),
    )
  }

  async containerDiff(containerId: string): Promise<Readable> {
    await this.open()
    const lease = await this.drivers.lease('graph', this.driverName, `diff of container ${containerId}`)
    try {
      const tar = await this.diffing(lease.driver).diff(containerId, this.containers.get(containerId))
      return tar.once('close', () => lease.release())
    } catch (error) {
      lease.release()
      throw error
    }
  }

  async apply(blob: LayerBlob, parent: string | undefined, pins: LayerPins, signal: AbortSignal): Promise<Layer> {
    await this.open()
    const id = layerId(parent, blob.diffId)
    return this.locks.run(
      `layer/${id}`,
      async () => {
        pins.add(id)
        const known = this.layers.get(id)
        if (known !== undefined) {
          // The layer is trusted, the blob that claims to be it is not.
          if (blob.digest !== blob.diffId) for await (const chunk of verifiedTar(blob, this.zstd)) void chunk
          return known
        }
        return this.using(`apply layer ${id}`, (driver) => this.applyNew(driver, id, blob, parent, signal))
      },
      { signal },
    )
  }

  private async applyNew(
    driver: GraphDriver,
    id: string,
    blob: LayerBlob,
    parent: string | undefined,
    signal: AbortSignal,
  ): Promise<Layer> {
    // What a killed daemon left half applied bears no record.
    if (await driver.exists(id)) await driver.remove(id)
    await driver.create(id, parent)
    const tar = verifiedTar(blob, this.zstd)
    const abort = (): unknown => tar.destroy(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    try {
      signal.throwIfAborted()
      const { size } = await this.diffing(driver).applyDiff(id, parent, tar)
      const layer: Layer = { id, diffId: blob.diffId, parent, size }
      const record: LayerRecord = { diffId: blob.diffId, size, ...(parent === undefined ? {} : { parent }) }
      await this.store.batch([{ put: this.key(LAYER, id), value: record }], { sync: false })
      this.layers.set(id, layer)
      return layer
    } catch (error) {
      await driver
        .remove(id)
        .catch((failure: unknown) => this.logger.warn('a half applied layer remains', { id, error: messageOf(failure) }))
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
      tar.destroy()
    }
  }

  pin(): LayerPins {
    const held: string[] = []
    return {
      add: (id) => {
        held.push(id)
        this.pinned.set(id, (this.pinned.get(id) ?? 0) + 1)
      },
      release: async () => {
        const ids = held.splice(0).reverse()
        for (const id of ids) {
          const count = (this.pinned.get(id) ?? 1) - 1
          if (count === 0) this.pinned.delete(id)
          else this.pinned.set(id, count)
        }
        for (const id of ids) await this.collect(id)
      },
    }
  }

  get(id: string): Layer | undefined {
    return this.layers.get(id)
  }

  chain(id: string): Layer[] {
    const found: Layer[] = []
    for (let at = this.layers.get(id); at !== undefined; at = at.parent === undefined ? undefined : this.layers.get(at.parent))
      found.push(at)
    return found
  }

  refer(id: string, owner: string): StoreOperation[] {
    this.addReference(id, owner)
    return [{ put: this.key(REFERENCE, `${id}/${owner}`), value: {} }]
  }

  unrefer(id: string, owner: string): StoreOperation[] {
    const owners = this.references.get(id)
    owners?.delete(owner)
    if (owners?.size === 0) this.references.delete(id)
    return [{ del: this.key(REFERENCE, `${id}/${owner}`) }]
  }

  private needed(id: string): boolean {
    if (this.pinned.has(id) || this.references.has(id)) return true
    for (const parent of this.containers.values()) if (parent === id) return true
    for (const layer of this.layers.values()) if (layer.parent === id) return true
    return false
  }

  async collect(id: string): Promise<Layer[]> {
    await this.open()
    const gone: Layer[] = []
    for (let at: string | undefined = id; at !== undefined;) {
      const current: string = at
      const layer = await this.locks.run(`layer/${current}`, async () => {
        const found = this.layers.get(current)
        if (found === undefined || this.needed(current)) return undefined
        // The record first: a layer without one is removed at the next boot, one without a directory could not be.
        this.layers.delete(current)
        await this.store.batch([{ del: this.key(LAYER, current) }], { sync: false })
        await this.using(`remove layer ${current}`, (driver) => driver.remove(current))
        return found
      })
      if (layer === undefined) break
      gone.push(layer)
      at = layer.parent
    }
    return gone
  }

  async graphData(id: string | undefined): Promise<{ Name: string; Data: Record<string, string> }> {
    const Name = this.driverName
    if (id === undefined) return { Name, Data: {} }
    return { Name, Data: await this.using(`inspect layer ${id}`, (driver) => driver.metadata(id)) }
  }

  async reconcile(containerIds: ReadonlySet<string>): Promise<void> {
    await this.open()
    for (const id of [...this.containers.keys()]) if (!containerIds.has(id)) await this.removeContainerLayer(id)
    for (const id of [...this.layers.keys()]) await this.collect(id)
    await this.using('reconcile', async (driver) => {
      for (const id of await driver.list()) {
        if (this.layers.has(id) || this.containers.has(id) || containerIds.has(id)) continue
        this.logger.info('removing a layer that no record speaks of', { id })
        await driver
          .remove(id)
          .catch((error: unknown) => this.logger.warn('an orphaned layer cannot be removed', { id, error: messageOf(error) }))
      }
    })
  }
}

import { setTimeout as delay } from 'node:timers/promises'
import { inject, injectable } from 'tsyringe'
import { randomId } from '../../base/ids.js'
import { KeyedLock } from '../../base/keyed-lock.js'
import type { Volume, VolumeListResponse } from '../../schema/engine-api.js'
import { conflict, messageOf, notFound, TsdError, isTsdError } from '../../sdk/errors.js'
import { Events } from '../events/index.js'
import {
  Archiver,
  Clock,
  Drivers,
  Logger,
  MetadataStore,
  RunLedger,
  type ArchiverPort,
  type LedgerEntry,
  type LoggerPort,
} from '../ports/index.js'
import { Catalog, describe, type KnownVolume, type VolumeRecord } from './catalog.js'
import type { VolumeCreateRequest, VolumeMountRequest, Volumes } from './contract.js'
import { booleanFilter, checkFilters, matches, type Filters } from './filters.js'
import { Mounts } from './mounts.js'

const anonymousLabel = 'com.docker.volume.anonymous'

/** Prune counts and deletes only what lies on this host. */
const localDriver = 'local'

const restoreGrace = 2_000

@injectable()
export class VolumesService implements Volumes {
  private readonly catalog: Catalog
  private readonly mounts: Mounts
  private readonly locks = new KeyedLock()
  private readonly references = new Map<string, Set<string>>()
  private pruning = false

  constructor(
    @inject(MetadataStore) store: MetadataStore,
    @inject(Drivers) private readonly drivers: Drivers,
    @inject(RunLedger) ledger: RunLedger,
    @inject(Archiver) private readonly archiver: ArchiverPort,
    @inject(Events) private readonly events: Events,
    @inject(Clock) private readonly clock: Clock,
    @inject(Logger) private readonly logger: LoggerPort,
  ) {
    this.catalog = new Catalog(store, drivers)
    this.mounts = new Mounts(this.catalog, ledger, archiver, logger)
  }

  create(request: VolumeCreateRequest): Promise<Volume> {
    const name = request.name === '' ? randomId() : request.name
    const labels = request.name === '' ? { ...request.labels, [anonymousLabel]: '' } : request.labels
    return this.locks.run(name, () =>
      attempt('create', name, async () => describe(await this.createLocked({ ...request, name, labels }), { status: false })),
    )
  }

  ensure(name: string, driver: string): Promise<Volume> {
    return this.create({ name, driver, driverOpts: {}, labels: {} })
  }

  private async createLocked(request: VolumeCreateRequest): Promise<KnownVolume> {
    const { name, driverOpts, labels } = request
    const found = await this.existing(name, request.driver)
    if (found !== undefined) {
      if (request.driver !== '' && found.record.driver !== request.driver)
        throw conflict(`driver '${found.record.driver}' already has volume '${name}': volume name must be unique`)
      return found
    }
    const driver = request.driver === '' ? this.drivers.defaultName('volume') : request.driver
    const record: VolumeRecord = { name, driver, labels, options: driverOpts, createdAt: this.clock.timestamp().replace(/\.\d+Z$/, 'Z') }
    await this.catalog.with(driver, `volume ${name}`, async (d) => {
      // Get comes before Create: a driver may have it from another life or another machine.
      if ((await d.get(name)) === undefined) await d.create(name, driverOpts)
    })
    await this.catalog.save(record)
    this.events.publish('volume', 'create', name, { driver })
    const known = await this.catalog.known(record)
    if (known === undefined) throw notFound(`volume driver ${driver} made the volume and does not have it`, { plugin: driver })
    return known
  }

  /** With a driver named, the others are not asked: a slow one must not keep `docker run`. */
  private async existing(name: string, driver: string): Promise<KnownVolume | undefined> {
    const record = await this.catalog.record(name)
    if (record === undefined) return driver === '' ? await this.catalog.find(name) : undefined
    const known = await this.catalog.known(record)
    if (known === undefined) await this.catalog.forget(name)
    return known
  }

  async inspect(name: string): Promise<Volume> {
    return describe(await this.find(name), { status: true })
  }

  private find(name: string): Promise<KnownVolume> {
    return attempt('get', name, async () => {
      const known = await this.catalog.find(name)
      if (known === undefined) throw notFound('no such volume')
      return known
    })
  }

  async list(filters: Filters): Promise<VolumeListResponse> {
    checkFilters(filters, ['dangling', 'driver', 'label', 'name'])
    booleanFilter(filters, 'dangling')
    const wanted = filters.driver ?? []
    const { volumes, warnings } = await this.catalog.all((driver) => wanted.length === 0 || wanted.includes(driver))
    const chosen = volumes.filter((volume) => this.matches(volume, filters))
    return { Volumes: chosen.map((volume) => describe(volume, { status: false })), Warnings: warnings.length === 0 ? null : warnings }
  }

  private matches({ record }: KnownVolume, filters: Filters): boolean {
    return matches({ name: record.name, driver: record.driver, labels: record.labels, inUse: this.usedBy(record.name).length > 0 }, filters)
  }

  remove(name: string, options: { force: boolean }): Promise<void> {
    return this.locks.run(name, () => this.removeLocked(name, options))
  }

  private async removeLocked(name: string, { force }: { force: boolean }): Promise<void> {
    const record = await this.catalog.record(name)
    let driver = record?.driver
    if (driver === undefined) {
      driver = (await this.catalog.find(name))?.record.driver
      if (driver === undefined && force) return
      if (driver === undefined) throw notFound(`get ${name}: no such volume`)
    }
    const users = this.usedBy(name)
    if (users.length > 0) throw conflict(`remove ${name}: volume is in use - [${users.join(', ')}]`)
    await attempt('remove', name, async () => {
      try {
        await this.catalog.with(driver, `volume ${name}`, (d) => d.remove(name))
      } catch (error) {
        if (!force || record === undefined || (isTsdError(error) && error.category === 'Conflict')) throw error
        this.logger.warn('the driver could not remove a volume; it is forgotten by force', {
          volume: name,
          driver,
          error: messageOf(error),
        })
      }
    })
    if (record !== undefined) await this.catalog.forget(name)
    this.events.publish('volume', 'destroy', name, { driver })
  }

  async prune(filters: Filters): Promise<{ VolumesDeleted: string[]; SpaceReclaimed: number }> {
    checkFilters(filters, ['label', 'label!', 'all'])
    const all = booleanFilter(filters, 'all') === true
    if (this.pruning) throw conflict('a prune operation is already running')
    this.pruning = true
    try {
      const { volumes } = await this.catalog.all((driver) => driver === localDriver)
      const chosen = volumes.filter(
        (volume) => (all || Object.hasOwn(volume.record.labels, anonymousLabel)) && this.matches(volume, filters),
      )
      const deleted: string[] = []
      let reclaimed = 0
      for (const volume of chosen) {
        const size = await this.pruneOne(volume)
        if (size === undefined) continue
        deleted.push(volume.record.name)
        reclaimed += size
      }
      this.events.publish('volume', 'prune', '', { reclaimed: String(reclaimed) })
      return { VolumesDeleted: deleted, SpaceReclaimed: reclaimed }
    } finally {
      this.pruning = false
    }
  }

  /** Undefined: it is in use by now, or does not go. */
  private pruneOne({ record, info }: KnownVolume): Promise<number | undefined> {
    return this.locks.run(record.name, async () => {
      if (this.usedBy(record.name).length > 0) return undefined
      try {
        // With options the content is somebody else's device: removing the volume frees nothing here.
        const own = info.mountpoint !== undefined && Object.keys(record.options).length === 0
        const size = own ? await this.archiver.size(info.mountpoint as string) : 0
        await this.removeLocked(record.name, { force: false })
        return size
      } catch (error) {
        this.logger.warn('could not prune a volume', { volume: record.name, error: messageOf(error) })
        return undefined
      }
    })
  }

  async usage(): Promise<Volume[]> {
    const { volumes } = await this.catalog.all(() => true)
    return Promise.all(
      volumes.map(async (volume): Promise<Volume> => {
        const { record, info } = volume
        // With options the content is somebody else's device, which may not answer.
        const own = record.driver === localDriver && info.mountpoint !== undefined && Object.keys(record.options).length === 0
        const size = own ? await this.archiver.size(info.mountpoint as string).catch(() => -1) : -1
        return { ...describe(volume, { status: false }), UsageData: { RefCount: this.usedBy(record.name).length, Size: size } }
      }),
    )
  }

  reference(name: string, containerId: string): void {
    const users = this.references.get(name)
    if (users === undefined) this.references.set(name, new Set([containerId]))
    else users.add(containerId)
  }

  unreference(name: string, containerId: string): void {
    const users = this.references.get(name)
    users?.delete(containerId)
    if (users?.size === 0) this.references.delete(name)
  }

  usedBy(name: string): string[] {
    return [...(this.references.get(name) ?? [])]
  }

  mount({ name, holder, attributes }: VolumeMountRequest, owner: string): Promise<{ mountpoint: string }> {
    return this.locks.run(name, async () => {
      const driver = (await this.catalog.record(name))?.driver ?? (await this.find(name)).record.driver
      const { mountpoint, fresh } = await this.mounts.mount(name, driver, holder, owner)
      if (fresh && attributes) this.events.publish('volume', 'mount', name, { driver, ...attributes })
      return { mountpoint }
    })
  }

  unmount({ name, holder, attributes }: VolumeMountRequest, owner: string): Promise<void> {
    return this.locks.run(name, async () => {
      if (!(await this.mounts.unmount(holder, owner)) || !attributes) return
      const driver = (await this.catalog.record(name))?.driver ?? ''
      this.events.publish('volume', 'unmount', name, { driver, ...attributes })
    })
  }

  populate(name: string, holder: string, sourceDir: string): Promise<boolean> {
    return this.locks.run(name, () => this.mounts.populate(name, holder, sourceDir))
  }

  async restore(alive: (owner: string) => boolean): Promise<void> {
    const [ready, away] = [[] as LedgerEntry[], [] as LedgerEntry[]]
    for (const entry of this.mounts.orphans(alive)) {
      const active = this.drivers.active('volume', String(entry.data?.driver)) !== undefined
      ;(active ? ready : away).push(entry)
    }
    const left = this.leaveAll(ready)
    // A plugin that is dead or slow must not keep the boot: its entries go on in the background.
    void this.leaveAll(away)
    await Promise.race([left, delay(restoreGrace, undefined, { ref: false })])
    this.drivers.onActivate('volume', (driver) => {
      void this.leaveAll(this.mounts.leaving(driver))
    })
  }

  private async leaveAll(entries: LedgerEntry[]): Promise<void> {
    const one = (entry: LedgerEntry): Promise<void> =>
      this.locks.run(String(entry.data?.volume), async () => {
        try {
          await this.mounts.unmount(entry.key, entry.owner)
        } catch (error) {
          this.logger.warn('a volume stays mounted until its driver answers', {
            ...entry.data,
            owner: entry.owner,
            error: messageOf(error),
          })
        }
      })
    await Promise.all(entries.map(one))
  }
}

/** Docker's prefix: what was done to which volume. */
async function attempt<T>(operation: string, name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { plugin, call, code } = isTsdError(error) ? error : ({} as { plugin?: string; call?: string; code?: string })
    const options = {
      cause: error,
      ...(plugin === undefined ? {} : { plugin }),
      ...(call === undefined ? {} : { call }),
      ...(code === undefined ? {} : { code }),
    }
    throw new TsdError(isTsdError(error) ? error.category : 'System', `${operation} ${name}: ${messageOf(error)}`, options)
  }
}

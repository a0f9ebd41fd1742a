import type { Volume } from '../../schema/engine-api.js'
import { isTsdError, messageOf, TsdError } from '../../sdk/errors.js'
import type { VolumeDriver, VolumeInfo } from '../../sdk/kinds/volume.js'
import type { Drivers, MetadataStore } from '../ports/index.js'

/** What the engine itself knows of a volume. The content, the path and the status are its driver's. */
export interface VolumeRecord {
  name: string
  driver: string
  labels: Record<string, string>
  options: Record<string, string>
  /** RFC 3339. */
  createdAt: string
}

/** A volume that exists: its driver has it. */
export interface KnownVolume {
  record: VolumeRecord
  info: VolumeInfo
  scope: 'local' | 'global'
}

/** A driver that does not answer must not keep a listing. */
const listDeadline = 5_000

const prefix = 'volume/'

/** Which volumes there are: the store's records, joined with what the drivers say. */
export class Catalog {
  constructor(
    private readonly store: MetadataStore,
    private readonly drivers: Drivers,
  ) {}

  record(name: string): Promise<VolumeRecord | undefined> {
    return this.store.get<VolumeRecord>(prefix + name)
  }

  async records(): Promise<VolumeRecord[]> {
    return (await this.store.list<VolumeRecord>(prefix)).map(({ value }) => value)
  }

  save(record: VolumeRecord): Promise<void> {
    return this.store.batch([{ put: prefix + record.name, value: record }], { sync: true })
  }

  forget(name: string): Promise<void> {
    return this.store.batch([{ del: prefix + name }], { sync: true })
  }

  /** Uses a driver; errors carry its name. An unknown one fails at once. */
  async with<T>(driver: string, holder: string, use: (driver: VolumeDriver, crashOnly: boolean) => Promise<T>): Promise<T> {
    let lease
    try {
      lease = await this.drivers.lease('volume', driver, holder)
    } catch (error) {
      const category = isTsdError(error) ? error.category : 'System'
      const context = `error looking up volume plugin ${driver}: `
      const reason = messageOf(error)
      throw new TsdError(category, reason.startsWith(context) ? reason : context + reason, { cause: error, plugin: driver })
    }
    try {
      return await use(lease.driver, lease.crashOnly)
    } finally {
      lease.release()
    }
  }

  /** The volume of a record, or undefined when its driver no longer has it. */
  known(record: VolumeRecord): Promise<KnownVolume | undefined> {
    return this.with(record.driver, `volume ${record.name}`, async (driver) => {
      const info = await driver.get(record.name)
      return info === undefined ? undefined : { record, info: await withPath(driver, info), scope: await scopeOf(driver) }
    })
  }

  /** Looks a name up, among the drivers too when no record has it. Forgets a record whose volume is gone. */
  async find(name: string): Promise<KnownVolume | undefined> {
    const record = await this.record(name)
    if (record !== undefined) {
      const known = await this.known(record)
      if (known === undefined) await this.forget(name)
      if (known !== undefined) return known
    }
    const answers = await Promise.all(
      (await this.active()).map(async (driver) => {
        try {
          return await withDeadline(this.known(unrecorded(driver, { name })), `volume driver ${driver}`)
        } catch {
          return undefined
        }
      }),
    )
    return answers.find((answer) => answer !== undefined)
  }

  /** Everything, asked of all drivers at once. What a failing driver holds is shown as the store knows it. */
  async all(wanted: (driver: string) => boolean): Promise<{ volumes: KnownVolume[]; warnings: string[] }> {
    const records = (await this.records()).filter(({ driver }) => wanted(driver))
    const recorded = new Map(records.map((record) => [record.name, record]))
    const names = new Set([...(await this.active()).filter(wanted), ...records.map(({ driver }) => driver)])
    const volumes = new Map<string, KnownVolume>()
    const warnings: string[] = []
    const ask = async (driver: string): Promise<void> => {
      try {
        const listing = this.with(driver, 'volume listing', async (d) => ({ infos: await d.list(), scope: await scopeOf(d) }))
        const { infos, scope } = await withDeadline(listing, `volume driver ${driver}`)
        for (const info of infos) {
          const record = recorded.get(info.name)
          const mine = record?.driver === driver
          if (mine || (record === undefined && !volumes.has(info.name)))
            volumes.set(info.name, { record: mine ? record : unrecorded(driver, info), info, scope })
        }
      } catch (error) {
        warnings.push(`error while listing volumes of driver ${driver}: ${messageOf(error)}`)
        for (const record of records)
          if (record.driver === driver) volumes.set(record.name, { record, info: { name: record.name }, scope: 'local' })
      }
    }
    await Promise.all([...names].map(ask))
    const sorted = [...volumes.values()].sort((a, b) => (a.record.name < b.record.name ? -1 : 1))
    return { volumes: sorted, warnings: warnings.sort() }
  }

  private async active(): Promise<string[]> {
    const drivers = await this.drivers.list()
    return drivers.filter(({ kind, state }) => kind === 'volume' && state === 'active').map(({ name }) => name)
  }
}

/** A volume that was not made through this engine. */
function unrecorded(driver: string, info: VolumeInfo): VolumeRecord {
  return { name: info.name, driver, labels: {}, options: {}, createdAt: info.createdAt ?? '' }
}

/** Plugins may answer Get without the mount point, and only Path with it. */
async function withPath(driver: VolumeDriver, info: VolumeInfo): Promise<VolumeInfo> {
  if (info.mountpoint !== undefined) return info
  const mountpoint = await driver.path(info.name).catch(() => undefined)
  return mountpoint === undefined ? info : { ...info, mountpoint }
}

async function scopeOf(driver: VolumeDriver): Promise<'local' | 'global'> {
  try {
    return (await driver.capabilities?.())?.scope === 'global' ? 'global' : 'local'
  } catch {
    return 'local'
  }
}

async function withDeadline<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TsdError('DeadlineExceeded', `${what} did not answer within ${listDeadline / 1000} s`))
    }, listDeadline)
  })
  work.catch(() => undefined)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

const orNull = (map: Record<string, string>): Record<string, string> | null => (Object.keys(map).length === 0 ? null : map)

/** As the API shows it. */
export function describe({ record, info, scope }: KnownVolume, options: { status: boolean }): Volume {
  const createdAt = info.createdAt ?? record.createdAt
  return {
    ...(createdAt === '' ? {} : { CreatedAt: createdAt }),
    Driver: record.driver,
    Labels: orNull(record.labels),
    Mountpoint: info.mountpoint ?? '',
    Name: record.name,
    Options: orNull(record.options),
    Scope: scope,
    ...(options.status && info.status !== undefined ? { Status: info.status as Record<string, Record<string, unknown>> } : {}),
  }
}

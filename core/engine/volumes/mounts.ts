import fs from 'node:fs/promises'
import path from 'node:path'
import { randomId } from '../../base/ids.js'
import { isOutOfReach, messageOf, systemError } from '../../sdk/errors.js'
import type { Archiver } from '../../sdk/ports.js'
import type { LedgerEntry, LoggerPort, RunLedger } from '../ports/index.js'
import type { Catalog } from './catalog.js'

const kind = 'volume-mount'

interface MountData {
  volume: string
  driver: string
  /** What the driver knows this use by: fresh for each Mount, whatever the engine's own holder is. */
  id: string
  mountpoint?: string
  /** Wanted gone; the driver could not be asked yet. */
  leaving?: boolean
}

const dataOf = (entry: LedgerEntry): MountData => entry.data as unknown as MountData

/**
 * The ledger is the only account of mounts: an unmount is sent for each entry, and for nothing else, so that a driver that counts
 * sees one Unmount per Mount. Only a kill between an Unmount and the record of its answer makes the next life send it again.
 */
export class Mounts {
  constructor(
    private readonly catalog: Catalog,
    private readonly ledger: RunLedger,
    private readonly archiver: Archiver,
    private readonly logger: LoggerPort,
  ) {}

  async mount(volume: string, driver: string, holder: string, owner: string): Promise<{ mountpoint: string; fresh: boolean }> {
    const entry = this.entry(holder, owner)
    const present = entry?.state === 'fact' ? dataOf(entry).mountpoint : undefined
    if (present !== undefined) return { mountpoint: present, fresh: false }
    const data = { volume, driver, id: randomId() }
    this.ledger.intend(owner, [{ kind, key: holder, data }])
    try {
      const { mountpoint } = await this.catalog.with(driver, `volume ${volume} in ${owner}`, (d) => d.mount(volume, data.id))
      if (typeof mountpoint !== 'string' || !path.isAbsolute(mountpoint) || mountpoint.includes('\0'))
        throw systemError(`volume driver ${driver} answered no absolute path for the mount of ${volume}`, {
          plugin: driver,
          call: 'VolumeDriver.Mount',
        })
      const clean = path.normalize(mountpoint)
      this.ledger.fact(owner, [{ kind, key: holder, data: { mountpoint: clean } }])
      return { mountpoint: clean, fresh: true }
    } catch (error) {
      // The driver may have mounted before it failed to say so.
      await this.leave({ owner, state: 'intent', kind, key: holder, data }).catch((failure: unknown) => {
        this.logger.warn('a failed volume mount could not be undone yet', { volume, driver, error: messageOf(failure) })
      })
      throw error
    }
  }

  /** True when there was something to unmount. */
  async unmount(holder: string, owner: string): Promise<boolean> {
    const entry = this.entry(holder, owner)
    if (entry === undefined) return false
    await this.leave(entry)
    return true
  }

  /** Docker's copy-up: only into an empty volume. */
  async populate(volume: string, holder: string, sourceDir: string): Promise<boolean> {
    const entry = this.ledger.entries().find((e) => e.kind === kind && e.key === holder && dataOf(e).volume === volume)
    const mountpoint = entry === undefined ? undefined : dataOf(entry).mountpoint
    if (mountpoint === undefined) throw systemError(`volume ${volume} must be mounted before content is copied into it`)
    if (!(await isEmpty(mountpoint))) return false
    await this.archiver.copy(sourceDir, mountpoint)
    return true
  }

  /** Entries to be undone: of dead owners, or asked for while the driver was away. */
  orphans(alive: (owner: string) => boolean): LedgerEntry[] {
    return this.ledger.entries().filter((e) => e.kind === kind && (!alive(e.owner) || dataOf(e).leaving === true))
  }

  leaving(driver: string): LedgerEntry[] {
    return this.ledger.entries().filter((e) => e.kind === kind && dataOf(e).leaving === true && dataOf(e).driver === driver)
  }

  async leave(entry: LedgerEntry): Promise<void> {
    const { volume, driver, id } = dataOf(entry)
    const { owner, key } = entry
    let counts = false
    try {
      await this.catalog.with(driver, `volume ${volume} in ${owner}`, (d, crashOnly) => {
        counts = !crashOnly
        return d.unmount(volume, id)
      })
    } catch (error) {
      if (!counts || isOutOfReach(error)) {
        this.ledger.fact(owner, [{ kind, key, data: { leaving: true } }])
        throw error
      }
      // It may have done so before a kill, or never have mounted: asked again it could take the use of another.
      this.logger.warn('a volume plugin refused to unmount; it is not asked again', { volume, driver, owner, error: messageOf(error) })
    }
    this.ledger.released(owner, [{ kind, key }])
  }

  private entry(holder: string, owner: string): LedgerEntry | undefined {
    return this.ledger.entries(owner).find((e) => e.kind === kind && e.key === holder)
  }
}

async function isEmpty(dir: string): Promise<boolean> {
  const handle = await fs.opendir(dir, { bufferSize: 1 })
  try {
    return (await handle.read()) === null
  } finally {
    await handle.close()
  }
}

import fs from 'node:fs/promises'
import path from 'node:path'
import type { LogInfo } from '../../kinds/log.js'
import type { LogPosition } from '../position.js'

/** What is known of one container's log, also after a kill. */
export interface ForwardRecord {
  version: 1
  info: LogInfo
  /** What lies before it was handed over. */
  position?: LogPosition
  /** The container does not write any more. */
  stopped: boolean
}

const isRecord = (value: unknown): value is ForwardRecord => {
  const record = value as Partial<ForwardRecord> | null
  return typeof record === 'object' && record?.version === 1 && typeof record.info?.containerId === 'string'
}

/** Records on disk, a file for each container. */
export class ForwardRecords {
  private readonly saving = new Map<string, Promise<void>>()

  constructor(private readonly dir: string) {}

  private file(containerId: string): string {
    return path.join(this.dir, `${containerId}.json`)
  }

  async all(): Promise<ForwardRecord[]> {
    const found: ForwardRecord[] = []
    for (const name of await fs.readdir(this.dir)) {
      if (!name.endsWith('.json')) continue
      try {
        const record: unknown = JSON.parse(await fs.readFile(path.join(this.dir, name), 'utf8'))
        if (isRecord(record) && this.file(record.info.containerId) === path.join(this.dir, name)) found.push(record)
      } catch {
        // Half of a record cannot be there: it was replaced in one step. What cannot be read is nobody's.
      }
    }
    return found
  }

  /** One at a time for each container, the latest state last. */
  async save(record: ForwardRecord): Promise<void> {
    const id = record.info.containerId
    const before = this.saving.get(id) ?? Promise.resolve()
    const mine = before.catch(() => undefined).then(() => this.write(record))
    this.saving.set(id, mine)
    try {
      await mine
    } finally {
      if (this.saving.get(id) === mine) this.saving.delete(id)
    }
  }

  private async write(record: ForwardRecord): Promise<void> {
    const file = this.file(record.info.containerId)
    await fs.writeFile(`${file}.new`, JSON.stringify(record), { mode: 0o600 })
    await fs.rename(`${file}.new`, file)
  }

  async remove(containerId: string): Promise<void> {
    await this.saving.get(containerId)?.catch(() => undefined)
    await fs.rm(this.file(containerId), { force: true })
  }
}

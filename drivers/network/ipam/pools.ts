import fs from 'node:fs'
import path from 'node:path'

export interface PoolRecord {
  poolId: string
  /** CIDR. */
  pool: string
  subPool: string
  /** Those who asked by name; each counts once. */
  holders: string[]
  /** Those who did not say who they are. */
  anonymous: number
}

/** The pools that were given, in one file that survives reboots. */
export class PoolFile {
  readonly #file: string
  #records = new Map<string, PoolRecord>()
  #inode = -1n

  constructor(dir: string) {
    this.#file = path.join(dir, 'pools.json')
  }

  /** Another life of the driver may have replaced the file. */
  refresh(): void {
    const stat = fs.statSync(this.#file, { bigint: true, throwIfNoEntry: false })
    // Renaming keeps inode numbers apart only while the old file lives, so the time counts as well.
    const identity = stat ? stat.ino ^ (stat.mtimeNs << 20n) : 0n
    if (identity === this.#inode) return
    const content = stat
      ? (JSON.parse(fs.readFileSync(this.#file, 'utf8')) as { version: number; pools: PoolRecord[] })
      : { version: 1, pools: [] }
    if (content.version !== 1) throw new Error(`${this.#file} is of version ${content.version}, this driver knows version 1`)
    this.#records = new Map(content.pools.map((record) => [record.poolId, record]))
    this.#inode = identity
  }

  get(poolId: string): PoolRecord | undefined {
    return this.#records.get(poolId)
  }

  list(): PoolRecord[] {
    return [...this.#records.values()]
  }

  /** On disk when the promise resolves. */
  async put(record: PoolRecord): Promise<void> {
    await this.#write([...this.list().filter(({ poolId }) => poolId !== record.poolId), record])
  }

  async delete(poolId: string): Promise<void> {
    await this.#write(this.list().filter((record) => record.poolId !== poolId))
  }

  async #write(pools: PoolRecord[]): Promise<void> {
    const temporary = `${this.#file}.new`
    const handle = await fs.promises.open(temporary, 'w', 0o600)
    try {
      await handle.writeFile(JSON.stringify({ version: 1, pools }, undefined, 1))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fs.promises.rename(temporary, this.#file)
    this.refresh()
  }
}

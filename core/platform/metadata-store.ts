import { ClassicLevel } from 'classic-level'
import { dataLoss, systemError, unavailable, messageOf } from '../sdk/errors.js'

/** Layout of the documents. Raise it when an older daemon could not read them any more. */
export const metadataVersion = 1

const versionKey = '!version'

type Operation = { put: string; value: unknown } | { del: string }
type BatchOperation = { type: 'put'; key: string; value: string } | { type: 'del'; key: string }

interface Pending {
  operations: BatchOperation[]
  sync: boolean
  resolve(): void
  reject(error: unknown): void
}

/** JSON documents in one LevelDB directory; one process at a time. Batches are applied in the order in which they were given. */
export class LevelMetadataStore {
  private queue: Pending[] = []
  private writing: Promise<void> | undefined
  private closed = false

  private constructor(
    private readonly db: ClassicLevel<string, string>,
    private readonly directory: string,
  ) {}

  /** Opens or creates. A store written by a newer daemon is refused. */
  static async open(directory: string): Promise<LevelMetadataStore> {
    const db = new ClassicLevel<string, string>(directory, { cacheSize: 1024 * 1024, writeBufferSize: 1024 * 1024 })
    try {
      await db.open()
    } catch (error) {
      throw openError(error, directory)
    }
    try {
      const stored = await db.get(versionKey)
      if (stored === undefined) await db.put(versionKey, String(metadataVersion), { sync: true })
      else if (!(Number(stored) <= metadataVersion)) {
        throw systemError(
          `metadata store ${directory} has version ${stored}, this daemon knows up to ${metadataVersion}: start the newer tsd that wrote it, or use another data-root`,
        )
      }
      return new LevelMetadataStore(db, directory)
    } catch (error) {
      await db.close()
      throw error
    }
  }

  async get<T>(key: string): Promise<T | undefined> {
    const text = await this.db.get(key)
    return text === undefined ? undefined : this.parse<T>(key, text)
  }

  async list<T>(prefix: string): Promise<{ key: string; value: T }[]> {
    const found: { key: string; value: T }[] = []
    for await (const [key, text] of this.db.iterator({ gte: prefix })) {
      if (!key.startsWith(prefix)) break
      if (key !== versionKey) found.push({ key, value: this.parse<T>(key, text) })
    }
    return found
  }

  /** Batches given while one is being written go to disk together, with one sync; each stays atomic. */
  batch(operations: Operation[], options: { sync: boolean }): Promise<void> {
    if (this.closed) return Promise.reject(unavailable(`metadata store ${this.directory} is closed`))
    let encoded: BatchOperation[]
    try {
      encoded = operations.map(encode)
    } catch (error) {
      return Promise.reject(error)
    }
    return new Promise((resolve, reject) => {
      this.queue.push({ operations: encoded, sync: options.sync, resolve, reject })
      this.writing ??= this.drain()
    })
  }

  async close(): Promise<void> {
    this.closed = true
    await this.writing
    await this.db.close()
  }

  private async drain(): Promise<void> {
    while (this.queue.length > 0) {
      const group = this.queue
      this.queue = []
      try {
        await this.db.batch(
          group.flatMap((pending) => pending.operations),
          { sync: group.some((pending) => pending.sync) },
        )
        for (const pending of group) pending.resolve()
      } catch (error) {
        const failure = systemError(`metadata store ${this.directory}: ${messageOf(error)}`, { cause: error })
        for (const pending of group) pending.reject(failure)
      }
    }
    this.writing = undefined
  }

  private parse<T>(key: string, text: string): T {
    try {
      return JSON.parse(text) as T
    } catch (error) {
      throw dataLoss(`metadata store ${this.directory}: document ${key} is damaged`, { cause: error })
    }
  }
}

function encode(operation: Operation): BatchOperation {
  if ('del' in operation) return { type: 'del', key: checkKey(operation.del) }
  const value = JSON.stringify(operation.value)
  if (value === undefined) throw systemError(`metadata store: ${operation.put} has no JSON form`)
  return { type: 'put', key: checkKey(operation.put), value }
}

function checkKey(key: string): string {
  if (key === '' || key.startsWith('!')) throw systemError(`metadata store: ${JSON.stringify(key)} is not a usable key`)
  return key
}

function openError(error: unknown, directory: string): Error {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const code = (cause as { code?: string }).code
  if (code === 'LEVEL_LOCKED')
    return unavailable(`metadata store ${directory} is in use by another process: one daemon owns a data root`, { cause })
  if (code === 'LEVEL_CORRUPTION') {
    return dataLoss(
      `metadata store ${directory} is damaged (${messageOf(cause)}): restore it from a backup, or move it away to start empty`,
      { cause },
    )
  }
  return systemError(`cannot open metadata store ${directory}: ${messageOf(cause)}`, { cause })
}

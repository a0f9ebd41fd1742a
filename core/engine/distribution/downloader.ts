import fs from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { KeyedLock } from '../../base/keyed-lock.js'
import type { ContentStore, Descriptor } from '../images/index.js'
import { ConnectionFault, isTemporary, RegistryFault, RegistryRefusal } from './faults.js'
import type { Gate } from './gate.js'
import { PartialFile } from './partial-file.js'
import type { LayerProgress } from './progress.js'
import type { Repository } from './registry.js'

/** An attempt that brings this much counts as progress. */
const worthwhile = 64 * 1024
const checkEvery = 16 * 1024 * 1024
const longestPause = 60

export interface DownloaderOptions {
  content: ContentStore
  gate: Gate
  /** Attempts without progress after which it is given up. */
  attempts: () => number
  /** Milliseconds that stand for a second of waiting. */
  second?: number
}

/** Fetches blobs into the content store, one download of each at a time, whoever wants it. */
export class Downloader {
  private readonly locks = new KeyedLock()

  constructor(private readonly options: DownloaderOptions) {}

  /** When it resolves the blob is content, or a complete and sound file that waits to become it. */
  async fetch(repository: Repository, blob: Descriptor, progress: LayerProgress | undefined, signal: AbortSignal): Promise<void> {
    const { content, gate } = this.options
    await this.locks.run(
      `blob/${blob.digest}`,
      async () => {
        if (await content.has(blob.digest)) return
        if (gate.full) progress?.status('Waiting')
        await gate.run(signal, () => this.download(repository, blob, progress, signal))
      },
      { signal },
    )
    progress?.status('Download complete')
  }

  private async download(
    repository: Repository,
    blob: Descriptor,
    progress: LayerProgress | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const path = this.options.content.partialPath(blob.digest)
    const file = await PartialFile.open(path, blob.size)
    let keep = true
    try {
      if (file.size < blob.size || file.resumed === 0) await this.fill(repository, file, blob, progress, signal)
      progress?.status('Verifying Checksum')
      if (!file.matches(blob.digest)) {
        if (file.resumed === 0) throw wrongDigest(blob)
        // A crash of the machine may have lost what was there before.
        await file.reset()
        await this.fill(repository, file, blob, progress, signal)
        if (!file.matches(blob.digest)) throw wrongDigest(blob)
      }
      await file.sync()
    } catch (error) {
      keep = !(error instanceof RegistryFault)
      throw error
    } finally {
      await file.close()
      if (!keep) await fs.rm(path, { force: true })
    }
  }

  private async fill(
    repository: Repository,
    file: PartialFile,
    blob: Descriptor,
    progress: LayerProgress | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const before = file.size
      let failure: unknown
      try {
        await this.receive(repository, file, blob, progress, signal)
        if (file.size === blob.size) return
        failure = new ConnectionFault(`blob ${blob.digest}: unexpected EOF after ${file.size} of ${blob.size} bytes`, true)
      } catch (error) {
        if (signal.aborted || !isTemporary(error)) throw error
        failure = error
      }
      if (file.size - before >= worthwhile) attempt = 0
      if (attempt >= this.options.attempts()) throw failure
      await this.pause(attempt, failure, progress, signal)
    }
  }

  private async pause(attempt: number, failure: unknown, progress: LayerProgress | undefined, signal: AbortSignal): Promise<void> {
    const asked = failure instanceof RegistryRefusal ? (failure.retryAfter ?? 0) : 0
    for (let left = Math.min(Math.max(attempt, asked), longestPause); left > 0; left--) {
      progress?.status(`Retrying in ${left} second${left === 1 ? '' : 's'}`)
      await delay(this.options.second ?? 1000, undefined, { signal })
    }
  }

  private async receive(
    repository: Repository,
    file: PartialFile,
    blob: Descriptor,
    progress: LayerProgress | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { from, total, chunks } = await repository.blob(blob.digest, file.size, signal)
    try {
      if (total !== undefined && total !== blob.size)
        throw new RegistryFault(`blob ${blob.digest} has ${total} bytes, but the manifest says ${blob.size}`)
      if (from !== file.size) await file.reset()
      let unchecked = checkEvery
      for await (const chunk of chunks) {
        if (file.size + chunk.length > blob.size)
          throw new RegistryFault(`blob ${blob.digest} has more than the ${blob.size} bytes that the manifest says`)
        unchecked += chunk.length
        if (unchecked >= checkEvery) {
          await this.options.content.checkSpace()
          unchecked = 0
        }
        await file.append(chunk)
        progress?.bytes('Downloading', file.size, blob.size)
      }
    } finally {
      await chunks.return(undefined)
    }
  }
}

const wrongDigest = ({ digest }: Descriptor): RegistryFault =>
  new RegistryFault(`filesystem layer verification failed for digest ${digest}`)

import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { Digester, parseDigest } from '../../base/digest.js'
import { dataLoss, invalidParameter, notFound, unavailable } from '../../sdk/errors.js'

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  annotations?: Record<string, string>
}

/** A file that was written and digested, and is not yet content. */
export interface Ingested {
  file: string
  digest: string
  size: number
}

/** Left free on the disk whatever is loaded. */
const reserve = 64 * 1024 * 1024
const checkEvery = 16 * 1024 * 1024
/** A download that nobody takes up again in this time is given up. */
const partialLife = 7 * 24 * 3600 * 1000

async function syncDirectory(dir: string): Promise<void> {
  const handle = await fs.open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Blobs by digest, as an OCI image layout. Blobs are never changed: written aside, synced, renamed into place. */
export class ContentStore {
  private readonly root: string

  constructor(root: string) {
    this.root = root
  }

  private get blobs(): string {
    return path.join(this.root, 'blobs', 'sha256')
  }

  private get ingest(): string {
    return path.join(this.root, 'ingest')
  }

  private get partials(): string {
    return path.join(this.ingest, 'partial')
  }

  /** Makes the layout and clears what earlier daemons were writing, but for downloads, which go on where they were cut. */
  async init(now: number): Promise<void> {
    await fs.mkdir(this.blobs, { recursive: true, mode: 0o700 })
    await fs.mkdir(this.partials, { recursive: true, mode: 0o700 })
    for (const name of await fs.readdir(this.ingest))
      if (name !== path.basename(this.partials)) await fs.rm(path.join(this.ingest, name), { recursive: true, force: true })
    for (const name of await fs.readdir(this.partials)) {
      const file = path.join(this.partials, name)
      if ((await fs.stat(file)).mtimeMs < now - partialLife) await fs.rm(file, { force: true })
    }
    await this.replace('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  }

  blobPath(digest: string): string {
    return path.join(this.blobs, parseDigest(digest).hex)
  }

  /** Where a blob is written while it is downloaded; it stays there, complete, until its image is. */
  partialPath(digest: string): string {
    return path.join(this.partials, parseDigest(digest).hex)
  }

  /** A directory for the files of one load; gone when its user removes it, or at the next boot. */
  async workspace(): Promise<string> {
    return fs.mkdtemp(path.join(this.ingest, 'load-'))
  }

  /** Writes a stream to a file of a workspace, in bounded memory, digesting it on the way. */
  async spool(source: AsyncIterable<Uint8Array>, workspace: string): Promise<Ingested> {
    const file = path.join(workspace, randomBytes(8).toString('hex'))
    const digester = new Digester()
    const handle = await fs.open(file, 'wx', 0o600)
    try {
      let unchecked = checkEvery
      for await (const chunk of source) {
        unchecked += chunk.length
        if (unchecked >= checkEvery) {
          await this.checkSpace()
          unchecked = 0
        }
        digester.update(chunk)
        await handle.writeFile(chunk)
      }
    } finally {
      await handle.close()
    }
    return { file, digest: digester.digest(), size: digester.size }
  }

  spoolBytes(bytes: Uint8Array, workspace: string): Promise<Ingested> {
    return this.spool(
      (async function* () {
        yield bytes
      })(),
      workspace,
    )
  }

  /** Unavailable when the disk is all but full. To be asked every few megabytes. */
  async checkSpace(): Promise<void> {
    const { bavail, bsize } = await fs.statfs(this.root)
    if (bavail * bsize < reserve) throw unavailable(`no space left on the device of ${this.root}`, { code: 'ENOSPC' })
  }

  /** Makes a spooled file content. What is there already is kept. */
  async adopt({ file, digest }: Ingested): Promise<void> {
    const target = this.blobPath(digest)
    // Content already, of an earlier image of the same archive.
    if (file === target) return
    if (await this.has(digest)) return fs.rm(file, { force: true })
    const handle = await fs.open(file, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fs.rename(file, target)
  }

  /** Makes a complete download content. */
  async adoptPartial(digest: string): Promise<void> {
    await this.adopt({ file: this.partialPath(digest), digest, size: 0 })
  }

  /** After the last `adopt` of a transaction: the names are on disk too. */
  sync(): Promise<void> {
    return syncDirectory(this.blobs)
  }

  async write(data: string | Uint8Array, workspace: string): Promise<Ingested> {
    const ingested = await this.spoolBytes(typeof data === 'string' ? Buffer.from(data) : data, workspace)
    await this.adopt(ingested)
    return ingested
  }

  async has(digest: string): Promise<boolean> {
    return fs.access(this.blobPath(digest)).then(
      () => true,
      () => false,
    )
  }

  async sizeOf(digest: string): Promise<number> {
    return (await fs.stat(this.blobPath(digest))).size
  }

  /** A blob, or a complete download that is about to become one. */
  async openDownloaded(digest: string): Promise<Readable> {
    const places = [this.blobPath(digest), this.partialPath(digest)]
    // It may become a blob between the two looks.
    for (const place of [...places, this.blobPath(digest)]) {
      const handle = await fs.open(place, 'r').catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
      if (handle !== undefined) return handle.createReadStream({ highWaterMark: 1 << 17 })
    }
    throw notFound(`content ${digest} does not exist`)
  }

  open(digest: string): Readable {
    return createReadStream(this.blobPath(digest), { highWaterMark: 1 << 17 })
  }

  /** A small blob whole, its digest checked. */
  async read(digest: string, limit: number): Promise<Buffer> {
    const file = this.blobPath(digest)
    const stat = await fs.stat(file).catch(() => undefined)
    if (stat === undefined) throw notFound(`content ${digest} does not exist`)
    if (stat.size > limit) throw invalidParameter(`content ${digest} has ${stat.size} bytes, more than the ${limit} allowed here`)
    const data = await fs.readFile(file)
    if (!new Digester().update(data).matches(digest))
      throw dataLoss(`content ${digest} is damaged on disk: remove and load its image again`)
    return data
  }

  async remove(digest: string): Promise<void> {
    await fs.rm(this.blobPath(digest), { force: true })
  }

  /** Removes every blob that is not `needed`, a few at a time. */
  async collect(needed: ReadonlySet<string>): Promise<number> {
    let removed = 0
    for (const name of await fs.readdir(this.blobs)) {
      if (needed.has(`sha256:${name}`)) continue
      await fs.rm(path.join(this.blobs, name), { recursive: true, force: true })
      removed++
    }
    return removed
  }

  /** `index.json`, for tools that read OCI layouts. Made from the metadata, never read back. */
  async writeIndex(manifests: Descriptor[]): Promise<void> {
    await this.replace('index.json', JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }))
  }

  private async replace(name: string, content: string): Promise<void> {
    const temporary = path.join(this.ingest, `${name}.${randomBytes(4).toString('hex')}`)
    await fs.writeFile(temporary, content, { flush: true })
    await fs.rename(temporary, path.join(this.root, name))
  }
}

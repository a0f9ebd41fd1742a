import fs from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { invalidParameter, isTsdError, messageOf } from '../../sdk/errors.js'
import { decompressed } from '../layers/index.js'
import type { Zstd } from '../ports/index.js'
import type { ContentStore, Ingested } from './content.js'
import { parseJson } from './config.js'

/** docker save writes at most four for a layer. */
const maxEntries = 16_384
const maxLinks = 10
const maxJson = 1024 * 1024

/** An image archive, every file of it spooled to disk under a name of ours. */
export class SpooledArchive {
  private readonly files = new Map<string, Ingested>()
  private readonly links = new Map<string, string>()

  add(name: string, file: Ingested): void {
    this.files.set(name, file)
    this.links.delete(name)
  }

  link(name: string, target: string): void {
    this.links.set(name, target)
    this.files.delete(name)
  }

  has(name: string): boolean {
    return this.find(name) !== undefined
  }

  /** Follows links within the archive: old versions of docker save store equal layers so. */
  private find(name: string): Ingested | undefined {
    let at = normal(name)
    for (let hops = 0; hops < maxLinks; hops++) {
      const file = this.files.get(at)
      if (file !== undefined) return file
      const target = this.links.get(at)
      if (target === undefined) return undefined
      at = target
    }
    throw invalidParameter(`invalid image archive: ${JSON.stringify(name)} is a link that leads nowhere`)
  }

  file(name: string, namedBy: string): Ingested {
    const file = this.find(name)
    if (file === undefined) throw invalidParameter(`invalid image archive: ${namedBy} names ${JSON.stringify(name)}, which is not in it`)
    return file
  }

  async bytes(name: string, namedBy: string): Promise<Buffer> {
    const { file, size } = this.file(name, namedBy)
    if (size > maxJson)
      throw invalidParameter(`invalid image archive: ${JSON.stringify(name)} has ${size} bytes, at most ${maxJson} are read`)
    return fs.readFile(file)
  }

  async json(name: string, namedBy: string): Promise<unknown> {
    return parseJson(await this.bytes(name, namedBy), `image archive: ${JSON.stringify(name)}`)
  }
}

function normal(name: string): string {
  return path.posix.normalize(`/${name}`).slice(1)
}

/** Reads a tar, plain or compressed, to its end. Only disk space bounds its files. */
export async function spoolArchive(
  tar: Readable,
  content: ContentStore,
  workspace: string,
  zstd: Zstd,
  signal: AbortSignal,
): Promise<SpooledArchive> {
  // Loaded on first use: not every daemon loads images.
  const { extract: createExtract } = await import('tar-stream')
  const archive = new SpooledArchive()
  const extract = createExtract()
  const source = Readable.from(decompressed(tar as AsyncIterable<Buffer>, zstd), { objectMode: false })
  const abort = (): unknown => source.destroy(signal.reason as Error)
  signal.addEventListener('abort', abort, { once: true })
  let failed: Error | undefined
  source.on('error', (error) => {
    failed = error
    extract.destroy(error)
  })
  source.pipe(extract)
  let current = ''
  let entries = 0
  try {
    signal.throwIfAborted()
    for await (const entry of extract) {
      const { header } = entry
      current = header.name
      if (++entries > maxEntries) throw invalidParameter(`invalid image archive: it has more than ${maxEntries} entries`)
      const name = normal(header.name)
      const target = header.linkname ?? ''
      if (header.type === 'file') archive.add(name, await content.spool(entry as AsyncIterable<Uint8Array>, workspace))
      else if (header.type === 'symlink') archive.link(name, normal(path.posix.join(path.posix.dirname(name), target)))
      else if (header.type === 'link') archive.link(name, normal(target))
      else if (header.type !== 'directory')
        throw invalidParameter(`invalid image archive: ${JSON.stringify(name)} is a ${String(header.type)}`)
      entry.resume()
    }
  } catch (caught) {
    if (signal.aborted) throw signal.reason
    // The parser only says that it was stopped.
    const error: unknown = failed ?? caught
    const cut = /^(Stream was destroyed|Unexpected end of data)$/.test(messageOf(error))
    if (cut)
      throw invalidParameter(`invalid image archive: it is truncated${current === '' ? '' : ` after ${JSON.stringify(current)}`}`, {
        cause: error,
      })
    if (isTsdError(error) || (error as { code?: string }).code !== undefined) throw error
    throw invalidParameter(`invalid image archive${current === '' ? '' : ` after ${JSON.stringify(current)}`}: ${messageOf(error)}`, {
      cause: error,
    })
  } finally {
    signal.removeEventListener('abort', abort)
    source.destroy()
    tar.destroy()
  }
  if (entries === 0) throw invalidParameter('invalid image archive: it is empty')
  return archive
}

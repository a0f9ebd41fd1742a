import { createGunzip } from 'node:zlib'
import { Readable } from 'node:stream'
import { Digester } from '../../base/digest.js'
import { invalidParameter, isTsdError, messageOf, notImplemented } from '../../sdk/errors.js'
import type { Zstd } from '../ports/index.js'
import type { LayerBlob } from './contract.js'

type Compression = 'none' | 'gzip' | 'zstd'

const magics: [name: string, magic: Buffer][] = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['bzip2', Buffer.from('BZh')],
]

/** What a stream is compressed with, told by its first bytes. */
export function compressionOf(first: Uint8Array): Compression {
  const found = magics.find(([, magic]) => magic.equals(first.subarray(0, magic.length)))?.[0] ?? 'none'
  if (found === 'none' || found === 'gzip' || found === 'zstd') return found
  throw notImplemented(`archives compressed with ${found} are not supported: use gzip, zstd or none`)
}

/** The stream, decompressed. Errors of either stage end it. */
export async function* decompressed(source: AsyncIterable<Buffer>, zstd: Zstd): AsyncGenerator<Buffer> {
  const input = source[Symbol.asyncIterator]()
  const first = await input.next()
  if (first.done === true) return
  const whole = (async function* () {
    yield first.value
    for (;;) {
      const next = await input.next()
      if (next.done === true) return
      yield next.value
    }
  })()
  const compression = compressionOf(first.value)
  if (compression === 'none') return yield* whole
  if (compression === 'zstd') return yield* zstd.decompress(whole)
  const gunzip = createGunzip({ chunkSize: 1 << 16 })
  const compressed = Readable.from(whole, { objectMode: false })
  compressed.on('error', (error) => gunzip.destroy(error))
  compressed.pipe(gunzip)
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) yield chunk
  } catch (error) {
    const code = (error as { code?: string }).code ?? ''
    if (code.startsWith('Z_')) throw invalidParameter(`damaged or truncated gzip data: ${messageOf(error)}`, { cause: error })
    throw error
  } finally {
    compressed.destroy()
  }
}

/** A layer's tar. It ends in an error instead of its end when the blob or the tar has not the digest it should have. */
export function verifiedTar(blob: LayerBlob, zstd: Zstd): Readable {
  return Readable.from(verify(blob, zstd), { objectMode: false })
}

async function* verify(blob: LayerBlob, zstd: Zstd): AsyncGenerator<Buffer> {
  const stored = new Digester()
  const unpacked = new Digester()
  const source = blob.open()
  const taken = (async function* () {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      stored.update(chunk)
      yield chunk
    }
  })()
  try {
    for await (const chunk of decompressed(taken, zstd)) {
      // An uncompressed blob has one digest, taken once.
      if (blob.digest !== blob.diffId) unpacked.update(chunk)
      yield chunk
    }
  } catch (error) {
    throw isTsdError(error) && error.category === 'InvalidParameter'
      ? invalidParameter(`layer ${blob.digest}: ${error.message}`, { cause: error })
      : error
  } finally {
    source.destroy()
  }
  if (!stored.matches(blob.digest)) throw invalidParameter(`layer ${blob.digest} is damaged: its content has digest ${stored.digest()}`)
  const diffId = blob.digest === blob.diffId ? stored.digest() : unpacked.digest()
  if (diffId !== blob.diffId) throw invalidParameter(`invalid diffID: expected "${blob.diffId}", got "${diffId}"`)
}

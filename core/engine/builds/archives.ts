import { createReadStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { categoryOf } from '../../sdk/errors.js'
import { decompressed } from '../layers/index.js'
import type { Zstd } from '../ports/index.js'
import { freeBytes } from './space.js'
import { madeDirectory } from './workshop.js'
import type { Workshop } from './workshop.js'

const BLOCK = 512

/** A tar header's checksum: the sum of its bytes, with spaces for itself. */
function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK) return false
  const said = parseInt(
    block
      .toString('latin1', 148, 156)
      .replace(/[\0 ]+$/, '')
      .trim(),
    8,
  )
  let sum = 8 * 0x20
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += block[at] as number
  return said === sum
}

/** Whether ADD unpacks a file: a tar, plain or compressed. Compressions that cannot be read are refused by name. */
async function isArchive(file: string, zstd: Zstd): Promise<boolean> {
  const source = createReadStream(file)
  const head: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of decompressed(source as AsyncIterable<Buffer>, zstd)) {
      head.push(chunk)
      size += chunk.length
      if (size >= BLOCK) break
    }
  } catch (error) {
    // Damaged compressed data is a file like any other.
    if (categoryOf(error) === 'InvalidParameter') return false
    throw error
  } finally {
    source.destroy()
  }
  return isTarHeader(Buffer.concat(head))
}

/** Unpacks an archive of the work directory beside it; answers the new directory, or undefined when the file is no archive. */
export async function unpackArchive(shop: Workshop, file: string): Promise<string | undefined> {
  const path = Buffer.from(`${shop.workDir}/`).toString('latin1') + file
  const host = Buffer.from(path, 'latin1').toString()
  if (Buffer.from(host).toString('latin1') !== path || !(await isArchive(host, shop.zstd))) return undefined
  const name = await madeDirectory(shop)
  const root = `${shop.workDir}/${name}/tree`
  await mkdir(root, { mode: 0o755 })
  const tar = Readable.from(decompressed(createReadStream(host) as AsyncIterable<Buffer>, shop.zstd), { objectMode: false })
  await shop.archiver.unpack(tar, { root, whiteouts: 'none', maxBytes: await freeBytes(shop.workDir), signal: shop.signal })
  return `${name}/tree`
}

import fs from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { readPlain } from './chunks.js'
import { compressedName, isCompressed, isNumbered, isTaken, suffixes } from './generations.js'

/**
 * Compresses what the writer has rotated away. The writer may go on rotating: a file is first taken out of its numbering by a rename,
 * so that whatever bears the number at that moment is what we own. Repeating it after a crash goes on where it ended.
 */
export async function compressRotated(current: string, maxFile: number): Promise<void> {
  const numbers = (await suffixes(current)).filter(isNumbered).map(Number)
  for (const number of numbers.sort((a, b) => b - a)) {
    try {
      await fs.rename(`${current}.${number}`, `${current}.taken-${process.pid}-${process.hrtime.bigint()}`)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ENOENT') throw error
    }
  }
  for (const suffix of (await suffixes(current)).filter(isTaken)) await compressOne(current, `${current}.${suffix}`)
  const files = (await suffixes(current)).filter(isCompressed).sort()
  for (const suffix of files.slice(0, Math.max(0, files.length - (maxFile - 1)))) await fs.rm(`${current}.${suffix}`, { force: true })
}

async function compressOne(current: string, taken: string): Promise<void> {
  const source = await fs.open(taken, 'r')
  try {
    const { mtimeNs, ino } = await source.stat({ bigint: true })
    const temporary = `${current}.compressing`
    const target = await fs.open(temporary, 'w', 0o640)
    try {
      await pipeline(Readable.from(readPlain({ handle: source }, 0)), createGzip(), async (compressed: AsyncIterable<Buffer>) => {
        for await (const chunk of compressed) await target.writeFile(chunk)
      })
    } finally {
      await target.close()
    }
    await fs.rename(temporary, compressedName(current, mtimeNs, ino))
  } finally {
    await source.close()
  }
  await fs.rm(taken, { force: true })
}

/** Every file of the log. */
export async function removeLog(current: string): Promise<void> {
  const ours = (suffix: string): boolean => isNumbered(suffix) || isCompressed(suffix) || isTaken(suffix) || suffix === 'compressing'
  for (const suffix of (await suffixes(current)).filter(ours)) await fs.rm(`${current}.${suffix}`, { force: true })
  await fs.rm(current, { force: true })
}

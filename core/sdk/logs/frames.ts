import { countRecords, readPlain, type RecordCutter, type RecordFormat } from './chunks.js'
import type { LogGeneration } from './generations.js'

/** No frame of ours is longer: 16 KiB of text and what is told about it. */
const longest = 1024 * 1024
/** Read at a time from the end of a file. */
const blockSize = 128 * 1024

/** Size of the frame at `at`: 0 when more bytes are needed, -1 when there is none. */
function frameSize(data: Buffer, at: number): number {
  if (data.length - at < 4) return 0
  const length = data.readUInt32BE(at)
  if (length > longest) return -1
  if (data.length - at < length + 8) return 0
  return data.readUInt32BE(at + 4 + length) === length ? length + 8 : -1
}

/** Behind a damaged frame nothing can be found again: the rest of that file is passed over. */
class FrameCutter implements RecordCutter {
  private carry = Buffer.alloc(0)
  private broken = false

  get held(): number {
    return this.carry.length
  }

  push(data: Buffer): Buffer | undefined {
    if (this.broken) return undefined
    const all = this.carry.length === 0 ? data : Buffer.concat([this.carry, data])
    let end = 0
    let size = 0
    while ((size = frameSize(all, end)) > 0) end += size
    this.broken = size < 0
    this.carry = this.broken ? Buffer.alloc(0) : Buffer.from(all.subarray(end))
    return end === 0 ? undefined : all.subarray(0, end)
  }

  rest(): undefined {
    this.carry = Buffer.alloc(0)
    this.broken = false
  }
}

async function tail(generation: LogGeneration, wanted: number): Promise<{ position: number; found: number; skip: number }> {
  let end = generation.size
  let found = 0
  while (end > 0 && found < wanted) {
    const start = Math.max(0, end - blockSize)
    const block = Buffer.allocUnsafe(end - start)
    const { bytesRead } = await generation.handle.read(block, 0, block.length, start)
    let at = bytesRead === block.length ? block.length : 0
    while (found < wanted && at >= 8) {
      const length = block.readUInt32BE(at - 4)
      if (length + 8 > at || block.readUInt32BE(at - 8 - length) !== length) break
      at -= length + 8
      found++
    }
    // A torn end, or a file that shrank: counted from the front.
    if (at === block.length || bytesRead < block.length) return tailFromFront(generation, wanted)
    end = start + at
  }
  return { position: end, found, skip: 0 }
}

async function tailFromFront(generation: LogGeneration, wanted: number): Promise<{ position: number; found: number; skip: number }> {
  const records = await countRecords(frameFormat, readPlain(generation, 0, generation.size))
  const found = Math.min(records, wanted)
  return { position: 0, found, skip: records - found }
}

/** A record is an entry of Docker's `local` format between its length and its length again. */
export const frameFormat: RecordFormat = {
  cutter: () => new FrameCutter(),
  count(records) {
    let count = 0
    for (let at = 0; at < records.length; at += records.readUInt32BE(at) + 8) count++
    return count
  },
  skip(records, count) {
    let offset = 0
    let skipped = 0
    for (; skipped < count && offset < records.length; skipped++) offset += records.readUInt32BE(offset) + 8
    return { offset, skipped }
  },
  tail,
}

import { createGunzip } from 'node:zlib'
import { pipeline, Readable } from 'node:stream'
import type { LogGeneration } from './generations.js'

/** Read at a time, and so at most what is worked on between two turns of the event loop. */
const chunkSize = 128 * 1024

/** Cuts a stream of bytes into buffers that hold whole records. The buffers are the receiver's to write on. */
export interface RecordCutter {
  push(data: Buffer): Buffer | undefined
  /** What the last record has so far, if that can be used. The next push begins a new record. */
  rest(): Buffer | undefined
  /** Bytes that wait for the end of their record. */
  readonly held: number
}

/** How records lie in the files of a log. */
export interface RecordFormat {
  cutter(): RecordCutter
  /** How many records are in a buffer of whole ones. */
  count(records: Buffer): number
  /** Offset behind the first `count` records of a buffer of whole ones, and how many it had. */
  skip(records: Buffer, count: number): { offset: number; skipped: number }
  /** Where to start for the last `wanted` records of a plain file, how many of them it has, and how many records to skip from there. */
  tail(generation: LogGeneration, wanted: number): Promise<{ position: number; found: number; skip: number }>
}

/** Bytes of a plain file from `position` up to `end`, or to where it ends now. */
export async function* readPlain(
  { handle }: Pick<LogGeneration, 'handle'>,
  position: number,
  end = Infinity,
): AsyncGenerator<Buffer, number> {
  let at = position
  for (;;) {
    const length = Math.min(chunkSize, end - at)
    if (length <= 0) return at
    const buffer = Buffer.allocUnsafeSlow(length)
    const { bytesRead } = await handle.read(buffer, 0, length, at)
    if (bytesRead === 0) return at
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** Decompressed bytes. A truncated file gives what it has. */
export async function* readCompressed(generation: LogGeneration): AsyncGenerator<Buffer> {
  const stream = pipeline(Readable.from(readPlain(generation, 0)), createGunzip({ chunkSize }), () => undefined)
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk
  } catch (error) {
    const code = (error as { code?: unknown }).code
    if (typeof code !== 'string' || !code.startsWith('Z_')) throw error
  }
}

/** The first bytes of what was written. */
export async function readStart(generation: LogGeneration, length: number): Promise<Buffer> {
  const found: Buffer[] = []
  let left = length
  for await (const data of generation.compressed ? readCompressed(generation) : readPlain(generation, 0, length)) {
    found.push(data.subarray(0, left))
    left -= data.length
    if (left <= 0) break
  }
  return Buffer.concat(found)
}

/** Where reading starts for the last `wanted` records. */
export interface Start {
  /** Index of the generation. */
  index: number
  /** Offset in it, if it is plain. */
  position: number
  /** Records to skip from there. */
  skip: number
}

export async function findTail(format: RecordFormat, generations: LogGeneration[], wanted: number): Promise<Start> {
  let left = wanted
  for (let index = generations.length - 1; index >= 0; index--) {
    const generation = generations[index] as LogGeneration
    if (generation.compressed) {
      const records = await countRecords(format, readCompressed(generation))
      if (records >= left) return { index, position: 0, skip: records - left }
      left -= records
    } else {
      const { position, found, skip } = await format.tail(generation, left)
      if (found >= left) return { index, position, skip }
      left -= found
    }
  }
  return { index: 0, position: 0, skip: 0 }
}

export async function countRecords(format: RecordFormat, chunks: AsyncIterable<Buffer>): Promise<number> {
  const cutter = format.cutter()
  let records = 0
  for await (const chunk of chunks) {
    const whole = cutter.push(chunk)
    if (whole !== undefined) records += format.count(whole)
  }
  return records
}

/** Drops the first records of a stream of whole-record buffers. */
export function recordSkipper(format: RecordFormat, count: number): (records: Buffer) => Buffer | undefined {
  let left = count
  return (records) => {
    if (left === 0) return records
    const { offset, skipped } = format.skip(records, left)
    left -= skipped
    return offset < records.length ? records.subarray(offset) : undefined
  }
}

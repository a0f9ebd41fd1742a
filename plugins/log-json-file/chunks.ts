import { createGunzip } from 'node:zlib'
import { pipeline, Readable } from 'node:stream'
import type { Generation } from './generations.js'

/** Read at a time, and so at most what is worked on between two turns of the event loop. */
const chunkSize = 128 * 1024
/** No line of ours is longer: 16 KiB, each byte escaped, and the attributes. */
const maxLine = 1024 * 1024
const newline = 0x0a

/** Cuts a stream of bytes into buffers that hold whole lines. The buffers are the receiver's to write on. */
export class LineCutter {
  private carry: Buffer[] = []
  private carried = 0
  private skipping = false

  push(data: Buffer): Buffer | undefined {
    const last = data.lastIndexOf(newline)
    if (last < 0) {
      this.keep(data)
      return undefined
    }
    let whole = data.subarray(0, last + 1)
    if (this.skipping) whole = whole.subarray(whole.indexOf(newline) + 1)
    else if (this.carried > 0) whole = Buffer.concat([...this.carry, whole])
    this.carry = []
    this.carried = 0
    this.skipping = false
    if (last + 1 < data.length) this.keep(Buffer.from(data.subarray(last + 1)))
    return whole.length === 0 ? undefined : whole
  }

  private keep(data: Buffer): void {
    if (this.skipping) return
    this.carry.push(data)
    this.carried += data.length
    if (this.carried <= maxLine) return
    this.carry = []
    this.carried = 0
    this.skipping = true
  }

  /** What the last line has so far, as a line: complete but for its newline, or torn. */
  rest(): Buffer | undefined {
    const rest = this.carried > 0 ? Buffer.concat([...this.carry, Buffer.from('\n')]) : undefined
    this.carry = []
    this.carried = 0
    this.skipping = false
    return rest
  }
}

/** Bytes of a plain file from `position` up to `end`, or to where it ends now. */
export async function* readPlain({ handle }: Pick<Generation, 'handle'>, position: number, end = Infinity): AsyncGenerator<Buffer, number> {
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
export async function* readCompressed(generation: Generation): AsyncGenerator<Buffer> {
  const stream = pipeline(Readable.from(readPlain(generation, 0)), createGunzip({ chunkSize }), () => undefined)
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk
  } catch (error) {
    const code = (error as { code?: unknown }).code
    if (typeof code !== 'string' || !code.startsWith('Z_')) throw error
  }
}

function countLines(buffer: Buffer): number {
  let lines = 0
  for (let at = buffer.indexOf(newline); at >= 0; at = buffer.indexOf(newline, at + 1)) lines++
  return lines
}

/** Where the last `wanted` lines of a plain file begin, and how many of them it has. */
async function tailPlain(generation: Generation, wanted: number): Promise<{ position: number; found: number }> {
  const buffer = Buffer.allocUnsafe(64 * 1024)
  let found = -1
  for (let end = generation.size; end > 0;) {
    const start = Math.max(0, end - buffer.length)
    const { bytesRead } = await generation.handle.read(buffer, 0, end - start, start)
    let at = bytesRead
    while (at > 0) {
      at = buffer.lastIndexOf(newline, at - 1)
      if (at < 0) break
      found++
      if (found === wanted) return { position: start + at + 1, found }
    }
    end = start
  }
  // The first line has no newline before it.
  return { position: 0, found: found + 1 }
}

/** Where reading starts for the last `wanted` lines. */
export interface Start {
  /** Index of the generation. */
  index: number
  /** Offset in it, if it is plain. */
  position: number
  /** Lines to skip in it, if it is compressed. */
  skip: number
}

export async function findTail(generations: Generation[], wanted: number): Promise<Start> {
  let left = wanted
  for (let index = generations.length - 1; index >= 0; index--) {
    const generation = generations[index] as Generation
    if (generation.compressed) {
      let lines = 0
      for await (const chunk of readCompressed(generation)) lines += countLines(chunk)
      if (lines >= left) return { index, position: 0, skip: lines - left }
      left -= lines
    } else {
      const { position, found } = await tailPlain(generation, left)
      if (found >= left) return { index, position, skip: 0 }
      left -= found
    }
  }
  return { index: 0, position: 0, skip: 0 }
}

/** Drops the first lines of a stream of whole-line buffers. */
export function lineSkipper(count: number): (buffer: Buffer) => Buffer | undefined {
  let left = count
  return (buffer) => {
    let at = 0
    while (left > 0 && at < buffer.length) {
      at = buffer.indexOf(newline, at) + 1
      left--
    }
    return at < buffer.length ? buffer.subarray(at) : undefined
  }
}

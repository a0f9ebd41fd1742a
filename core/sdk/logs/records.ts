import type { LogReadOptions } from '../kinds/log.js'
import { findTail, recordSkipper, readCompressed, readPlain, type RecordFormat, type Start } from './chunks.js'
import { LogWatch } from './follow.js'
import { closeAll, inodeOf, openGenerations, type LogGeneration } from './generations.js'
import { findPosition, type LogPosition } from './position.js'

/** Whole records, and where they end. */
export interface RecordChunk {
  records: Buffer
  generation: LogGeneration
  /** Offset in the file, decompressed. */
  end: number
}

export type RecordOptions = Pick<LogReadOptions, 'tail' | 'follow' | 'until' | 'stopped' | 'signal'> & {
  /** Goes on behind this, if it is still there; in place of `tail`. */
  after?: LogPosition
  /** Called when what `after` names is gone. */
  onLost?: () => void
}

/** Records of every file of the log, oldest first, then (follow) what is written to it. */
export async function* readRecords(file: string, format: RecordFormat, options: RecordOptions): AsyncGenerator<RecordChunk> {
  const { follow, signal } = options
  const generations = await openGenerations(file)
  const cutter = format.cutter()
  const watch = follow ? new LogWatch(file, [options.stopped, signal]) : undefined
  let current = generations.at(-1)
  let position = 0
  const chunk = (generation: LogGeneration, records: Buffer, read: number): RecordChunk => ({
    records,
    generation,
    end: read - cutter.held,
  })
  try {
    const start = await startOf(format, generations, options)
    for (const [index, generation] of generations.slice(start.index).entries()) {
      const first = index === 0
      const skip = recordSkipper(format, first ? start.skip : 0)
      let read = first ? start.position : 0
      const bytes = generation.compressed ? behind(readCompressed(generation), read) : readPlain(generation, read, generation.size)
      for await (const data of bytes) {
        if (signal.aborted) return
        read += data.length
        const records = cutter.push(data)
        const wanted = records === undefined ? undefined : skip(records)
        if (wanted !== undefined) yield chunk(generation, wanted, read)
      }
      position = Math.max(read, generation.size)
      if (generation === current && follow) break
      const rest = cutter.rest()
      if (rest !== undefined) yield chunk(generation, rest, read)
    }
    await closeAll(generations.filter((generation) => generation !== current))
    if (watch === undefined) return
    for (;;) {
      // Both asked before reading: what was written before the end, or before the rotation, is then read.
      const over = options.stopped.aborted || (options.until !== undefined && BigInt(Date.now()) * 1_000_000n > options.until)
      const inode = await inodeOf(file)
      if (current !== undefined && !current.compressed) {
        if (Number((await current.handle.stat()).size) < position) {
          position = 0
          delete current.head
        }
        const bytes = readPlain(current, position)
        for (let step = await bytes.next(); ; step = await bytes.next()) {
          if (signal.aborted) return
          if (step.done === true) {
            position = step.value
            break
          }
          position += step.value.length
          const records = cutter.push(step.value)
          if (records !== undefined) yield chunk(current, records, position)
        }
        current.mtimeNs = (await current.handle.stat({ bigint: true })).mtimeNs
      }
      if (signal.aborted) return
      const newer = inode === undefined || inode === current?.ino ? [] : await openGenerations(file, current)
      if (newer.length > 0) {
        const torn = cutter.rest()
        if (torn !== undefined && current !== undefined) yield chunk(current, torn, position)
        await current?.handle.close()
        current = newer.pop()
        position = 0
        try {
          for (const generation of newer) {
            let read = 0
            for await (const data of generation.compressed ? readCompressed(generation) : readPlain(generation, 0)) {
              read += data.length
              const records = cutter.push(data)
              if (records !== undefined) yield chunk(generation, records, read)
            }
            const rest = cutter.rest()
            if (rest !== undefined) yield chunk(generation, rest, read)
          }
        } finally {
          await closeAll(newer)
        }
        continue
      }
      if (over) {
        const rest = cutter.rest()
        if (rest !== undefined && current !== undefined) yield chunk(current, rest, position)
        return
      }
      await watch.wait(options.until === undefined ? Infinity : Number(options.until / 1_000_000n) - Date.now() + 1)
    }
  } finally {
    watch?.close()
    await closeAll(generations)
    await current?.handle.close().catch(() => undefined)
  }
}

async function startOf(format: RecordFormat, generations: LogGeneration[], options: RecordOptions): Promise<Start> {
  const { after, tail, onLost } = options
  if (after !== undefined) {
    const index = await findPosition(generations, after)
    if (index >= 0) return { index, position: after.offset, skip: 0 }
    onLost?.()
  }
  return tail !== undefined && tail >= 0 ? findTail(format, generations, tail) : { index: 0, position: 0, skip: 0 }
}

/** Without the first bytes. */
async function* behind(chunks: AsyncIterable<Buffer>, count: number): AsyncGenerator<Buffer> {
  let left = count
  for await (const data of chunks) {
    if (left < data.length) yield data.subarray(left)
    left = Math.max(0, left - data.length)
  }
}

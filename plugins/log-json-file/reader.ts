import { formatTimestampFixed, parseTimestamp, type LogEntry, type LogFrameOptions, type LogReadOptions } from 'tsd-engine/sdk'
import { findTail, LineCutter, lineSkipper, readCompressed, readPlain, type Start } from './chunks.js'
import { LogWatch } from './follow.js'
import { closeAll, inodeOf, openGenerations } from './generations.js'
import { LineParser, TimeMark, unescapeInPlace } from './line.js'

const newline = 0x0a

/** Whole lines of every file of the log, oldest first, then (follow) what is written to it. */
async function* wholeLines(file: string, options: LogReadOptions): AsyncGenerator<Buffer> {
  const { tail, follow, signal } = options
  const generations = await openGenerations(file)
  const cutter = new LineCutter()
  const watch = follow ? new LogWatch(file, [options.stopped, signal]) : undefined
  let current = generations.at(-1)
  let position = 0
  try {
    const start: Start = tail !== undefined && tail >= 0 ? await findTail(generations, tail) : { index: 0, position: 0, skip: 0 }
    for (const [offset, generation] of generations.slice(start.index).entries()) {
      const skip = lineSkipper(offset === 0 ? start.skip : 0)
      const from = offset === 0 ? start.position : 0
      const chunks = generation.compressed ? readCompressed(generation) : readPlain(generation, from, generation.size)
      for await (const chunk of chunks) {
        if (signal.aborted) return
        const lines = cutter.push(chunk)
        const wanted = lines === undefined ? undefined : skip(lines)
        if (wanted !== undefined) yield wanted
      }
      position = generation.size
      if (generation === current && follow) break
      const rest = cutter.rest()
      if (rest !== undefined) yield rest
    }
    await closeAll(generations.filter((generation) => generation !== current))
    if (watch === undefined) return
    for (;;) {
      // Both asked before reading: what was written before the end, or before the rotation, is then read.
      const over = options.stopped.aborted || (options.until !== undefined && BigInt(Date.now()) * 1_000_000n > options.until)
      const inode = await inodeOf(file)
      if (current !== undefined && !current.compressed) {
        if (Number((await current.handle.stat()).size) < position) position = 0
        const chunks = readPlain(current, position)
        for (let step = await chunks.next(); ; step = await chunks.next()) {
          if (signal.aborted) return
          if (step.done === true) {
            position = step.value
            break
          }
          const lines = cutter.push(step.value)
          if (lines !== undefined) yield lines
        }
        current.mtimeNs = (await current.handle.stat({ bigint: true })).mtimeNs
      }
      if (signal.aborted) return
      const newer = inode === undefined || inode === current?.ino ? [] : await openGenerations(file, current)
      if (newer.length > 0) {
        await current?.handle.close()
        current = newer.pop()
        position = 0
        try {
          const torn = cutter.rest()
          if (torn !== undefined) yield torn
          for (const generation of newer) {
            for await (const chunk of generation.compressed ? readCompressed(generation) : readPlain(generation, 0)) {
              const lines = cutter.push(chunk)
              if (lines !== undefined) yield lines
            }
            const rest = cutter.rest()
            if (rest !== undefined) yield rest
          }
        } finally {
          await closeAll(newer)
        }
        continue
      }
      if (over) {
        const rest = cutter.rest()
        if (rest !== undefined) yield rest
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

interface Window {
  since: TimeMark | undefined
  until: TimeMark | undefined
}

function windowOf({ since, until }: LogReadOptions): Window {
  return { since: since === undefined ? undefined : new TimeMark(since), until: until === undefined ? undefined : new TimeMark(until) }
}

type Place = 'before' | 'inside' | 'after'

function place(parser: LineParser, buffer: Buffer, { since, until }: Window): Place {
  if (since !== undefined && since.compare(buffer, parser.timeStart, parser.timeEnd) < 0) return 'before'
  return until !== undefined && until.compare(buffer, parser.timeStart, parser.timeEnd) > 0 ? 'after' : 'inside'
}

/** Nine digits of fraction, whatever the writer dropped. */
function timeOf(buffer: Buffer, start: number, end: number): string {
  const text = buffer.toString('latin1', start, end)
  if (text.length === 30) return text
  try {
    return formatTimestampFixed(parseTimestamp(text))
  } catch {
    return text
  }
}

/** The log as entries. Their bytes lie in the buffer that was read: nothing is copied. */
export async function* readEntries(file: string, options: LogReadOptions): AsyncGenerator<LogEntry[]> {
  const parser = new LineParser()
  const window = windowOf(options)
  for await (const buffer of wholeLines(file, options)) {
    const entries: LogEntry[] = []
    let after = false
    for (let at = 0; at < buffer.length && !after; at = parser.next) {
      if (!parser.parse(buffer, at)) continue
      const where = place(parser, buffer, window)
      after = where === 'after'
      if (where !== 'inside') continue
      const { logStart, attrs } = parser
      const time = timeOf(buffer, parser.timeStart, parser.timeEnd)
      const line = buffer.subarray(logStart, unescapeLine(parser, buffer, logStart))
      entries.push({ source: parser.stderr ? 'stderr' : 'stdout', time, line, ...(attrs === undefined ? {} : { attrs }) })
    }
    if (entries.length > 0) yield entries
    if (after) return
  }
}

/** Writes the text of the parsed line at `into`, at or before where it stands, and answers its end. */
function unescapeLine(parser: LineParser, buffer: Buffer, into: number): number {
  const { logStart, logEnd } = parser
  if (!parser.plain) return unescapeInPlace(buffer, logStart, logEnd, into)
  const end = into + logEnd - logStart - 1
  if (into !== logStart) buffer.copyWithin(into, logStart, logEnd - 2)
  buffer[end - 1] = newline
  return end
}

/** The log as the bytes that `docker logs` sends. Output is never longer than input, so it is written over it. */
export async function* readFrames(file: string, options: LogFrameOptions): AsyncGenerator<Buffer> {
  const parser = new LineParser()
  const window = windowOf(options)
  const header = options.framed ? 8 : 0
  for await (const buffer of wholeLines(file, options)) {
    let out = 0
    let after = false
    for (let at = 0; at < buffer.length && !after; at = parser.next) {
      if (!parser.parse(buffer, at)) continue
      const where = place(parser, buffer, window)
      after = where === 'after'
      if (where !== 'inside' || !(parser.stderr ? options.stderr : options.stdout)) continue
      const end = unescapeLine(parser, buffer, out + header)
      if (options.framed) {
        const length = end - out - header
        buffer[out] = parser.stderr ? 2 : 1
        buffer[out + 1] = buffer[out + 2] = buffer[out + 3] = 0
        buffer[out + 4] = length >>> 24
        buffer[out + 5] = (length >>> 16) & 255
        buffer[out + 6] = (length >>> 8) & 255
        buffer[out + 7] = length & 255
      }
      out = end
    }
    if (out > 0) yield buffer.subarray(0, out)
    if (after) return
  }
}

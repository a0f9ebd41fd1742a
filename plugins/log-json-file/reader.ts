import { formatTimestampFixed, parseTimestamp, readRecords, type LogEntry, type LogFrameOptions, type LogReadOptions } from 'tsd-engine/sdk'
import { LineParser, TimeMark, unescapeInPlace } from './line.js'
import { lineFormat } from './lines.js'

const newline = 0x0a

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
  for await (const { records: buffer } of readRecords(file, lineFormat, options)) {
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
  for await (const { records: buffer } of readRecords(file, lineFormat, options)) {
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

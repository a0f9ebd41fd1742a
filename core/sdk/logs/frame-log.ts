import { formatTimestampFixed } from '../../base/rfc3339.js'
import type { LogEntry, LogReadOptions } from '../kinds/log.js'
import { decodeEntry } from './entry.js'
import { frameFormat } from './frames.js'
import { readRecords } from './records.js'

const newline = 0x0a

/** A log in Docker's `local` format as entries. Their bytes lie in the buffer that was read: the newline takes the place of what stands behind the text. */
export async function* readFrameEntries(file: string, options: LogReadOptions): AsyncGenerator<LogEntry[]> {
  const { since, until } = options
  for await (const { records } of readRecords(file, frameFormat, options)) {
    const entries: LogEntry[] = []
    let after = false
    for (let at = 0; at < records.length && !after;) {
      const end = at + 4 + records.readUInt32BE(at)
      const { source, nano, line, partial } = decodeEntry(records, at + 4, end)
      at = end + 4
      if (since !== undefined && nano < since) continue
      after = until !== undefined && nano > until
      if (after) break
      const whole = partial === undefined || partial.last
      entries.push({ source, time: formatTimestampFixed(nano), line: whole ? withNewline(records, line) : line })
    }
    if (entries.length > 0) yield entries
    if (after) return
  }
}

/** Behind the text stand at least the four bytes of the length. */
function withNewline(records: Buffer, line: Buffer): Buffer {
  const end = line.byteOffset - records.byteOffset + line.length
  records[end] = newline
  return records.subarray(end - line.length, end + 1)
}

import { formatTimestampFixed, parseTimestamp } from '../base/rfc3339.js'
import type { LogEntry } from '../sdk/kinds/log.js'
import { frameLines, type FramedLine } from './stdcopy.js'

export interface LogFormat {
  timestamps: boolean
  details: boolean
  multiplexed: boolean
  stdout: boolean
  stderr: boolean
}

/** Nine digits after the point, as `docker logs -t` aligns them. */
function fixed(time: string): string {
  if (time.length === 30 && time.endsWith('Z')) return time
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,8})?Z$/.test(time)) {
    const [seconds, fraction = ''] = time.slice(0, -1).split('.') as [string, string?]
    return `${seconds}.${fraction.padEnd(9, '0')}Z`
  }
  try {
    return formatTimestampFixed(parseTimestamp(time))
  } catch {
    return time
  }
}

/** Attributes as Docker prints them: sorted, escaped like a query. */
const escape = (text: string): string =>
  encodeURIComponent(text)
    .replace(/%20/g, '+')
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

function attributes(attrs: Record<string, string> | undefined): string {
  return Object.entries(attrs ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${escape(key)}=${escape(value)}`)
    .join(',')
}

/** One batch of entries as bytes for the client. */
export function formatEntries(entries: LogEntry[], format: LogFormat): Buffer {
  const lines: FramedLine[] = []
  for (const entry of entries) {
    if (!format[entry.source]) continue
    const time = format.timestamps ? fixed(entry.time) + ' ' : ''
    const prefix = format.details ? `${time}${attributes(entry.attrs)} ` : time
    lines.push({ source: entry.source, prefix, line: entry.line })
  }
  return frameLines(lines, format.multiplexed)
}

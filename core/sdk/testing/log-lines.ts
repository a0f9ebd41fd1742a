import { formatTimestamp, formatTimestampFixed } from '../../base/rfc3339.js'
import type { LogEntry } from '../kinds/log.js'

/** A line as it is written. */
export interface Line {
  text: string
  source: 'stdout' | 'stderr'
  time: bigint
  attrs?: Record<string, string>
}

/** A line as a driver answers it. */
export type ReadLine = Omit<Line, 'time'> & { time: string }

const start = BigInt(Date.UTC(2024, 4, 6, 7, 8, 0)) * 1_000_000n + 120_000_001n
/** A line per second. */
export const timeOf = (n: number): bigint => start + BigInt(n) * 1_000_000_000n
export const line = (n: number, text = `line ${n}\n`, source: Line['source'] = n % 2 === 0 ? 'stderr' : 'stdout'): Line => ({
  text,
  source,
  time: timeOf(n),
})
export const lines = (from: number, to: number): Line[] => Array.from({ length: to - from + 1 }, (_, at) => line(from + at))

/** Docker's json-file; like Go, without zeros at the end of a fraction. */
export const encode = (all: Line[]): string =>
  all
    .map(({ text, source, time, attrs }) => `${JSON.stringify({ log: text, stream: source, attrs, time: formatTimestamp(time) })}\n`)
    .join('')

/** The bytes of an entry are its driver's again after the batch. */
export const copy = ({ source, time, line: bytes, attrs }: LogEntry): ReadLine => ({
  text: Buffer.from(bytes).toString(),
  source,
  time,
  ...(attrs === undefined || Object.keys(attrs).length === 0 ? {} : { attrs }),
})
export const copyOf = ({ time, ...rest }: Line): ReadLine => ({ ...rest, time: formatTimestampFixed(time) })

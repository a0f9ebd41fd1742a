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
const jsonLine = ({ text, source, time, attrs }: Line): Buffer =>
  Buffer.from(`${JSON.stringify({ log: text, stream: source, attrs, time: formatTimestamp(time) })}\n`)

function varint(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}

const field = (number: number, bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2]), varint(BigInt(bytes.length)), bytes])

/** Docker's `local`: a LogEntry between its length and its length again. What has no newline is a piece of a line. */
function frame({ text, source, time }: Line): Buffer {
  const whole = text.endsWith('\n')
  const piece = Buffer.concat([field(2, Buffer.from('ab'.repeat(32))), Buffer.from([3 << 3, 1])])
  const entry = Buffer.concat([
    field(1, Buffer.from(source)),
    Buffer.from([2 << 3]),
    varint(time),
    field(3, Buffer.from(whole ? text.slice(0, -1) : text)),
    ...(whole ? [] : [Buffer.from([4 << 3, 1]), field(5, piece)]),
  ])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(entry.length)
  return Buffer.concat([length, entry, length])
}

/** Lines as the shim writes them. */
export const encodeAs = (format: 'json-file' | 'local', all: Line[]): Buffer =>
  Buffer.concat(all.map(format === 'local' ? frame : jsonLine))

/** The bytes of an entry are its driver's again after the batch. */
export const copy = ({ source, time, line: bytes, attrs }: LogEntry): ReadLine => ({
  text: Buffer.from(bytes).toString(),
  source,
  time,
  ...(attrs === undefined || Object.keys(attrs).length === 0 ? {} : { attrs }),
})
export const copyOf = ({ time, ...rest }: Line): ReadLine => ({ ...rest, time: formatTimestampFixed(time) })

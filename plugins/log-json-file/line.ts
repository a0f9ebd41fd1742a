import { formatTimestampFixed, parseTimestamp } from 'tsd-engine/sdk'

const newline = 0x0a
const quote = 0x22
const backslash = 0x5c
const letterN = 0x6e
const letterZ = 0x5a

const prefix = Buffer.from('{"log":"')
const attrsKey = Buffer.from('"attrs":{')

/** ASCII of four characters, as a little endian load sees them. */
const word = (text: string): number => Buffer.from(text, 'latin1').readInt32LE(0)

const [log0, log1] = [word('{"lo'), word('g":"')]
const [stream0, stream1, stream2] = [word('","s'), word('trea'), word('m":"')]
const [stdout0, stdout1] = [word('stdo'), word('ut",')]
const [stderr0, stderr1] = [word('stde'), word('rr",')]
const [time0, time1] = [word('"tim'), word('e":"')]
const streamLength = 20
const quotes = word('""""')
const backslashes = word('\\\\\\\\')

const simpleEscapes = new Map([...'nrtbf"\\/'].map((letter, i) => [letter.charCodeAt(0), '\n\r\t\b\f"\\/'.charCodeAt(i)]))

function hex4(buffer: Buffer, position: number): number {
  let value = 0
  for (let i = 0; i < 4; i++) {
    const c = buffer[position + i] as number
    const digit = c >= 0x30 && c <= 0x39 ? c - 0x30 : (c | 0x20) >= 0x61 && (c | 0x20) <= 0x66 ? (c | 0x20) - 0x57 : -1
    if (digit < 0) return 0xfffd
    value = value * 16 + digit
  }
  return value
}

/** Undoes JSON's escapes in `buffer[from, to)`, writing at `into` (never beyond what was read); answers the end of what was written. */
export function unescapeInPlace(buffer: Buffer, from: number, to: number, into: number): number {
  let o = into
  for (let i = from; i < to; i++) {
    const c = buffer[i] as number
    if (c !== backslash) {
      buffer[o++] = c
      continue
    }
    const e = buffer[++i] as number
    if (e !== 0x75) {
      buffer[o++] = simpleEscapes.get(e) ?? e
      continue
    }
    let code = hex4(buffer, i + 1)
    i += 4
    if (code >= 0xd800 && code < 0xdc00 && buffer[i + 1] === backslash && buffer[i + 2] === 0x75) {
      const low = hex4(buffer, i + 3)
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
        i += 6
      }
    }
    if (code >= 0xd800 && code < 0xe000) code = 0xfffd
    if (code < 0x80) buffer[o++] = code
    else if (code < 0x800) {
      buffer[o++] = 0xc0 | (code >> 6)
      buffer[o++] = 0x80 | (code & 0x3f)
    } else if (code < 0x10000) {
      buffer[o++] = 0xe0 | (code >> 12)
      buffer[o++] = 0x80 | ((code >> 6) & 0x3f)
      buffer[o++] = 0x80 | (code & 0x3f)
    } else {
      buffer[o++] = 0xf0 | (code >> 18)
      buffer[o++] = 0x80 | ((code >> 12) & 0x3f)
      buffer[o++] = 0x80 | ((code >> 6) & 0x3f)
      buffer[o++] = 0x80 | (code & 0x3f)
    }
  }
  return o
}

/** A point in time, to be compared with the digits of a line without making numbers of them. */
export class TimeMark {
  private readonly digits: Buffer

  constructor(time: bigint) {
    this.digits = Buffer.from(formatTimestampFixed(time).slice(0, -1))
  }

  /** Sign of (time of the line - mark). `[start, end)` is a UTC time ending in Z; its fraction may be short or absent. */
  compare(buffer: Buffer, start: number, end: number): number {
    const digits = this.digits
    const length = end - start - 1
    for (let i = 0; i < digits.length; i++) {
      const a = i < length ? (buffer[start + i] as number) : i === 19 ? 0x2e : 0x30
      const d = a - (digits[i] as number)
      if (d !== 0) return d
    }
    return 0
  }
}

/**
 * One line at a time out of a buffer of whole lines, as offsets. The usual line, `{"log":"...\n","stream":"stdout","time":"..."}`,
 * costs one pass over its bytes; anything else that JSON can say goes the slow way.
 */
export class LineParser {
  /** Offsets of the escaped text. */
  logStart = 0
  logEnd = 0
  /** The only escape is the final `\n`. */
  plain = false
  stderr = false
  timeStart = 0
  timeEnd = 0
  attrs: Record<string, string> | undefined
  /** Where the next line begins. */
  next = 0

  /** Attributes are the same for all lines of a container: parsed once. */
  private attrsText = Buffer.alloc(0)
  private attrsValue: Record<string, string> | undefined

  private buffer: Buffer | undefined
  private view: DataView<ArrayBufferLike> = new DataView(new ArrayBuffer(0))

  /** False: not a log line, to be skipped. The buffer ends with a newline. */
  parse(buffer: Buffer, start: number): boolean {
    if (buffer !== this.buffer) {
      this.buffer = buffer
      this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
    }
    if (this.parseQuickly(buffer, start)) return true
    const lineEnd = buffer.indexOf(newline, start)
    this.next = lineEnd < 0 ? buffer.length : lineEnd + 1
    const behind = this.next
    if (this.parseSlowly(buffer, start, behind)) return true
    // A writer that was killed leaves half a line with no newline: the next one begins in the middle. Inside a text the quotes would be escaped.
    const again = buffer.lastIndexOf(prefix, behind - prefix.length)
    if (again > start && this.parseQuickly(buffer, again)) return true
    this.next = behind
    return false
  }

  private parseQuickly(buffer: Buffer, start: number): boolean {
    const view = this.view
    // Behind the text stand at least the stream, the time's key, the shortest time and the end of the line: no load leaves the buffer.
    const end = buffer.length - streamLength - 8 - 23
    if (start + 8 > end || view.getInt32(start, true) !== log0 || view.getInt32(start + 4, true) !== log1) return false
    let i = start + 8
    let escapes = 0
    let escape = 0
    for (;;) {
      // Four bytes at a time: does one of them equal a quote or a backslash?
      while (i <= end) {
        const four = view.getInt32(i, true)
        const q = four ^ quotes
        const b = four ^ backslashes
        if (((((q - 0x01010101) & ~q) | ((b - 0x01010101) & ~b)) & 0x80808080) !== 0) break
        i += 4
      }
      while (i <= end && buffer[i] !== quote && buffer[i] !== backslash) i++
      if (i > end) return false
      if (buffer[i] === quote) break
      escapes++
      escape = i
      i += 2
    }
    this.logStart = start + 8
    this.logEnd = i
    this.plain = escapes === 1 && escape === i - 2 && buffer[escape + 1] === letterN
    return this.parseRest(buffer, i)
  }

  private parseRest(buffer: Buffer, from: number): boolean {
    const view = this.view
    if (view.getInt32(from, true) !== stream0 || view.getInt32(from + 4, true) !== stream1 || view.getInt32(from + 8, true) !== stream2)
      return false
    const source = view.getInt32(from + 12, true)
    const sourceEnd = view.getInt32(from + 16, true)
    if (source === stdout0 && sourceEnd === stdout1) this.stderr = false
    else if (source === stderr0 && sourceEnd === stderr1) this.stderr = true
    else return false
    let i = from + streamLength
    this.attrs = undefined
    if (buffer[i + 1] === 0x61) {
      i = this.attributes(buffer, i)
      if (i < 0) return false
    }
    if (i + 8 + 23 > buffer.length || view.getInt32(i, true) !== time0 || view.getInt32(i + 4, true) !== time1) return false
    const start = i + 8
    let end = start + 30
    // Nine digits of fraction nine times out of ten; Go drops zeros at the end.
    if (buffer[end] !== quote || buffer[end - 1] !== letterZ) {
      end = start + 20
      while (end < start + 30 && buffer[end] !== quote) end++
    }
    this.timeStart = start
    this.timeEnd = end
    this.next = end + 3
    return buffer[end - 1] === letterZ && buffer[end + 1] === 0x7d && buffer[end + 2] === newline
  }

  /** Answers the offset behind `"attrs":{...},` or -1. */
  private attributes(buffer: Buffer, from: number): number {
    const cached = this.attrsText
    const end = buffer.length
    if (cached.length > 0 && from + cached.length < end && buffer.compare(cached, 0, cached.length, from, from + cached.length) === 0) {
      this.attrs = this.attrsValue
      return from + cached.length
    }
    if (!buffer.subarray(from, from + attrsKey.length).equals(attrsKey)) return -1
    let i = from + attrsKey.length
    for (let inside = false; i < end && (inside || buffer[i] !== 0x7d); i++) {
      if (buffer[i] === quote) inside = !inside
      else if (buffer[i] === backslash) i++
    }
    if (buffer[i + 1] !== 0x2c) return -1
    try {
      this.attrsValue = strings(JSON.parse(buffer.toString('utf8', from + attrsKey.length - 1, i + 1)))
    } catch {
      return -1
    }
    this.attrsText = Buffer.from(buffer.subarray(from, i + 2))
    this.attrs = this.attrsValue
    return i + 2
  }

  /**
   * A line in another shape (other spacing, order or time zone): parsed by the book and written back over itself in the usual shape as far as it fits.
   */
  private parseSlowly(buffer: Buffer, start: number, end: number): boolean {
    let log: string, stderr: boolean, time: string, attrs: Record<string, string> | undefined
    try {
      const value = JSON.parse(buffer.toString('utf8', start, end)) as { log?: unknown; stream?: unknown; time?: unknown; attrs?: unknown }
      if (typeof value.time !== 'string') return false
      log = typeof value.log === 'string' ? value.log : ''
      stderr = value.stream === 'stderr'
      attrs = value.attrs === undefined ? undefined : strings(value.attrs)
      time = formatTimestampFixed(parseTimestamp(value.time))
    } catch {
      return false
    }
    const room = end - start - 8 - time.length
    const text = Buffer.from(JSON.stringify(log).slice(1, -1))
    if (room < text.length) return false
    this.logStart = start + 8
    this.logEnd = this.logStart + text.copy(buffer, this.logStart)
    this.plain = false
    this.stderr = stderr
    this.timeStart = this.logEnd
    this.timeEnd = this.timeStart + buffer.write(time, this.timeStart, 'latin1')
    this.attrs = attrs
    return true
  }
}

function strings(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(value as object).filter((pair): pair is [string, string] => typeof pair[1] === 'string'))
}

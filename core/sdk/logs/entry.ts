/** One message of a container, as Docker's protobuf LogEntry has it. */
export interface LogMessage {
  source: 'stdout' | 'stderr'
  /** Nanoseconds since the epoch. */
  nano: bigint
  /** Without its newline. */
  line: Buffer
  /** A piece of a longer line, or a line without an end. */
  partial?: { id: string; ordinal: number; last: boolean }
}

const varintWire = 0
const bytesWire = 2

/** Reads protobuf fields in `data[at, end)`; anything that is not well-formed ends it. */
class Fields {
  field = 0
  number = 0n
  bytes: Buffer = Buffer.alloc(0)

  constructor(
    private readonly data: Buffer,
    private at: number,
    private readonly end: number,
  ) {}

  private varint(): bigint | undefined {
    const { data } = this
    // Nearly all are short, and big integers are slow.
    let small = 0
    for (let shift = 0; shift < 28 && this.at < this.end; shift += 7) {
      const byte = data[this.at++] as number
      small |= (byte & 0x7f) << shift
      if (byte < 0x80) return BigInt(small)
    }
    let value = BigInt(small)
    for (let shift = 28n; shift < 70n && this.at < this.end; shift += 7n) {
      const byte = data[this.at++] as number
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return undefined
  }

  next(): boolean {
    if (this.at >= this.end) return false
    const key = this.varint()
    if (key === undefined) return false
    this.field = Number(key >> 3n)
    const wire = Number(key & 7n)
    const value = this.varint()
    if (value === undefined || (wire !== varintWire && wire !== bytesWire)) return false
    this.number = value
    if (wire === varintWire) return true
    const length = Number(value)
    if (length > this.end - this.at) return false
    this.bytes = this.data.subarray(this.at, this.at + length)
    this.at += length
    return true
  }
}

function partialOf(data: Buffer): NonNullable<LogMessage['partial']> {
  const partial = { id: '', ordinal: 0, last: false }
  const fields = new Fields(data, 0, data.length)
  while (fields.next()) {
    if (fields.field === 1) partial.last = fields.number !== 0n
    else if (fields.field === 2) partial.id = fields.bytes.toString('latin1')
    else if (fields.field === 3) partial.ordinal = Number(fields.number)
  }
  return partial
}

/** Bytes of the line lie in `data`. */
export function decodeEntry(data: Buffer, from: number, to: number): LogMessage {
  const message: LogMessage = { source: 'stdout', nano: 0n, line: data.subarray(from, from) }
  const fields = new Fields(data, from, to)
  while (fields.next()) {
    if (fields.field === 1) message.source = fields.bytes.equals(stderr) ? 'stderr' : 'stdout'
    else if (fields.field === 2) message.nano = BigInt.asIntN(64, fields.number)
    else if (fields.field === 3) message.line = fields.bytes
    else if (fields.field === 5) message.partial = partialOf(fields.bytes)
  }
  return message
}

const stderr = Buffer.from('stderr')

/** The entries of a buffer of whole frames. */
export function decodeFrames(frames: Buffer): LogMessage[] {
  const messages: LogMessage[] = []
  for (let at = 0; at < frames.length;) {
    const length = frames.readUInt32BE(at)
    messages.push(decodeEntry(frames, at + 4, at + 4 + length))
    at += length + 8
  }
  return messages
}

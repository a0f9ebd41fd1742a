export type Packable = string | number | bigint | Buffer | EventTime | Packable[] | { [key: string]: Packable }

/** Fluentd's time with nanoseconds: extension type 0. */
export class EventTime {
  constructor(readonly nano: bigint) {}
}

function head(length: number, fix: [base: number, below: number] | undefined, codes: [number | undefined, number, number]): Buffer {
  if (fix !== undefined && length < fix[1]) return Buffer.from([fix[0] | length])
  const [one, two, four] = codes
  if (one !== undefined && length < 0x100) return Buffer.from([one, length])
  if (length < 0x10000) return Buffer.from([two, length >> 8, length & 255])
  const large = Buffer.alloc(5)
  large[0] = four
  large.writeUInt32BE(length, 1)
  return large
}

function integer(value: bigint): Buffer {
  if (value >= 0n && value < 0x80n) return Buffer.from([Number(value)])
  const out = Buffer.alloc(9)
  out[0] = value < 0n ? 0xd3 : 0xcf
  if (value < 0n) out.writeBigInt64BE(value, 1)
  else out.writeBigUInt64BE(value, 1)
  return out
}

function eventTime({ nano }: EventTime): Buffer {
  const out = Buffer.alloc(10)
  out[0] = 0xd7
  out.writeUInt32BE(Number((nano / 1_000_000_000n) & 0xffff_ffffn), 2)
  out.writeUInt32BE(Number(nano % 1_000_000_000n), 6)
  return out
}

/** As much of MessagePack as the forward protocol needs. Bytes are sent as strings: that is what log lines are to Fluentd. */
export function pack(value: Packable): Buffer {
  if (typeof value === 'string' || Buffer.isBuffer(value)) {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value
    return Buffer.concat([head(bytes.length, [0xa0, 32], [0xd9, 0xda, 0xdb]), bytes])
  }
  if (typeof value === 'number' || typeof value === 'bigint') return integer(BigInt(value))
  if (value instanceof EventTime) return eventTime(value)
  if (Array.isArray(value)) return Buffer.concat([head(value.length, [0x90, 16], [undefined, 0xdc, 0xdd]), ...value.map(pack)])
  const entries = Object.entries(value)
  return Buffer.concat([
    head(entries.length, [0x80, 16], [undefined, 0xde, 0xdf]),
    ...entries.flatMap(([key, item]) => [pack(key), pack(item)]),
  ])
}

/**
 * Reads the answer to a message, `{"ack": id}`: undefined while it is not whole. A map with one short string, and nothing else, is what a
 * receiver may answer.
 */
export function readAck(data: Buffer): string | undefined {
  const lengthOf = (at: number): { length: number; from: number } | undefined => {
    const code = data[at]
    if (code === undefined) return undefined
    if (code >= 0xa0 && code < 0xc0) return { length: code - 0xa0, from: at + 1 }
    if (code !== 0xd9) throw new Error('the answer is not {"ack": id}')
    const length = data[at + 1]
    return length === undefined ? undefined : { length, from: at + 2 }
  }
  if (data.length === 0) return undefined
  if (data[0] !== 0x81) throw new Error('the answer is not {"ack": id}')
  const key = lengthOf(1)
  if (key === undefined || data.length < key.from + key.length) return undefined
  if (data.toString('latin1', key.from, key.from + key.length) !== 'ack') throw new Error('the answer is not {"ack": id}')
  const id = lengthOf(key.from + key.length)
  if (id === undefined || data.length < id.from + id.length) return undefined
  return data.toString('latin1', id.from, id.from + id.length)
}

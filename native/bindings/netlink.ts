/** Netlink's wire format: messages out, attributes in. No system calls here. */

export const NETLINK_ROUTE = 0
export const NETLINK_NETFILTER = 12

export const NLM_F_REQUEST = 0x1
export const NLM_F_MULTI = 0x2
export const NLM_F_ACK = 0x4
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800
export const NLM_F_DUMP = 0x300

export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3

const NLA_F_NESTED = 0x8000
const NLA_TYPE_MASK = 0x3fff

/** Messages one behind the other, as one buffer. Sequence numbers are those of the position, from 1. */
export class MessageWriter {
  #buffer = Buffer.alloc(2048)
  #length = 0
  #start = -1
  /** What each message does, for error texts. */
  readonly names: string[] = []

  /** Before the buffer is written to, never while: it may be another one afterwards. */
  #room(bytes: number): number {
    const at = this.#length
    if (at + bytes > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#buffer.length * 2, at + bytes))
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    this.#length += bytes
    return at
  }

  begin(type: number, flags: number, name: string): this {
    this.end()
    this.#start = this.#room(16)
    this.names.push(name)
    this.#buffer.writeUInt16LE(type, this.#start + 4)
    this.#buffer.writeUInt16LE(flags, this.#start + 6)
    this.#buffer.writeUInt32LE(this.names.length, this.#start + 8)
    return this
  }

  /** Closes the message begun last; begin() and bytes() do so by themselves. */
  end(): this {
    if (this.#start >= 0) this.#buffer.writeUInt32LE(this.#length - this.#start, this.#start)
    this.#start = -1
    return this
  }

  u8(value: number): this {
    const at = this.#room(1)
    this.#buffer.writeUInt8(value, at)
    return this
  }

  u16(value: number): this {
    const at = this.#room(2)
    this.#buffer.writeUInt16LE(value, at)
    return this
  }

  u16be(value: number): this {
    const at = this.#room(2)
    this.#buffer.writeUInt16BE(value, at)
    return this
  }

  u32(value: number): this {
    const at = this.#room(4)
    this.#buffer.writeUInt32LE(value >>> 0, at)
    return this
  }

  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length)
    this.#buffer.set(bytes, at)
    const rest = this.#length & 3
    if (rest) this.#room(4 - rest)
    return this
  }

  attr(type: number, value: Uint8Array): this {
    this.u16(value.length + 4).u16(type)
    return this.raw(value)
  }

  attrU8(type: number, value: number): this {
    return this.u16(5)
      .u16(type)
      .u32(value & 0xff)
  }

  attrU16be(type: number, value: number): this {
    return this.u16(6).u16(type).u16be(value).u16(0)
  }

  /** Answers the offset of the value, so that it can be patched later. */
  attrU32(type: number, value: number): number {
    this.u16(8).u16(type).u32(value)
    return this.#length - 4
  }

  attrU32be(type: number, value: number): this {
    this.u16(8).u16(type)
    const at = this.#room(4)
    this.#buffer.writeUInt32BE(value >>> 0, at)
    return this
  }

  attrU64be(type: number, value: bigint): this {
    this.u16(12).u16(type)
    const at = this.#room(8)
    this.#buffer.writeBigUInt64BE(value, at)
    return this
  }

  /** NUL-terminated text. */
  attrText(type: number, value: string): this {
    return this.attr(type, Buffer.from(`${value}\0`))
  }

  nest(type: number, content: () => void, flagged = true): this {
    const start = this.#room(4)
    content()
    this.#buffer.writeUInt16LE(this.#length - start, start)
    this.#buffer.writeUInt16LE(flagged ? type | NLA_F_NESTED : type, start + 2)
    return this
  }

  get count(): number {
    return this.names.length
  }

  bytes(): Buffer {
    this.end()
    return this.#buffer.subarray(0, this.#length)
  }
}

export interface NetlinkMessage {
  type: number
  flags: number
  sequence: number
  payload: Buffer
}

/** Splits a datagram; what is cut off or lies about its length ends the walk. */
export function* messagesOf(data: Buffer): Generator<NetlinkMessage> {
  let at = 0
  while (at + 16 <= data.length) {
    const length = data.readUInt32LE(at)
    if (length < 16 || at + length > data.length) return
    yield {
      type: data.readUInt16LE(at + 4),
      flags: data.readUInt16LE(at + 6),
      sequence: data.readUInt32LE(at + 8),
      payload: data.subarray(at + 16, at + length),
    }
    at += (length + 3) & ~3
  }
}

/** Attributes by type; the last one of a type wins. */
export function attributesOf(data: Buffer, from = 0): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (const [type, value] of attributeList(data, from)) found.set(type, value)
  return found
}

/** Attributes in order, for lists whose members share a type. */
export function* attributeList(data: Buffer, from = 0): Generator<[number, Buffer]> {
  let at = from
  while (at + 4 <= data.length) {
    const length = data.readUInt16LE(at)
    if (length < 4 || at + length > data.length) return
    yield [data.readUInt16LE(at + 2) & NLA_TYPE_MASK, data.subarray(at + 4, at + length)]
    at += (length + 3) & ~3
  }
}

export function textOf(value: Buffer | undefined): string {
  if (!value) return ''
  const end = value.indexOf(0)
  return value.toString('utf8', 0, end < 0 ? value.length : end)
}

export function u32Of(value: Buffer | undefined): number | undefined {
  return value && value.length >= 4 ? value.readUInt32LE(0) : undefined
}

export function u32beOf(value: Buffer | undefined): number | undefined {
  return value && value.length >= 4 ? value.readUInt32BE(0) : undefined
}

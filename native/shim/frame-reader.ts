import { FRAME_HEADER, FRAME_MAX } from './frames.js'

/** What a peer sent is not the protocol. */
export class ProtocolError extends Error {}

/** Cuts a byte stream into frames. A peer cannot make it hold more than one frame of the largest size. */
export class FrameReader {
  #held: Buffer | undefined

  constructor(private readonly onFrame: (type: number, payload: Buffer) => void) {}

  push(chunk: Buffer): void {
    let data = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = undefined
    while (data.length >= FRAME_HEADER) {
      const length = data.readUInt32LE(0)
      if (length > FRAME_MAX) throw new ProtocolError(`a frame of ${length} bytes exceeds ${FRAME_MAX}`)
      const end = FRAME_HEADER + length
      if (data.length < end) break
      const payload = data.subarray(FRAME_HEADER, end)
      const type = data.readUInt8(4)
      data = data.subarray(end)
      this.onFrame(type, payload)
    }
    if (data.length > 0) this.#held = data
  }
}

/** Reads numbers and strings of one payload, in order. */
export class PayloadReader {
  #at = 0

  constructor(private readonly payload: Buffer) {}

  get left(): number {
    return this.payload.length - this.#at
  }

  u32(): number {
    this.#at += 4
    return this.payload.readUInt32LE(this.#at - 4)
  }

  i32(): number {
    this.#at += 4
    return this.payload.readInt32LE(this.#at - 4)
  }

  u64(): bigint {
    this.#at += 8
    return this.payload.readBigUInt64LE(this.#at - 8)
  }

  string(): string {
    const length = this.u32()
    if (length > this.left) throw new ProtocolError('a string exceeds its frame')
    this.#at += length
    return this.payload.toString('utf8', this.#at - length, this.#at)
  }
}

export function encodeFrame(type: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER + payload.length)
  frame.writeUInt32LE(payload.length, 0)
  frame.writeUInt8(type, 4)
  frame.set(payload, FRAME_HEADER)
  return frame
}

export function u32Payload(...values: number[]): Buffer {
  const payload = Buffer.allocUnsafe(values.length * 4)
  values.forEach((value, index) => payload.writeUInt32LE(value >>> 0, index * 4))
  return payload
}

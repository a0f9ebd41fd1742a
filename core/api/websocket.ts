import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { invalidParameter } from '../sdk/errors.js'
import type { ApiContext } from './services.js'
import { takeOver, type RawConnection } from './take-over.js'
import { upgradeOf } from './upgrade.js'

// RFC 6455 as an attach needs it: bytes out in binary frames, bytes in from frames of any kind of data.

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const maxControl = 125
const normalClosure = Buffer.from([0x03, 0xe8])
const protocolError = Buffer.from([0x03, 0xea])

export function encodeFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload
  const size = length < 126 ? 2 : length < 65536 ? 4 : 10
  const frame = Buffer.allocUnsafe(size + length)
  frame[0] = 0x80 | opcode
  if (size === 2) frame[1] = length
  else if (size === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  frame.set(payload, size)
  return frame
}

export interface FrameHandler {
  /** Of a data frame, in as many pieces as it comes in. */
  data(piece: Buffer): void
  control(opcode: number, payload: Buffer): void
}

/** Reads a client's frames. What breaks the rules is thrown. Holds no more than a header and a control frame. */
export class FrameParser {
  private header = Buffer.alloc(0)
  private left = 0n
  private opcode = 0
  private mask = Buffer.alloc(4)
  private offset = 0
  private control: Buffer[] = []
  private inFrame = false

  constructor(private readonly handler: FrameHandler) {}

  push(chunk: Buffer): void {
    let rest = chunk
    while (rest.length > 0) {
      if (!this.inFrame) rest = this.readHeader(rest)
      if (this.inFrame) rest = this.readPayload(rest)
    }
  }

  private readHeader(chunk: Buffer): Buffer {
    const before = this.header.length
    const all = Buffer.concat([this.header, chunk.subarray(0, 14)])
    const needed = headerSize(all)
    if (all.length < needed) {
      this.header = all
      return chunk.subarray(all.length - before)
    }
    this.open(all.subarray(0, needed))
    this.header = Buffer.alloc(0)
    return chunk.subarray(needed - before)
  }

  private open(header: Buffer): void {
    const [first = 0, second = 0] = header
    this.opcode = first & 0x0f
    if (first & 0x70) throw new Error('reserved bits are set')
    if (!(second & 0x80)) throw new Error('a client must mask its frames')
    const short = second & 0x7f
    this.left = short === 127 ? header.readBigUInt64BE(2) : BigInt(short === 126 ? header.readUInt16BE(2) : short)
    const isControl = this.opcode >= opcodes.close
    if (isControl && (!(first & 0x80) || this.left > BigInt(maxControl))) throw new Error('a control frame must be short and whole')
    if (!isControl && this.opcode > opcodes.binary) throw new Error(`unknown opcode ${this.opcode}`)
    if (this.opcode > opcodes.pong) throw new Error(`unknown opcode ${this.opcode}`)
    this.mask = Buffer.from(header.subarray(header.length - 4))
    this.offset = 0
    this.control = []
    this.inFrame = true
    if (this.left === 0n) this.end()
  }

  private readPayload(chunk: Buffer): Buffer {
    const length = this.left < BigInt(chunk.length) ? Number(this.left) : chunk.length
    const piece = Buffer.from(chunk.subarray(0, length))
    for (let i = 0; i < length; i++) piece[i] = (piece[i] as number) ^ (this.mask[(this.offset + i) & 3] as number)
    this.offset = (this.offset + length) & 3
    this.left -= BigInt(length)
    if (this.opcode >= opcodes.close) this.control.push(piece)
    else if (length > 0) this.handler.data(piece)
    if (this.left === 0n) this.end()
    return chunk.subarray(length)
  }

  private end(): void {
    this.inFrame = false
    if (this.opcode >= opcodes.close) this.handler.control(this.opcode, Buffer.concat(this.control))
  }
}

/** Bytes of a client's frame header, as far as the first two tell; two while they do not. */
function headerSize(bytes: Buffer): number {
  if (bytes.length < 2) return 2
  const short = (bytes[1] as number) & 0x7f
  const masked = (bytes[1] as number) & 0x80 ? 4 : 0
  return 2 + (short === 127 ? 8 : short === 126 ? 2 : 0) + masked
}

/** A plain byte stream over a connection that speaks frames. */
class WebSocketStream extends Duplex {
  private readonly parser: FrameParser
  private closing = false

  constructor(
    private readonly raw: Duplex,
    first: Buffer,
  ) {
    super({ allowHalfOpen: true })
    this.parser = new FrameParser({
      data: (piece) => {
        if (!this.push(piece)) raw.pause()
      },
      control: (opcode, payload) => this.controlled(opcode, payload),
    })
    raw.on('data', (chunk: Buffer) => this.received(chunk))
    raw.on('end', () => this.push(null))
    raw.on('close', () => this.destroy())
    raw.pause()
    if (first.length > 0) this.received(first)
  }

  override _read(): void {
    this.raw.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.closing || this.raw.destroyed) return done()
    this.raw.write(encodeFrame(opcodes.binary, chunk), () => done())
  }

  override _final(done: () => void): void {
    this.close(normalClosure)
    this.raw.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.raw.destroy()
    done(error)
  }

  private received(chunk: Buffer): void {
    if (this.closing) return
    try {
      this.parser.push(chunk)
    } catch {
      this.close(protocolError)
      this.push(null)
    }
  }

  private controlled(opcode: number, payload: Buffer): void {
    if (opcode === opcodes.ping && !this.closing) this.raw.write(encodeFrame(opcodes.pong, payload))
    if (opcode !== opcodes.close) return
    this.close(payload.subarray(0, 2))
    this.push(null)
    this.destroy()
  }

  private close(reason: Uint8Array): void {
    if (this.closing || this.raw.destroyed) return
    this.closing = true
    this.raw.write(encodeFrame(opcodes.close, reason))
  }
}

function keyOf({ headers }: IncomingMessage): string | undefined {
  const key = headers['sec-websocket-key']
  const asked = (headers.upgrade ?? '').toLowerCase() === 'websocket' && headers['sec-websocket-version'] === '13'
  return asked && typeof key === 'string' && /^[A-Za-z0-9+/]{22}==$/.test(key) ? key : undefined
}

/** Refuses what is no WebSocket handshake, while there is still an answer to give. */
export function checkHandshake(ctx: ApiContext): void {
  if (upgradeOf(ctx.req) === undefined || keyOf(ctx.req) === undefined)
    throw invalidParameter('not a WebSocket handshake: send Upgrade: websocket, Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key')
}

/** After `checkHandshake`. */
export function openWebSocket(ctx: ApiContext): RawConnection {
  const accept = createHash('sha1')
    .update((keyOf(ctx.req) ?? '') + magic)
    .digest('base64')
  const { socket, first } = takeOver(ctx, true, [
    ['Connection', 'Upgrade'],
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Accept', accept],
  ])
  return { socket: new WebSocketStream(socket, first), first: Buffer.alloc(0) }
}

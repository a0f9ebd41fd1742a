import test from 'ava'
import fc from 'fast-check'
import { encodeFrame, FrameParser } from './websocket.js'

/** As a client sends it: masked. */
function masked(opcode: number, payload: Buffer, mask: Buffer): Buffer {
  const plain = encodeFrame(opcode, payload)
  const header = Buffer.from(plain.subarray(0, plain.length - payload.length))
  header[1] = (header[1] as number) | 0x80
  return Buffer.concat([header, mask, payload.map((byte, i) => byte ^ (mask[i & 3] as number))])
}

function parse(chunks: Buffer[]): { data: Buffer; controls: [number, string][] } {
  const data: Buffer[] = []
  const controls: [number, string][] = []
  const parser = new FrameParser({
    data: (piece) => data.push(piece),
    control: (opcode, payload) => controls.push([opcode, payload.toString('latin1')]),
  })
  for (const chunk of chunks) parser.push(chunk)
  return { data: Buffer.concat(data), controls }
}

test('payloads come out as they went in, however the bytes are cut', (t) => {
  const payload = fc.uint8Array({ maxLength: 70_000, size: 'max' }).map((bytes) => Buffer.from(bytes))
  const mask = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.array(fc.tuple(payload, mask), { maxLength: 4 }), fc.integer({ min: 1, max: 4000 }), (frames, cut) => {
      const bytes = Buffer.concat(frames.map(([content, key]) => masked(2, content, key)))
      const chunks: Buffer[] = []
      for (let at = 0; at < bytes.length; at += cut) chunks.push(bytes.subarray(at, at + cut))
      return parse(chunks).data.equals(Buffer.concat(frames.map(([content]) => content)))
    }),
    { numRuns: 50 },
  )
  t.pass()
})

test('control frames come between pieces of data', (t) => {
  const mask = Buffer.from([1, 2, 3, 4])
  const frames = [
    masked(1, Buffer.from('a'), mask),
    masked(9, Buffer.from('are you there'), mask),
    masked(0, Buffer.from('b'), mask),
    masked(8, Buffer.alloc(0), mask),
  ]
  const { data, controls } = parse([Buffer.concat(frames)])
  t.is(data.toString(), 'ab')
  t.deepEqual(controls, [
    [9, 'are you there'],
    [8, ''],
  ])
})

test('what breaks the rules is refused', (t) => {
  const mask = Buffer.alloc(4)
  t.throws(() => parse([encodeFrame(2, Buffer.from('x'))]), { message: /mask/ })
  t.throws(() => parse([masked(3, Buffer.from('x'), mask)]), { message: /opcode/ })
  t.throws(() => parse([masked(11, Buffer.from('x'), mask)]), { message: /opcode/ })
  t.throws(() => parse([masked(9, Buffer.alloc(126), mask)]), { message: /control/ })
  const reserved = masked(2, Buffer.from('x'), mask)
  reserved[0] = 0xc2
  t.throws(() => parse([reserved]), { message: /reserved/ })
})

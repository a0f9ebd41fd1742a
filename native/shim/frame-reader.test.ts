import test from 'ava'
import fc from 'fast-check'
import { encodeFrame, FrameReader, PayloadReader, ProtocolError } from './frame-reader.js'
import { FRAME_MAX } from './frames.js'

test('frames come out whole however the stream is cut', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 100 })), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      (frames, cuts) => {
        const stream = Buffer.concat(frames.map(([type, payload]) => encodeFrame(type, payload)))
        const seen: [number, string][] = []
        const reader = new FrameReader((type, payload) => seen.push([type, payload.toString('hex')]))
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length] as number
          reader.push(stream.subarray(at, at + size))
          at += size
        }
        t.deepEqual(
          seen,
          frames.map(([type, payload]) => [type, Buffer.from(payload).toString('hex')]),
        )
      },
    ),
  )
})

test('a peer cannot make the daemon hold more than a frame', (t) => {
  const head = Buffer.alloc(5)
  head.writeUInt32LE(FRAME_MAX + 1, 0)
  t.throws(() => new FrameReader(() => undefined).push(head), { instanceOf: ProtocolError })
  const string = Buffer.alloc(8)
  string.writeUInt32LE(0xffffffff, 0)
  t.throws(() => new PayloadReader(string).string(), { instanceOf: ProtocolError })
})

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { needs } from '../../test/fixtures/root.js'
import { categoryOf } from '../sdk/errors.js'
import { SystemZstd } from './zstd.js'

const zstdTest = needs('zstd')

async function* pieces(data: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size)
}

async function unpacked(data: Buffer, size = 1000): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of new SystemZstd().decompress(pieces(data, size))) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const pack = (data: Buffer, ...args: string[]): Buffer => execFileSync('zstd', ['-q', '-c', ...args], { input: data, maxBuffer: 1 << 28 })

zstdTest('what the zstd program packs comes out again, however it is cut', async (t) => {
  const data = Buffer.concat([randomBytes(300_000), Buffer.alloc(3_000_000, 'layer'), randomBytes(1000)])
  const packed = pack(data)
  for (const size of [61, 4099, 1 << 17, packed.length]) t.true((await unpacked(packed, size)).equals(data), String(size))
  t.true(
    (await unpacked(Buffer.concat([pack(data), pack(Buffer.from('second frame'))]))).equals(
      Buffer.concat([data, Buffer.from('second frame')]),
    ),
  )
  t.is((await unpacked(pack(Buffer.alloc(0)))).length, 0)
  t.true((await unpacked(pack(data, '--ultra', '-22'))).equals(data))
})

zstdTest('truncated, damaged and greedy streams are refused', async (t) => {
  const packed = pack(randomBytes(200_000))
  const damaged = Buffer.from(packed)
  damaged.fill(0xff, 4, 12)
  // A frame that asks for a window of 2 GiB.
  const greedy = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00])
  for (const [data, message] of [
    [packed.subarray(0, 150_000), /truncated zstd data: unexpected end of data/],
    [damaged, /damaged or truncated zstd data/],
    [greedy, /requires too much memory/],
    [Buffer.concat([packed, Buffer.from('trailing rubbish')]), /damaged or truncated zstd data/],
  ] as const) {
    const error = await t.throwsAsync(unpacked(data), { message })
    t.is(categoryOf(error), 'InvalidParameter')
  }
})

test('a consumer that stops early frees the stream', async (t) => {
  const rle = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50, 0x02, 0x00, 0x10, 0x61])
  let seen = 0
  for await (const chunk of new SystemZstd().decompress(pieces(rle, 4))) {
    seen += chunk.length
    break
  }
  t.true(seen > 0)
})

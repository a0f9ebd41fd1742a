import test from 'ava'
import { randomBytes, randomHex } from './random.js'

test('bytes are never given twice, also over the end of what was drawn ahead', (t) => {
  const seen = new Set<string>()
  for (let i = 0; i < 3000; i++) seen.add(randomHex(8))
  t.is(seen.size, 3000)
})

test('what was given stays as it is', (t) => {
  const first = randomBytes(32)
  const copy = Buffer.from(first)
  for (let i = 0; i < 500; i++) randomBytes(32)
  t.deepEqual(first, copy)
})

test('sizes', (t) => {
  t.is(randomBytes(0).length, 0)
  t.is(randomBytes(4096).length, 4096)
  t.is(randomHex(5).length, 10)
  t.throws(() => randomBytes(4097), { instanceOf: RangeError })
})

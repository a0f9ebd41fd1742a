import test from 'ava'
import { isId, randomId, shortId } from './ids.js'

test('ids are 64 hex and differ', (t) => {
  const ids = new Set(Array.from({ length: 200 }, randomId))
  t.is(ids.size, 200)
  for (const id of ids) t.true(isId(id))
  t.is(shortId('sha256:0123456789abcdef'), '0123456789ab')
  t.is(shortId('0123456789abcdef'), '0123456789ab')
})

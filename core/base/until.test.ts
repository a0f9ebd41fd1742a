import test from 'ava'
import { untilTime } from './until.js'

test('until is a duration before now, Unix seconds or a date', (t) => {
  t.is(untilTime('10m', 1_000_000), 400_000)
  t.is(untilTime('1700000000', 0), 1_700_000_000_000)
  t.is(untilTime('1700000000.5', 0), 1_700_000_000_500)
  t.is(untilTime('2024-01-01T00:00:00Z', 0), Date.parse('2024-01-01'))
  t.throws(() => untilTime('soon', 0), { message: /invalid filter 'until=soon'/ })
})

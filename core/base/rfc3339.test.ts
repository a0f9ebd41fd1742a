import test from 'ava'
import fc from 'fast-check'
import { formatTimestamp, formatTimestampFixed, parseTimestamp, parseUnixTime, zeroTime } from './rfc3339.js'

test('keeps nanoseconds and applies offsets', (t) => {
  t.is(parseTimestamp('1970-01-01T00:00:01.000000001Z'), 1_000_000_001n)
  t.is(parseTimestamp('2024-05-01T12:00:00+02:00'), parseTimestamp('2024-05-01T10:00:00Z'))
  t.is(formatTimestamp(1_500_000_000n), '1970-01-01T00:00:01.5Z')
  t.is(formatTimestamp(0n), '1970-01-01T00:00:00Z')
  t.is(formatTimestampFixed(1_500_000_000n), '1970-01-01T00:00:01.500000000Z')
  t.is(formatTimestamp(-1n), '1969-12-31T23:59:59.999999999Z')
  t.is(formatTimestamp(parseTimestamp(zeroTime)), zeroTime)
  t.is(parseUnixTime('1136073600.000000001'), 1136073600000000001n)
})

test('refuses what is no time', (t) => {
  for (const bad of [
    '',
    'now',
    '2024-02-30T00:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01T00:60:00Z',
    '2024-01-01',
    '2024-01-01T00:00:00',
    '2024-01-01T00:00:00+99:00',
  ]) {
    t.throws(() => parseTimestamp(bad), undefined, bad)
  }
  for (const bad of ['', 'x', '1.', '1.2.3', '--1']) t.throws(() => parseUnixTime(bad), undefined, bad)
})

test('round trip', (t) => {
  fc.assert(
    fc.property(fc.bigInt({ min: parseTimestamp(zeroTime), max: parseTimestamp('9999-12-31T23:59:59.999999999Z') }), (time) => {
      t.is(parseTimestamp(formatTimestamp(time)), time)
      t.is(parseTimestamp(formatTimestampFixed(time)), time)
    }),
  )
})

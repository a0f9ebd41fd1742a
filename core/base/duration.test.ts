import test from 'ava'
import fc from 'fast-check'
import { formatDuration, parseDuration, toMilliseconds } from './duration.js'

test('reads Go durations', (t) => {
  for (const [text, value] of [
    ['0', 0n],
    ['1h2m3s', 3723_000_000_000n],
    ['-1.5s', -1_500_000_000n],
    ['300ms', 300_000_000n],
    ['1us', 1000n],
    ['2µs', 2000n],
    ['.5s', 500_000_000n],
    ['1.s', 1_000_000_000n],
    ['+5ns', 5n],
  ] as const) {
    t.is(parseDuration(text), value, text)
  }
  for (const bad of ['', '-', '1', '.s', 's', '1x', '1h 2m', '1e3s', '9999999h', 'constructor', '3toString'])
    t.throws(() => parseDuration(bad), { message: /^time: / }, bad)
  t.is(toMilliseconds(parseDuration('1.5s')), 1500)
})

test('prints Go durations', (t) => {
  for (const [value, text] of [
    [0, '0s'],
    [1, '1ns'],
    [1500, '1.5µs'],
    [2_000_000, '2ms'],
    [61e9, '1m1s'],
    [3600e9, '1h0m0s'],
    [-1.5e9, '-1.5s'],
  ] as const)
    t.is(formatDuration(value), text)
})

test('round trip', (t) => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
      t.is(parseDuration(formatDuration(value)), value)
    }),
  )
})

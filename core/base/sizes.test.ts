import test from 'ava'
import fc from 'fast-check'
import { formatBinarySize, formatDecimalSize, parseBinarySize, parseDecimalSize } from './sizes.js'

test('reads units as Docker does', (t) => {
  for (const [text, size] of [
    ['32', 32],
    ['32b', 32],
    ['32 B', 32],
    ['10m', 10e6],
    ['1.5GB', 1.5e9],
    ['32kib', 32e3],
    ['.5k', 500],
    ['2t', 2e12],
    ['1.K', 1000],
  ] as const) {
    t.is(parseDecimalSize(text), size, text)
  }
  t.is(parseBinarySize('64m'), 64 * 1024 * 1024)
  t.is(parseBinarySize('1.5g'), 1.5 * 1024 ** 3)
  for (const bad of ['', 'm', '-1', '1 2', '1.2.3', ' 1', '0x10', '1e3', '∞'])
    t.throws(() => parseBinarySize(bad), { message: /invalid (size|suffix)/ }, bad)
  for (const bad of ['1x', '1mx', '1ib', '1mbb', '10000p']) t.throws(() => parseBinarySize(bad), { message: /invalid (size|suffix)/ }, bad)
})

test('prints as Docker does', (t) => {
  for (const [size, text] of [
    [0, '0B'],
    [999, '999B'],
    [1000, '1kB'],
    [1234567, '1.235MB'],
    [999999, '1000kB'],
    [5.2e9, '5.2GB'],
    [1e15, '1PB'],
  ] as const) {
    t.is(formatDecimalSize(size), text)
  }
  t.is(formatDecimalSize(1239000, 3), '1.24MB')
  t.is(formatDecimalSize(999999, 3), '1e+03kB')
  t.is(formatBinarySize(1024 * 1024 * 1.5), '1.5MiB')
})

test('what is printed reads back within its precision', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e15 }), (size) => {
      const back = parseDecimalSize(formatDecimalSize(size))
      t.true(Math.abs(back - size) <= size * 0.0006 + 1)
    }),
  )
})

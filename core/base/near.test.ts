import test from 'ava'
import { didYouMean, editDistance, nearNames } from './near.js'

test('counts edits', (t) => {
  t.is(editDistance('overlay', 'overlay'), 0)
  t.is(editDistance('ovrelay', 'overlay'), 1)
  t.is(editDistance('', 'abc'), 3)
  t.is(editDistance('a'.repeat(50), 'b', 8), 9)
})

test('finds what was meant', (t) => {
  const known = ['overlay2', 'vfs', 'btrfs', 'local']
  t.deepEqual(nearNames('overlay', known), ['overlay2'])
  t.deepEqual(nearNames('locla', known), ['local'])
  t.deepEqual(nearNames('zzz', known), [])
  t.is(didYouMean('btfs', known), ' (did you mean "btrfs"?)')
  t.is(didYouMean('q', known), '')
})

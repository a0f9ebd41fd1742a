import test from 'ava'
import { Digester, digestOf, isDigest, parseDigest, verifyDigest } from './digest.js'

const empty = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

test('parses what it makes', (t) => {
  t.is(digestOf(''), empty)
  t.deepEqual(parseDigest(empty), { algorithm: 'sha256', hex: empty.slice(7) })
  t.true(verifyDigest('', empty))
  t.false(verifyDigest('x', empty))
})

test('refuses what is not a digest', (t) => {
  for (const bad of [
    '',
    'sha256:',
    ':abc',
    'sha256',
    empty.toUpperCase(),
    empty + '0',
    empty.slice(0, -1),
    'md5:d41d8cd98f00b204e9800998ecf8427e',
    'constructor:00',
    `sha256:${'g'.repeat(64)}`,
  ]) {
    t.false(isDigest(bad), bad)
  }
  const error = t.throws(() => parseDigest('md5:x')) as Error & { category: string }
  t.is(error.category, 'InvalidParameter')
})

test('digests a stream of chunks', (t) => {
  const digester = new Digester('sha512').update(Buffer.from('ab')).update(Buffer.from('c'))
  t.is(digester.size, 3)
  t.is(digester.digest(), digestOf('abc', 'sha512'))
  t.true(digester.matches(digestOf('abc', 'sha512')))
})

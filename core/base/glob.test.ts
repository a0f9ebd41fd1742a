import test from 'ava'
import fc from 'fast-check'
import { matchesGlob } from './glob.js'

test('patterns match as filepath.Match does', (t) => {
  const yes: [string, string][] = [
    ['abc', 'abc'],
    ['*', 'abc'],
    ['*c', 'abc'],
    ['a*/b', 'a/b'],
    ['a*b?c*x', 'abxbbxdbxebxczzx'],
    ['ab[c]', 'abc'],
    ['ab[b-d]', 'abc'],
    ['ab[^e-g]', 'abc'],
    ['a\\*b', 'a*b'],
    ['[\\]a]', ']'],
    ['[a-]x', '-x'],
    ['', ''],
  ]
  const no: [string, string][] = [
    ['*c', 'abcd'],
    ['a*', 'ab/c'],
    ['a?b', 'a/b'],
    ['ab[e-g]', 'abc'],
    ['ab[^c]', 'abc'],
    ['a\\*b', 'ab'],
    ['[', 'a'],
    ['a[', 'ab'],
    ['x*', ''],
  ]
  for (const [pattern, text] of yes) t.true(matchesGlob(pattern, text), `${pattern} ${text}`)
  for (const [pattern, text] of no) t.false(matchesGlob(pattern, text), `${pattern} ${text}`)
})

test('stars and question marks agree with a regular expression', (t) => {
  const pattern = fc.array(fc.constantFrom('a', 'b', '*', '?', '/'), { maxLength: 8 })
  fc.assert(
    fc.property(pattern, fc.array(fc.constantFrom('a', 'b', '/')), (parts, letters) => {
      const text = letters.join('')
      const expression = parts.map((part) => (part === '*' ? '[^/]*' : part === '?' ? '[^/]' : part)).join('')
      return matchesGlob(parts.join(''), text) === new RegExp(`^${expression}$`).test(text)
    }),
  )
  t.pass()
})

import { execFileSync } from 'node:child_process'
import test from 'ava'
import fc from 'fast-check'
import { expandText, expandWord, expandWords, rawWords } from './words.js'

const variables = new Map([
  ['NAME', 'value'],
  ['EMPTY', ''],
  ['PATHS', '/a/b/c.tar.gz'],
  ['SPACED', 'one two'],
])
const word = (text: string): string => expandWord(text, variables, '\\')

test('variables, defaults and patterns', (t) => {
  const cases: Record<string, string> = {
    $NAME: 'value',
    '${NAME}s': 'values',
    $NAMES: '',
    "'$NAME'": '$NAME',
    '"$NAME"': 'value',
    '\\$NAME': '$NAME',
    '"\\$NAME \\a \\\\"': '$NAME \\a \\',
    '${NONE:-x}': 'x',
    '${EMPTY:-x}': 'x',
    '${EMPTY-x}': '',
    '${NONE-x}': 'x',
    '${NAME:+x}': 'x',
    '${EMPTY:+x}': '',
    '${EMPTY+x}': 'x',
    '${NONE:-${NAME:-y}}': 'value',
    '${PATHS#*/}': 'a/b/c.tar.gz',
    '${PATHS##*/}': 'c.tar.gz',
    '${PATHS%.*}': '/a/b/c.tar',
    '${PATHS%%.*}': '/a/b/c',
    '${PATHS/b/X}': '/a/X/c.tar.gz',
    '${PATHS//\\//-}': '-a-b-c.tar.gz',
    a$: 'a$',
    $: '$',
    'a"b"\'c\'': 'abc',
  }
  for (const [text, expected] of Object.entries(cases)) t.is(word(text), expected, text)
  for (const text of ['${', '${NAME', '"open', "'open", '${NAME!x}', '${}', '${NONE:?}']) t.throws(() => word(text), undefined, text)
  t.throws(() => word('${NONE:?say it}'), { message: /NONE: say it/ })
})

test('words are cut where no quote protects them, after variables', (t) => {
  t.deepEqual(expandWords('80 $SPACED "$SPACED" \'a b\'c', variables, '\\'), ['80', 'one', 'two', 'one two', 'a bc'])
  t.deepEqual(expandWords('$EMPTY ""', variables, '\\'), [''])
  t.deepEqual(rawWords('a="b c" d=e\\ f \'g h\'', '\\'), ['a="b c"', 'd=e\\ f', "'g h'"])
  t.deepEqual(rawWords('C:\\dir `" x', '`'), ['C:\\dir', '`"', 'x'])
})

test('here-documents keep their quotes', (t) => {
  t.is(expandText('a "$NAME" \'${NAME}\' \\$NAME $ ${NONE:-d}\n', variables, '\\'), 'a "value" \'value\' $NAME $ d\n')
})

test('what a shell makes of plain words, we make of them', (t) => {
  const piece = fc.constantFrom(
    'a',
    '$NAME',
    '${EMPTY:-d}',
    '${NONE-e}',
    '"q $NAME"',
    "'s $NAME'",
    '\\$',
    '${PATHS##*/}',
    '${PATHS%.*}',
    '-',
  )
  const env = { ...Object.fromEntries(variables), PATH: process.env['PATH'] ?? '' }
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), (pieces) => {
      const text = pieces.join('')
      // Assignment: no splitting, no file names.
      return word(text) === execFileSync('sh', ['-c', `x=${text}; printf %s "$x"`], { env, encoding: 'utf8' })
    }),
    { numRuns: 60 },
  )
  t.pass()
})

test('no text makes expansion slow or fail in another way than by saying so', (t) => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      try {
        word(text)
        expandText(text, variables, '\\')
      } catch (error) {
        return (error as { category?: string }).category === 'InvalidParameter'
      }
      return true
    }),
  )
  const huge = new Map([['A', 'x'.repeat(1 << 19)]])
  for (const text of ['$A$A$A', '"$A$A$A"', '${B:-$A$A$A}'])
    t.throws(() => expandWord(text, huge, '\\'), { message: /more than 1048576 characters/ })
  t.throws(() => expandText('$A $A $A', huge, '\\'), { message: /more than 1048576 characters/ })
  const long = 'a'.repeat(4000)
  t.is(expandWord(`\${X##${'*a'.repeat(30)}b}`, new Map([['X', long]]), '\\'), long)
})

import test from 'ava'
import { flag, parseFlags, splitCommas } from './flags.js'

const flags = [
  flag('bool', 'i,interactive', ''),
  flag('bool', 't,tty', ''),
  flag('bool', 'rm', ''),
  flag('bool', 'sig-proxy', '', { default: 'true' }),
  flag('list', 'p,publish', ''),
  flag('string', 'name', ''),
  flag('strings', 'alias', ''),
  flag('int', 'memory-swap', '', { default: '-1' }),
]
const parse = (words: string, interspersed = false) => parseFlags(words.split(' ').filter(Boolean), flags, interspersed)

test('short flags join, and take their value in every way', (t) => {
  const { values, args } = parse('-itp80:80 -p=81:81 -p 82 img -x --rm')
  t.true(values.bool('interactive') && values.bool('tty'))
  t.deepEqual(values.list('publish'), ['80:80', '81:81', '82'])
  t.deepEqual(args, ['img', '-x', '--rm'], 'the first argument ends the flags')
})

test('booleans have values, and defaults', (t) => {
  t.true(parse('img').values.bool('sig-proxy'))
  t.false(parse('--sig-proxy=false img').values.bool('sig-proxy'))
  t.false(parse('-t=0 img').values.bool('tty'))
  t.false(parse('--rm --rm=false img').values.bool('rm'), 'the last wins')
})

test('two dashes end the flags; interspersed flags are found behind arguments', (t) => {
  t.deepEqual(parse('-t -- --name x').args, ['--name', 'x'])
  const { values, args } = parse('a --name x b --alias c,d --alias e', true)
  t.deepEqual([args, values.string('name'), values.list('alias')], [['a', 'b'], 'x', ['c', 'd', 'e']])
})

test('a negative number is a value', (t) => t.is(parse('--memory-swap -1 img').values.int('memory-swap'), -1))

for (const [words, message] of [
  ['--nope', 'unknown flag: --nope'],
  ['-tz', "unknown shorthand flag: 'z' in -z"],
  ['--name', 'flag needs an argument: --name'],
  ['-p', "flag needs an argument: 'p' in -p"],
  ['--=x', 'bad flag syntax: --=x'],
  ['--rm=maybe', 'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax'],
  ['--memory-swap x', 'invalid argument "x" for "--memory-swap" flag: strconv.ParseInt: parsing "x": invalid syntax'],
] as const) {
  test(`refused: ${words}`, (t) => void t.throws(() => parse(words), { message }))
}

test('commas, and quotes around them', (t) => {
  t.deepEqual(splitCommas('a,"b,c",d""'), ['a', 'b,c', 'd""'])
  t.deepEqual(splitCommas('"x""y",'), ['x"y', ''])
})

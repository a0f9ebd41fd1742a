import test from 'ava'
import fc from 'fast-check'
import { isTsdError } from '../sdk/errors.js'
import { isPlugin, parseManifest } from './manifest.js'
import { isRange, satisfies } from './version-range.js'

const file = '/x/package.json'
const good = {
  name: '@someone/tsd-thing',
  version: '1.2.3',
  type: 'module',
  tsd: {
    sdk: '^0.1.0',
    kinds: [{ kind: 'volume', name: 'thing', options: { properties: { size: { type: 'string' } } }, timeouts: { init: '10s' } }],
  },
}
const parse = (change: object) => parseManifest(JSON.stringify({ ...good, ...change }), file)

test('reads a manifest', (t) => {
  const manifest = parse({})
  t.is(manifest.name, 'tsd-thing')
  t.is(manifest.isolation, 'in-process')
  t.is(manifest.main, 'index.js')
  t.deepEqual(manifest.requires, [])
  t.deepEqual(manifest.kinds, [
    { kind: 'volume', name: 'thing', options: { type: 'object', properties: { size: { type: 'string' } } }, timeouts: { init: 10_000 } },
  ])
})

test('hostile or mistaken manifests are refused by file and key', (t) => {
  const tsd = good.tsd
  const bad: [object, RegExp][] = [
    [{ tsd: { ...tsd, kind: [] } }, /tsd\.kind is not a known key \(did you mean "kinds"\?\)/],
    [{ tsd: { ...tsd, kinds: [] } }, /tsd\.kinds must have at least 1/],
    [{ tsd: { kinds: [{ kind: 'volum', name: 'x' }] } }, /did you mean "volume"/],
    [{ tsd: { kinds: [{ kind: 'volume', name: '../x' }] } }, /tsd\.kinds\[0\]\.name .* does not match/],
    [{ tsd: { kinds: [{ kind: 'volume', name: 'x', optoins: {} }] } }, /optoins is not a known key/],
    [{ tsd: { kinds: [{ kind: 'volume', name: 'x', options: { type: 'objekt' } }] } }, /options\.type must be among/],
    [{ tsd: { kinds: [{ kind: 'volume', name: 'x', options: { $ref: '#' } }] } }, /not a supported schema keyword/],
    [{ tsd: { kinds: [{ kind: 'volume', name: 'x', timeouts: { init: '10' } }] } }, /missing unit/],
    [{ tsd: { kinds: [{ kind: 'volume', name: 'x', timeouts: { init: '-1s' } }] } }, /must lie between/],
    [
      {
        tsd: {
          kinds: [
            { kind: 'volume', name: 'x' },
            { kind: 'volume', name: 'x' },
          ],
        },
      },
      /provides volume\/x twice/,
    ],
    [{ tsd: { ...tsd, isolation: 'none' } }, /tsd\.isolation must be one of/],
    [{ tsd: { ...tsd, requires: ['ipam'] } }, /expected "kind\/name"/],
    [{ tsd: { ...tsd, sdk: 'latest' } }, /not a version range/],
    [{ tsd: 'graph' }, /tsd must be object/],
    [{ tsd: null }, /tsd must be object/],
    [{ version: '1' }, /version must be a semantic version/],
    [{ version: undefined }, /version must be/],
    [{ name: '..', tsd: { ...tsd } }, /no usable name/],
    [{ main: '../../etc/x.js' }, /leads out of the folder/],
    [{ main: '/etc/x.js' }, /leads out of the folder/],
    [{ main: 'index.ts' }, /must be JavaScript/],
    [{ type: undefined }, /"type": "module"/],
  ]
  for (const [change, message] of bad) {
    const error = t.throws(() => parse(change), { message }, JSON.stringify(change))
    t.true(error?.message.startsWith(`manifest ${file}: `))
    t.true(isTsdError(error))
  }
  for (const text of ['', '[]', 'null', '{"tsd":', '{}', `{"tsd": "${'x'.repeat(300_000)}"}`])
    t.throws(() => parseManifest(text, file), undefined, text.slice(0, 20))
  t.throws(() => parseManifest(JSON.stringify(good).replace('"sdk"', '"__proto__":{"a":1},"sdk"'), file), {
    message: /__proto__ is not a known key/,
  })
})

test('no input makes it throw anything but its own error', (t) => {
  fc.assert(
    fc.property(fc.json(), fc.json(), (a, b) => {
      for (const text of [
        a,
        `{"name":"x","version":"1.0.0","type":"module","tsd":${a}}`,
        `{"name":"x","version":"1.0.0","type":"module","tsd":{"kinds":[{"kind":"log","name":"x","options":${a},"timeouts":${b}}]}}`,
      ]) {
        try {
          parseManifest(text, file)
        } catch (error) {
          t.true(isTsdError(error), String((error as Error).stack))
        }
      }
    }),
    { numRuns: 300 },
  )
})

test('plugins are told from other packages', (t) => {
  t.true(isPlugin('{"tsd":{}}'))
  t.false(isPlugin('{"name":"x"}'))
  t.true(isPlugin('{"tsd":'))
  t.false(isPlugin('[]'))
})

test('version ranges', (t) => {
  const yes: [string, string][] = [
    ['0.1.5', '^0.1.0'],
    ['1.9.0', '^1.2'],
    ['0.0.3', '^0.0.3'],
    ['1.2.9', '~1.2.3'],
    ['2.0.0', '>=1 <3'],
    ['5.0.0', '*'],
    ['1.3.0', '1.x'],
    ['3.0.0', '1 || 3'],
    ['1.2.3', '1.2.3'],
    ['9.0.0', ''],
  ]
  const no: [string, string][] = [
    ['0.2.0', '^0.1.0'],
    ['2.0.0', '^1.2'],
    ['0.0.4', '^0.0.3'],
    ['1.3.0', '~1.2.3'],
    ['3.0.0', '>=1 <3'],
    ['1.2.4', '1.2.3'],
    ['1.0.0', 'nonsense'],
    ['1.2.0', '>1.2'],
  ]
  for (const [version, range] of yes) t.true(satisfies(version, range), `${version} ${range}`)
  for (const [version, range] of no) t.false(satisfies(version, range), `${version} ${range}`)
  t.false(isRange('latest'))
})

import test from 'ava'
import fc from 'fast-check'
import { InvalidInput } from './invalid-input.js'
import { familiarString, formatReference, parseAnyReference, parseReference, withDefaultTag } from './reference.js'

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`

test('normalises as Docker does', (t) => {
  const full: [string, string][] = [
    ['busybox', 'docker.io/library/busybox'],
    ['docker.io/busybox', 'docker.io/library/busybox'],
    ['index.docker.io/busybox:1', 'docker.io/library/busybox:1'],
    ['someone/thing:v1.2', 'docker.io/someone/thing:v1.2'],
    ['localhost/thing', 'localhost/thing'],
    ['localhost:5000/a/b__c--d:t', 'localhost:5000/a/b__c--d:t'],
    ['Upper/thing', 'Upper/thing'],
    ['[2001:db8::1]:5000/x', '[2001:db8::1]:5000/x'],
    [`busybox@${digest}`, `docker.io/library/busybox@${digest}`],
    [`host.tld/x:t@${digest}`, `host.tld/x:t@${digest}`],
  ]
  for (const [text, expected] of full) t.is(formatReference(parseReference(text)), expected, text)
  t.is(familiarString(withDefaultTag(parseReference('docker.io/library/busybox'))), 'busybox:latest')
  t.is(familiarString(parseReference('docker.io/a/b:c')), 'a/b:c')
  t.is(withDefaultTag(parseReference(`x@${digest}`)).tag, undefined)
})

test('refuses in Docker words', (t) => {
  const says = (text: string, pattern: RegExp): void => {
    const error = t.throws(() => parseReference(text), { message: pattern }, text)
    t.true(error instanceof InvalidInput)
  }
  for (const bad of [
    '',
    ':tag',
    '-a',
    'a//b',
    'a/',
    '/a',
    'a:b:c',
    'a___b',
    'a..b',
    'a:',
    'a@',
    'a b',
    'a\n',
    'x@sha256:zz',
    'a:-x',
    `a:${'t'.repeat(129)}`,
    '../a',
    'a/../b',
    'a\0b',
  ]) {
    says(bad, /^invalid reference format/)
  }
  says('Busybox', /repository name \(library\/Busybox\) must be lowercase/)
  says('localhost/A:t', /must be lowercase/)
  says('a'.repeat(64), /cannot specify 64-byte hexadecimal strings/)
  says(`a/${'b'.repeat(256)}`, /must not be more than 255 characters/)
  says(`a@${digest.slice(0, -2)}`, /invalid checksum digest length/)
})

test('ids and references are told apart', (t) => {
  t.deepEqual(parseAnyReference(digest), { id: digest })
  t.deepEqual(parseAnyReference(digest.slice(7)), { id: digest })
  t.true('reference' in parseAnyReference('busybox'))
})

const component = fc.stringMatching(/^[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}$/)
const valid = fc.record({
  domain: fc.option(fc.constantFrom('localhost', 'localhost:5000', 'r.example.com', 'docker.io'), { nil: undefined }),
  path: fc.array(component, { minLength: 1, maxLength: 3 }),
  tag: fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/), { nil: undefined }),
})

test('both forms parse to the same reference', (t) => {
  fc.assert(
    fc.property(valid, ({ domain, path, tag }) => {
      // Docker's short form is ambiguous where an account looks like a host.
      const ambiguous = path.length > 1 && /^localhost$|\./.test(path[0] as string)
      if (ambiguous && (domain === undefined || domain === 'docker.io')) return
      const text = [...(domain === undefined ? [] : [domain]), ...path].join('/') + (tag === undefined ? '' : `:${tag}`)
      const reference = parseReference(text)
      t.deepEqual(parseReference(formatReference(reference)), reference)
      t.deepEqual(parseReference(familiarString(reference)), reference)
    }),
    { numRuns: 300 },
  )
})

test('no text makes it throw anything but its own error', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-zA-Z0-9.:@/_-]{0,40}$/)), (text) => {
      try {
        parseReference(text)
      } catch (error) {
        t.true(error instanceof InvalidInput)
      }
    }),
    { numRuns: 500 },
  )
})

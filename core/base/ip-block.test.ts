import { isIP } from 'node:net'
import test from 'ava'
import fc from 'fast-check'
import { blockAround, blockHolds, blocksOverlap, formatIp, formatIpBlock, parseIp, parseIpBlock } from './ip-block.js'

test('addresses are written in one way', (t) => {
  const cases: [string, string][] = [
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
  ]
  for (const [text, wanted] of cases) {
    const parsed = parseIp(text)
    t.is(parsed && formatIp(parsed), wanted)
  }
})

test('what is no address is none', (t) => {
  for (const text of [
    '',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.256',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    'g::',
    '12345::',
    '::1%eth0',
  ])
    t.is(parseIp(text), undefined, text)
  for (const text of ['10.0.0.0', '10.0.0.0/33', 'fd00::/129', 'fd00::/', 'fd00::/064', '10.0.0.0/8/8', '/8'])
    t.is(parseIpBlock(text), undefined, text)
})

test('blocks hold what lies in them', (t) => {
  const { block, exact } = parseIpBlock('fd00:1::5/64') ?? t.fail()
  t.false(exact)
  t.is(formatIpBlock(block), 'fd00:1::/64')
  const address = (text: string) => parseIp(text) ?? t.fail()
  t.true(blockHolds(block, address('fd00:1::ffff:ffff:ffff:ffff')))
  t.false(blockHolds(block, address('fd00:1:0:1::')))
  t.false(blockHolds(block, address('10.0.0.1')))
  const wide = parseIpBlock('fd00::/16')?.block ?? t.fail()
  t.true(blocksOverlap(wide, block) && blocksOverlap(block, wide))
  t.false(blocksOverlap(parseIpBlock('0.0.0.0/0')?.block ?? t.fail(), block))
})

test('reading and writing are the inverse of each other, and agree with Node', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), (text) => {
      const parsed = parseIp(text)
      if (!parsed) return isIP(text) === 0 || text.includes('%')
      const again = parseIp(formatIp(parsed))
      return isIP(text) === parsed.family && again?.value === parsed.value
    }),
  )
  fc.assert(
    fc.property(fc.ipV6(), fc.integer({ min: 0, max: 128 }), (text, prefix) => {
      const parsed = parseIp(text)
      return !parsed || blockHolds(blockAround(parsed, prefix), parsed)
    }),
  )
  t.pass()
})

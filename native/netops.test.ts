import test from 'ava'
import type { NetOp } from '../core/base/net-op.js'
import { addressBytes, macBytes, parseCidrBytes } from './bindings/inet.js'
import { attributesOf, MessageWriter, messagesOf, textOf, u32beOf, u32Of } from './bindings/netlink.js'
import { keyPart, NftBatch } from './bindings/nft.js'
import { compileNetOps, sandboxIndex, type NetPlanOp } from './netops.js'
import type { Op } from './shim/plan.js'

const veth: NetOp = { op: 'veth', name: 'veth0123456789a', peerName: 'eth0', peerMac: '02:42:ac:11:00:02', mtu: 1400 }
const netlink = (ops: NetPlanOp[], at: number): Op<'netlink'> => {
  const op = ops[at]
  if (op?.op !== 'netlink') throw new Error(`op ${at} is ${op?.op}`)
  return op
}
const bytesOf = (op: Op<'netlink'>): Buffer => Buffer.from(op.messages as Uint8Array)

test('a veth pair is one message, with the place of the pid to come', (t) => {
  const { host } = compileNetOps({ host: [veth], container: [] }, { kind: 'child' })
  t.is(host.length, 1)
  const op = netlink(host, 0)
  const [message] = messagesOf(bytesOf(op))
  const attributes = attributesOf(message?.payload ?? Buffer.alloc(0), 16)
  t.is(textOf(attributes.get(3)), 'veth0123456789a')
  const data = attributesOf(attributesOf(attributes.get(18) ?? Buffer.alloc(0)).get(2) ?? Buffer.alloc(0))
  const peer = data.get(1) ?? Buffer.alloc(0)
  t.is(peer.readInt32LE(4), sandboxIndex('eth0'))
  const inner = attributesOf(peer, 16)
  t.is(textOf(inner.get(3)), 'eth0')
  t.is(u32Of(inner.get(4)), 1400)
  t.deepEqual(inner.get(1), macBytes('02:42:ac:11:00:02'))
  t.is(op.pidAt?.length, 1)
  const patched = bytesOf(op)
  patched.writeUInt32LE(4711, op.pidAt?.[0] ?? 0)
  t.true(patched.includes(Buffer.from([8, 0, 19, 0, 0x67, 0x12, 0, 0])))
})

test('a namespace in a slot is patched by pairs', (t) => {
  const { host } = compileNetOps({ host: [veth, { ...veth, name: 'veth1', peerName: 'eth1' }], container: [] }, { kind: 'slot', slot: 7 })
  const { slotAt, pidAt } = netlink(host, 0)
  t.is(slotAt?.length, 4)
  t.deepEqual([slotAt?.[1], slotAt?.[3]], [7, 7])
  t.is(pidAt, undefined)
})

test('many messages are one op; sysctls and batches stand between in their order', (t) => {
  const batch = new NftBatch('ip', 'tsd')
    .addElements('ports', [{ key: keyPart('inet_service', 80) }])
    .bytes()
    .toString('base64')
  const compiled = compileNetOps(
    {
      host: [veth, { op: 'nft', batch, describe: 'publish 80' }],
      container: [
        { op: 'up', link: 'lo' },
        { op: 'sysctl', key: 'net.ipv6.conf.eth0.disable_ipv6', value: '1' },
        { op: 'up', link: 'lo' },
        { op: 'address', link: 'eth0', address: '172.17.0.2/16' },
        { op: 'up', link: 'eth0' },
        { op: 'route', link: 'eth0', destination: 'default', gateway: '172.17.0.1' },
      ],
    },
    { kind: 'child' },
  )
  t.deepEqual(
    compiled.host.map(({ op }) => op),
    ['netlink', 'netlink'],
  )
  t.deepEqual([netlink(compiled.host, 0).protocol, netlink(compiled.host, 1).protocol], [0, 12])
  t.deepEqual(
    compiled.container.map(({ op }) => op),
    ['netlink', 'write', 'netlink'],
  )
  t.like(compiled.container[1], { path: '/proc/sys/net/ipv6/conf/eth0/disable_ipv6', data: '1', ignore: [2] })
  t.is([...messagesOf(bytesOf(netlink(compiled.container, 2)))].length, 3)
})

test('what cannot be is refused', (t) => {
  const compile =
    (container: NetOp[], host: NetOp[] = []) =>
    () =>
      compileNetOps({ host, container }, { kind: 'child' })
  t.throws(compile([veth]), { message: /host ops/ })
  t.throws(compile([], [{ op: 'move', name: 'no-such-link', newName: 'eth0' }]), { message: /no-such-link/ })
  t.throws(compile([], [{ ...veth, master: 'no-such-br' }]), { message: /no-such-br/ })
  t.throws(compile([{ op: 'sysctl', key: 'net/../../../etc/passwd', value: '' }]), { message: /not a name/ })
  t.throws(compile([{ op: 'address', link: 'eth0', address: '172.17.0.300/16' }]), { message: /not an IP address/ })
})

test('links have numbers of their own inside', (t) => {
  const names = ['eth0', 'eth1', 'eth10', 'wan0', 'wan1', 'net', 'a']
  t.is(new Set(names.map(sandboxIndex)).size, names.length)
  t.true(names.every((name) => sandboxIndex(name) > 1 && sandboxIndex(name) < 0x7fffffff))
})

test('addresses', (t) => {
  t.deepEqual([...addressBytes('10.0.0.255')], [10, 0, 0, 255])
  t.is(addressBytes('fd00::1').toString('hex'), 'fd000000000000000000000000000001')
  t.is(addressBytes('::ffff:1.2.3.4').toString('hex'), '00000000000000000000ffff01020304')
  t.is(parseCidrBytes('10.1.2.3/8').prefix, 8)
  t.is(parseCidrBytes('::1').prefix, 128)
  for (const bad of ['', '1.2.3', '1.2.3.4/33', '01.2.3.4', '1::2::3', 'fd00::1/129', '1.2.3.4/', ':::'])
    t.throws(() => parseCidrBytes(bad), undefined, bad)
})

test('a dump that lies about its lengths ends', (t) => {
  const data = Buffer.alloc(40, 0xff)
  t.deepEqual([...messagesOf(data)], [])
  t.is(attributesOf(data).size, 0)
  t.is(attributesOf(Buffer.from([3, 0, 1, 0])).size, 0)
})

test('a message writer grows at any length', (t) => {
  for (let filler = 1960; filler < 2060; filler++) {
    const w = new MessageWriter().begin(16, 1, 'one')
    w.attr(1, Buffer.alloc(filler, 1)).attrU32be(2, 7)
    w.attrU32(3, 8)
    w.attrU16be(4, 9).attrU8(5, 10).attrU64be(6, 11n).attrText(7, 'text')
    w.nest(8, () => w.u8(1).u8(2).u16be(3))
    w.begin(17, 1, 'two')
      .u32(12)
      .raw(Buffer.from([1, 2, 3]))
    const [first, second] = messagesOf(w.bytes())
    const attributes = attributesOf(first?.payload ?? Buffer.alloc(0))
    t.is(attributes.get(1)?.length, filler)
    t.is(u32beOf(attributes.get(2)), 7)
    t.is(u32Of(attributes.get(3)), 8)
    t.is(attributes.get(6)?.readBigUInt64BE(0), 11n)
    t.is(textOf(attributes.get(7)), 'text')
    t.deepEqual(attributes.get(8), Buffer.from([1, 2, 0, 3]))
    t.is(second?.payload.readUInt32LE(0), 12)
  }
})

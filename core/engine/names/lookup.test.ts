import test from 'ava'
import fc from 'fast-check'
import { Directory } from '../networks/directory.js'
import type { Endpoint, NetworkMember } from '../networks/index.js'
import { findAddress, findName, reversedAddress } from './lookup.js'

function member(
  network: string,
  name: string,
  index: number,
  more: { names?: string[]; links?: string[]; v6?: boolean } = {},
): NetworkMember {
  const endpoint = {
    endpointId: `${network}-${name}`,
    networkId: `id-${network}`,
    networkName: network,
    settings: {
      DNSNames: [name, ...(more.names ?? [])],
      Links: more.links ?? null,
      IPAddress: `10.0.0.${index}`,
      GlobalIPv6Address: more.v6 ? `fd00::${index}` : '',
    },
  } as unknown as Endpoint
  return { containerId: `c-${name}`, containerName: name, endpoint }
}

function world(...members: NetworkMember[]): Directory {
  const directory = new Directory()
  for (const one of members) directory.add(one)
  return directory
}

test('names with dots, names with a network, and networks with dots', (t) => {
  const web = member('net.dot', 'web.app', 2)
  const me = member('net.dot', 'me', 3)
  const directory = world(web, me)
  const own = [me.endpoint]
  for (const name of ['web.app', 'WEB.app.', 'web.app.net.dot', 'Web.App.NET.dot.']) {
    t.deepEqual(findName(directory, own, name, 4), { known: true, addresses: ['10.0.0.2'] }, name)
  }
  for (const name of ['', '.', 'web', 'web.app.dot', 'web.app.net', 'app']) t.false(findName(directory, own, name, 4).known, name)
})

test('a name without an address of the family is known all the same', (t) => {
  const directory = world(member('n', 'four', 2), member('n', 'both', 3, { v6: true }))
  const own = [member('n', 'me', 4).endpoint]
  t.deepEqual(findName(directory, own, 'four', 6), { known: true, addresses: [] })
  t.deepEqual(findName(directory, own, 'both', 6), { known: true, addresses: ['fd00::3'] })
})

test('the first network that has the name answers; links go before names', (t) => {
  const a = member('a', 'same', 1)
  const b = member('b', 'same', 2)
  const target = member('b', 'target', 3)
  const directory = world(a, b, target)
  const onA = member('a', 'me', 8)
  const onB = member('b', 'me', 9, { links: ['/target:same', 'target'] })
  t.deepEqual(findName(directory, [onA.endpoint], 'same', 4).addresses, ['10.0.0.1'])
  t.deepEqual(findName(directory, [onA.endpoint, onB.endpoint], 'same', 4).addresses, ['10.0.0.3'])
  t.deepEqual(findName(directory, [onB.endpoint], 'target', 4).addresses, ['10.0.0.3'])
  t.deepEqual(findName(directory, [onA.endpoint, onB.endpoint], 'same.a', 4).addresses, ['10.0.0.1'])
})

test('who leaves is not found any more, and nobody else is lost', (t) => {
  const one = member('n', 'one', 2, { names: ['pool'] })
  const two = member('n', 'two', 3, { names: ['pool'], v6: true })
  const directory = world(one, two)
  directory.remove('id-n', 'n-one')
  directory.remove('id-n', 'n-one')
  directory.remove('id-elsewhere', 'n-two')
  t.deepEqual(findName(directory, [two.endpoint], 'pool', 4).addresses, ['10.0.0.3'])
  t.is(findAddress(directory, [two.endpoint], '10.0.0.2'), undefined)
  t.is(findAddress(directory, [two.endpoint], '10.0.0.3'), 'two.n')
  t.is(findAddress(directory, [two.endpoint], 'fd00:0000:0000:0000:0000:0000:0000:0003'), 'two.n')
  directory.remove('id-n', 'n-two')
  t.is(findAddress(directory, [two.endpoint], '10.0.0.3'), undefined)
})

test('reversed names are read as the addresses that they are', (t) => {
  t.is(reversedAddress('4.3.2.10.in-addr.arpa.'), '10.2.3.4')
  t.is(reversedAddress(`${'1.0.0.0.'.repeat(7)}1.0.0.0.IP6.ARPA`), '0001:0001:0001:0001:0001:0001:0001:0001')
  for (const name of [
    '3.2.1.in-addr.arpa',
    '256.1.1.1.in-addr.arpa',
    '01.1.1.1.in-addr.arpa',
    '1.ip6.arpa',
    'x.1.1.1.in-addr.arpa',
    'arpa',
  ])
    t.is(reversedAddress(name), undefined, name)
})

test('no name makes the search fail', (t) => {
  const directory = world(member('n', 'web', 2))
  const own = [member('n', 'me', 4, { links: ['', ':', 'a:', ':b', '/'] }).endpoint]
  fc.assert(
    fc.property(fc.string(), (name) => {
      const { known } = findName(directory, own, name, 4)
      reversedAddress(name)
      return known === /^web(\.n)?\.?$/i.test(name)
    }),
  )
  t.pass()
})

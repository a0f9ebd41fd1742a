import test from 'ava'
import { outside, ownResolvConf, resolvConf } from './resolv-conf.js'

const none = { servers: [], search: [], options: [] }
const host = 'nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch a.example b.example\noptions edns0\n# nameserver 9.9.9.9\n'

test('a container without names of its own gets the servers that it can reach', (t) => {
  t.is(resolvConf(host, none, true), 'nameserver 192.0.2.1\nsearch a.example b.example\noptions edns0\n')
  t.is(resolvConf('nameserver 127.0.0.1\n', none, true), 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n')
  t.is(resolvConf(host, none, false).split('\n')[0], 'nameserver 127.0.0.53')
  t.is(resolvConf(host, { ...none, servers: ['127.0.0.1'], search: ['.'] }, true), 'nameserver 127.0.0.1\noptions edns0\n')
})

test('one with names asks the engine, and single labels at once', (t) => {
  t.is(ownResolvConf(host, none), 'nameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 ndots:0\n')
  t.is(
    ownResolvConf(host, { ...none, options: ['ndots:2'], search: ['c.example'] }),
    'nameserver 127.0.0.11\nsearch c.example\noptions ndots:2\n',
  )
})

test('the engine asks on: loopback servers of the host from the host, those of the user from the container', (t) => {
  t.deepEqual(outside(host, none), {
    upstream: [
      { address: '127.0.0.53', fromHost: true },
      { address: '192.0.2.1', fromHost: false },
    ],
    keepSingleLabels: false,
  })
  t.deepEqual(outside(host, { ...none, servers: ['127.0.0.1'], options: ['ndots:1'] }), {
    upstream: [{ address: '127.0.0.1', fromHost: false }],
    keepSingleLabels: true,
  })
  t.deepEqual(
    outside('', none).upstream.map(({ address }) => address),
    ['8.8.8.8', '8.8.4.4'],
  )
  t.deepEqual(outside('nameserver fe80::1%eth0\nnameserver nonsense\nnameserver ::1\n', none).upstream, [
    { address: '::1', fromHost: true },
  ])
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { address, inspect } from '../fixtures/reach.js'
import { addressesOf, ask, inNetworkOf, nameServer } from '../fixtures/names.js'
import { daemonSuite } from '../fixtures/suite.js'

// Nobody answers there: names that no network knows fail at once.
const daemonTest = daemonSuite({ config: { dns: ['127.0.0.1'] } })
const idle = ['busybox', 'sleep', '1000']

daemonTest('containers of a network find each other by name, alias, short id and hostname, and nobody of another network', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.61.0.0/24', 'one.net')
  await d.ok('network', 'create', '--subnet', '10.62.0.0/24', 'two')
  const id = await d.ok('run', '-d', '--name', 'Web', '--hostname', 'box', '--network', 'one.net', '--network-alias', 'www', ...idle)
  await d.ok('run', '-d', '--name', 'me', '--network', 'one.net', ...idle)
  await d.ok('run', '-d', '--name', 'other', '--network', 'two', '--network-alias', 'hidden', ...idle)
  const web = await address(d, 'Web', 'one.net')
  const names = ['Web', 'web', 'WEB.', 'www', id.slice(0, 12), 'box', 'web.one.net', 'www.one.net.']
  t.deepEqual(
    await addressesOf(d, 'me', ...names),
    names.map(() => web),
  )
  t.deepEqual(await addressesOf(d, 'me', 'me'), [await address(d, 'me', 'one.net')])
  // The client of the container itself, with its resolv.conf.
  t.regex(await d.ok('exec', 'me', 'nslookup', 'www'), new RegExp(`Address: ${web}`))
  t.regex(await d.ok('exec', 'me', 'ping', '-c', '1', '-W', '2', 'web'), /1 packets received/)
  t.is(await d.ok('exec', 'me', 'cat', '/etc/resolv.conf').then((text) => text.split('\n')[0]), 'nameserver 127.0.0.11')
  const { NetworkSettings } = await inspect(d, 'Web')
  t.deepEqual((NetworkSettings.Networks['one.net'] as unknown as { DNSNames: string[] }).DNSNames, ['Web', 'www', id.slice(0, 12), 'box'])

  const [v6, mail, reverse, reverseTcp, tcp] = await ask(
    d,
    'me',
    { name: 'web', type: 'AAAA' },
    { name: 'web', type: 'MX' },
    { name: `${web.split('.').reverse().join('.')}.in-addr.arpa`, type: 'PTR' },
    { name: `${web.split('.').reverse().join('.')}.in-addr.arpa`, type: 'PTR', tcp: true },
    { name: 'www', tcp: true },
  )
  for (const empty of [v6, mail]) t.like(empty, { rcode: 'NOERROR', data: [], id: 4711 })
  t.deepEqual(reverse?.data, ['Web.one.net'])
  t.deepEqual(reverseTcp?.data, ['Web.one.net'])
  t.deepEqual(tcp?.data, [web])

  // A container in both networks is found in both, and finds all.
  await d.ok('network', 'connect', '--alias', 'bridge-head', 'two', 'me')
  t.deepEqual(await addressesOf(d, 'me', 'hidden', 'other.two', 'web'), [
    await address(d, 'other', 'two'),
    await address(d, 'other', 'two'),
    web,
  ])
  t.deepEqual(await addressesOf(d, 'other', 'me', 'bridge-head'), [await address(d, 'me', 'two'), await address(d, 'me', 'two')])
  await d.ok('network', 'disconnect', 'two', 'me')
  t.notDeepEqual(await addressesOf(d, 'me', 'hidden'), [await address(d, 'other', 'two')])

  await d.ok('rename', 'Web', 'renamed')
  t.deepEqual(await addressesOf(d, 'me', 'renamed', 'www'), [web, web])
  t.notDeepEqual(await addressesOf(d, 'me', 'web'), [web])
  await d.ok('rm', '-f', 'renamed')
  t.notDeepEqual(await addressesOf(d, 'me', 'www'), [web])
  await d.ok('rm', '-f', 'me', 'other')
  await d.ok('network', 'rm', 'one.net', 'two')
})

daemonTest('an alias that several share leads to each of them in turn', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.64.0.0/24', 'rr')
  const names = ['r1', 'r2', 'r3']
  for (const name of names) await d.ok('run', '-d', '--name', name, '--network', 'rr', '--network-alias', 'pool', ...idle)
  const all = (await Promise.all(names.map((name) => address(d, name, 'rr')))).sort()
  const answers = await ask(d, 'r1', ...Array.from({ length: 60 }, () => 'pool'))
  for (const { data } of answers) t.deepEqual([...data].sort(), all)
  t.deepEqual([...new Set(answers.map(({ data }) => data[0]))].sort(), all)
  await d.ok('stop', '-t', '0', 'r2')
  const [left] = await ask(d, 'r1', 'pool')
  t.is(left?.data.length, 2)
  await d.ok('rm', '-f', ...names)
  await d.ok('network', 'rm', 'rr')
})

daemonTest('a link is a name that one container alone has for another', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.66.0.0/24', 'ln')
  await d.ok('run', '-d', '--name', 'db', '--network', 'ln', ...idle)
  await d.ok('run', '-d', '--name', 'linked', '--network', 'ln', '--link', 'db:database', ...idle)
  await d.ok('run', '-d', '--name', 'plain', '--network', 'ln', ...idle)
  const db = await address(d, 'db', 'ln')
  t.deepEqual(await addressesOf(d, 'linked', 'database', 'db', 'database.ln'), [db, db, db])
  t.notDeepEqual(await addressesOf(d, 'plain', 'database'), [db])
  await d.ok('network', 'create', '--subnet', '10.67.0.0/24', 'ln2')
  await d.ok('network', 'connect', 'ln2', 'db')
  await d.ok('network', 'connect', '--link', 'db:second', 'ln2', 'plain')
  t.deepEqual(await addressesOf(d, 'plain', 'second'), [await address(d, 'db', 'ln2')])
  const legacy = await d.docker('run', '--rm', '--link', 'db', 'busybox', 'true')
  t.regex(legacy.stderr, /HostConfig\.Links is not supported on the default network: put the containers on one user-defined network/)
  const bad = await d.docker('run', '--rm', '--network', 'ln', '--link', 'a:b:c', 'busybox', 'true')
  t.not(bad.code, 0)
  await d.ok('rm', '-f', 'db', 'linked', 'plain')
  await d.ok('network', 'rm', 'ln', 'ln2')
})

daemonTest('what no network knows is asked of the servers outside, by the same transport and type', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.68.0.0/24', '--gateway', '10.68.0.1', 'up')
  await d.ok('network', 'create', '--subnet', '10.69.0.0/24', '--internal', 'shut')
  const stop = [await nameServer(d, '10.68.0.1', 'good')]
  try {
    await d.host('ip', 'addr', 'add', '10.68.0.3/32', 'dev', 'lo')
    stop.push(await nameServer(d, '10.68.0.3', 'broken'))
    const servers = ['--dns', '10.68.0.99', '--dns', '10.68.0.3', '--dns', '10.68.0.1']
    await d.ok('run', '-d', '--name', 'asker', '--network', 'up', '--ip', '10.68.0.50', '--dns', '10.68.0.1', ...idle)
    const [a, aaaa, srv, mx, reverse, who, nothing, forged] = await ask(
      d,
      'asker',
      'example.test',
      { name: 'example.test', type: 'AAAA' },
      { name: '_http._tcp.example.test', type: 'SRV' },
      { name: 'example.test', type: 'MX' },
      { name: '1.2.0.192.in-addr.arpa', type: 'PTR' },
      { name: 'who.test', type: 'TXT' },
      'nosuch.test',
      'forged.test',
    )
    t.like(a, { rcode: 'NOERROR', data: ['192.0.2.1'], id: 4711 })
    t.deepEqual(aaaa?.data, ['2001:db8::1'])
    t.regex(srv?.data[0] ?? '', /"port":80.*example\.test/)
    t.regex(mx?.data[0] ?? '', /mail\.example\.test/)
    t.deepEqual(reverse?.data, ['example.test'])
    // Asked from the container's own network, not from the host's.
    t.deepEqual(who?.data, ['good was asked by 10.68.0.50'])
    t.is(nothing?.rcode, 'NXDOMAIN')
    t.deepEqual(forged?.data, ['192.0.2.1'])

    const [cut, whole, narrow, wide] = await ask(
      d,
      'asker',
      { name: 'big.test', type: 'TXT' },
      { name: 'big.test', type: 'TXT', tcp: true },
      { name: 'wide.test', type: 'TXT' },
      { name: 'wide.test', type: 'TXT', edns: 4096 },
    )
    t.true(cut?.truncated)
    t.is(whole?.data[0]?.length, 4000)
    t.like(narrow, { truncated: true, data: [] })
    t.true((narrow?.size ?? 0) <= 512)
    t.is(wide?.data[0]?.length, 1000)

    // A server that is not there and one that fails come before the good one.
    await d.ok('run', '-d', '--name', 'third', '--network', 'up', ...servers, ...idle)
    t.deepEqual(await addressesOf(d, 'third', 'example.test'), ['192.0.2.1'])
    await d.ok('run', '-d', '--name', 'failing', '--network', 'up', '--dns', '10.68.0.3', ...idle)
    t.deepEqual(await addressesOf(d, 'failing', 'example.test'), ['SERVFAIL'])

    // With ndots of its own, the client adds a domain before a name is asked for outside.
    await d.ok(
      ...['run', '-d', '--name', 'dots', '--network', 'up', '--dns', '10.68.0.1', '--dns-option', 'ndots:2'],
      ...['--dns-search', 'example.test', ...idle],
    )
    t.is(await d.ok('exec', 'dots', 'cat', '/etc/resolv.conf'), 'nameserver 127.0.0.11\nsearch example.test\noptions ndots:2')
    t.deepEqual(await addressesOf(d, 'dots', 'single'), ['NOERROR'])
    t.deepEqual(await addressesOf(d, 'asker', 'single'), ['NXDOMAIN'])

    // An internal network leads nowhere, with its own names.
    await d.ok('run', '-d', '--name', 'inner', '--network', 'shut', '--dns', '10.68.0.1', ...idle)
    t.deepEqual(await addressesOf(d, 'inner', 'inner', 'example.test'), [await address(d, 'inner', 'shut'), 'SERVFAIL'])
    await d.ok('network', 'connect', 'up', 'inner')
    t.deepEqual(await addressesOf(d, 'inner', 'example.test'), ['192.0.2.1'])
  } finally {
    for (const end of stop) end()
  }
  await d.ok('rm', '-f', 'asker', 'third', 'failing', 'dots', 'inner')
  await d.ok('network', 'rm', 'up', 'shut')
})

daemonTest('a container on the default network has no such server until it joins another one', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.70.0.0/24', 'late')
  await d.ok('run', '-d', '--name', 'peer', '--network', 'late', ...idle)
  await d.ok('run', '-d', '--name', 'plain', ...idle)
  await d.ok('run', '-d', '--name', 'edited', ...idle)
  t.false((await d.ok('exec', 'plain', 'cat', '/etc/resolv.conf')).includes('127.0.0.11'))
  await d.ok('exec', 'edited', 'sh', '-c', 'echo nameserver 192.0.2.53 > /etc/resolv.conf')
  for (const name of ['plain', 'edited']) await d.ok('network', 'connect', 'late', name)
  const peer = await address(d, 'peer', 'late')
  t.regex(await d.ok('exec', 'plain', 'nslookup', 'peer'), new RegExp(`Address: ${peer}`))
  t.deepEqual(await addressesOf(d, 'peer', 'plain'), [await address(d, 'plain', 'late')])
  // What a container wrote is its own.
  t.is(await d.ok('exec', 'edited', 'cat', '/etc/resolv.conf'), 'nameserver 192.0.2.53')
  t.deepEqual(await addressesOf(d, 'edited', 'peer'), [peer])
  // Who shares a network shares its names.
  t.regex(await d.ok('run', '--rm', '--network', 'container:peer', 'busybox', 'nslookup', 'plain'), /Address: 10\.70\.0\./)
  await d.ok('rm', '-f', 'peer', 'plain', 'edited')
  await d.ok('network', 'rm', 'late')
})

daemonTest('names are there with the first instruction of a process', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.72.0.0/24', 'early')
  await d.ok('run', '-d', '--name', 'target', '--network', 'early', ...idle)
  const target = await address(d, 'target', 'early')
  for (let i = 0; i < 8; i++) {
    t.regex(await d.ok('run', '--rm', '--network', 'early', 'busybox', 'nslookup', 'target'), new RegExp(`Address: ${target}`))
  }
  // An exec driver that needs each step on its own.
  t.regex(
    await d.ok('run', '--rm', '--runtime', 'runc', '--network', 'early', 'busybox', 'nslookup', 'target'),
    new RegExp(`Address: ${target}`),
  )
  // Port 53 is the container's, and a program that does not exist is still told of.
  t.is(
    await d.ok('run', '--rm', '--network', 'early', 'busybox', 'sh', '-c', 'nc -l -p 53 & sleep 0.2; netstat -lnt | grep -c ":53 "'),
    '1',
  )
  t.is((await d.docker('run', '--rm', '--network', 'early', 'busybox', 'nosuchprogram')).code, 127)
  await d.ok('rm', '-f', 'target')
  await d.ok('network', 'rm', 'early')
})

daemonTest('names are back within a second of the next daemon, also when their ports were taken meanwhile', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.74.0.0/24', 'live')
  await d.ok('run', '-d', '--name', 'l1', '--network', 'live', ...idle)
  await d.ok('run', '-d', '--name', 'l2', '--network', 'live', '--network-alias', 'second', ...idle)
  const second = await address(d, 'l2', 'live')
  await d.killAndRestart()
  t.deepEqual(await addressesOf(d, 'l1', 'second', 'l2'), [second, second])

  const listening = async (): Promise<string[]> =>
    [...(await d.ok('exec', 'l1', 'netstat', '-lnut')).matchAll(/127\.0\.0\.11:(\d+)/g)].map(([, port = '']) => port)
  const before = await listening()
  t.is(before.length, 2)
  const pid = await d.ok('inspect', '-f', '{{.State.Pid}}', 'l1')
  await d.signal('SIGKILL')
  // A program of the container takes what has become free.
  const take = before.map(
    (port) => `net.createServer().listen(${port}, '127.0.0.11'); dgram.createSocket('udp4').bind(${port}, '127.0.0.11');`,
  )
  const taker = spawn('nsenter', [`--net=/proc/${pid}/ns/net`, process.execPath, '-e', `${take.join('')} console.log('taken')`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(taker.stdout, 'data')
    await d.boot()
    t.deepEqual(await addressesOf(d, 'l1', 'second'), [second])
  } finally {
    taker.kill('SIGKILL')
  }
  // The ports that took their place are known to the daemon after that.
  await d.killAndRestart()
  t.deepEqual(await addressesOf(d, 'l1', 'second'), [second])
  await d.ok('rm', '-f', 'l1', 'l2')
  await d.ok('network', 'rm', 'live')
})

daemonTest('garbage is refused or dropped, and leaves the server alive and without open files', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.76.0.0/24', 'rough')
  const files = (): number => fs.readdirSync(`/proc/${d.pid}/fd`).length
  const before = files()
  await d.ok('run', '-d', '--name', 'rude', '--network', 'rough', ...idle)
  const header = (flags: string, count: string): string => `1234${flags}${count}000000000000`
  const answers = await ask(
    d,
    'rude',
    { raw: header('0100', '0000') },
    { raw: header('0100', '0002') },
    { raw: header('0100', '0001') + 'c00c00010001' },
    { raw: header('0100', '0001') + '3f41' },
    { raw: header('2800', '0001') + '000006' + '0001' },
  )
  t.deepEqual(
    answers.map(({ rcode }) => rcode),
    ['FORMERR', 'FORMERR', 'FORMERR', 'FORMERR', 'NOTIMP'],
  )
  const flood = `
    const u = require('dgram').createSocket('udp4'), net = require('net');
    let n = 0;
    for (let i = 0; i < 2000; i++) u.send(require('crypto').randomBytes(i % 600), 53, '127.0.0.11', () => { if (++n === 2000) u.close() });
    for (let i = 0; i < 100; i++) { const s = net.connect(53, '127.0.0.11', () => { s.write(Buffer.from([0xff, 0xff, 1, 2])) }); s.on('error', () => {}); s.unref() }
    setTimeout(() => process.exit(0), 1500)`
  t.is((await inNetworkOf(d, 'rude', process.execPath, '-e', flood)).code, 0)
  t.deepEqual(await addressesOf(d, 'rude', 'rude'), [await address(d, 'rude', 'rough')])
  await d.ok('rm', '-f', 'rude')
  for (let i = 0; i < 50 && files() > before; i++) await sleep(50)
  t.true(files() <= before, `${files()} open files, ${before} before`)
  await d.ok('network', 'rm', 'rough')
})

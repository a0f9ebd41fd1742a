import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { addressesOf, ask, inNetworkOf } from '../fixtures/names.js'
import { fails, fetchFromHost, web } from '../fixtures/reach.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite({ config: { dns: ['127.0.0.1'] } })

interface Settings {
  IPAddress: string
  IPv6Gateway: string
  GlobalIPv6Address: string
  GlobalIPv6PrefixLen: number
}

type Daemon = Parameters<Parameters<typeof daemonTest>[1]>[1]

const settingsOf = async (d: Daemon, name: string, network: string): Promise<Settings> =>
  JSON.parse(await d.ok('inspect', '-f', `{{json (index .NetworkSettings.Networks "${network}")}}`, name)) as Settings

/** Answers every request on port 80 of both families with its name. */
const dualWeb = (name: string): string[] => ['busybox', 'sh', '-c', `echo ${name} > /tmp/index.html; exec httpd -f -p '[::]:80' -h /tmp`]

daemonTest('a dual stack network gives addresses, gateways, names and published ports of both families', async (t, d) => {
  t.true(existsSync('/proc/net/if_inet6'), 'these tests need a kernel with IPv6')
  await d.ok('network', 'create', '--ipv6', '--subnet', '10.91.0.0/24', '--subnet', 'fd00:91::/64', '--gateway', 'fd00:91::fe', 'dual')
  const network = (await d.api('GET', '/networks/dual')).json<{ EnableIPv6: boolean; IPAM: { Config: unknown } }>()
  t.true(network.EnableIPv6)
  t.deepEqual(network.IPAM.Config, [
    { Subnet: '10.91.0.0/24', Gateway: '10.91.0.1' },
    { Subnet: 'fd00:91::/64', Gateway: 'fd00:91::fe' },
  ])
  await d.ok(
    'run',
    '-d',
    '--name',
    'six',
    '--network',
    'dual',
    '--ip6',
    'fd00:91::9',
    '--ip',
    '10.91.0.9',
    '-p',
    '18091:80',
    ...dualWeb('six'),
  )
  await d.ok('run', '-d', '--name', 'peer', '--network', 'dual', 'busybox', 'sleep', '1000')
  t.like(await settingsOf(d, 'six', 'dual'), {
    IPAddress: '10.91.0.9',
    IPv6Gateway: 'fd00:91::fe',
    GlobalIPv6Address: 'fd00:91::9',
    GlobalIPv6PrefixLen: 64,
  })
  const inside = await d.ok('exec', 'six', 'ip', '-6', 'addr', 'show', 'eth0')
  t.regex(inside, /inet6 fd00:91::9\/64 scope global/)
  t.notRegex(inside, /fd00:91::9\/64 scope global tentative/)
  t.regex((await inNetworkOf(d, 'six', 'ip', '-6', 'route')).stdout, /^default via fd00:91::fe dev eth0/m)
  t.regex(await d.ok('exec', 'six', 'cat', '/etc/hosts'), /^fd00:91::9\t/m)
  t.is(
    await d
      .ok('network', 'inspect', '-f', '{{range .Containers}}{{.Name}}={{.IPv6Address}} {{end}}', 'dual')
      .then((text) => text.includes('six=fd00:91::9/64')),
    true,
  )
  t.is(
    await d
      .ok('run', '--rm', '--network', 'dual', 'busybox', 'ping', '-6', '-c', '1', '-W', '2', 'fd00:91::9')
      .then((text) => /1 packets received/.test(text)),
    true,
  )

  const peer = await settingsOf(d, 'peer', 'dual')
  const [aaaa, reverse] = await ask(
    d,
    'peer',
    { name: 'six', type: 'AAAA' },
    { name: '9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.9.0.0.0.0.d.f.ip6.arpa', type: 'PTR' },
  )
  t.deepEqual(aaaa?.data, ['fd00:91::9'])
  t.deepEqual(reverse?.data, ['six.dual'])
  t.deepEqual(await addressesOf(d, 'six', 'peer'), [peer.IPAddress])

  t.deepEqual((await d.ok('port', 'six')).split('\n').sort(), ['80/tcp -> 0.0.0.0:18091', '80/tcp -> [::]:18091'])
  t.is(await fetchFromHost(d, '127.0.0.1', 18091), 'six')
  t.is(await fetchFromHost(d, 'fd00:91::fe', 18091), 'six')
  t.is(await fetchFromHost(d, '::1', 18091), 'six')
  await d.killAndRestart()
  t.is(await fetchFromHost(d, '::1', 18091), 'six')
  t.is(await fetchFromHost(d, 'fd00:91::fe', 18091), 'six')
  await d.ok('rm', '-f', 'six')
  // The address and the port are free again.
  await d.ok('run', '-d', '--name', 'six', '--network', 'dual', '--ip6', 'fd00:91::9', '-p', '[::]:18091:80', ...dualWeb('again'))
  t.is(await fetchFromHost(d, 'fd00:91::fe', 18091), 'again')
  t.is(await fetchFromHost(d, '127.0.0.1', 18091), 'unreachable')
  t.is(await d.ok('port', 'six'), '80/tcp -> [::]:18091')
  await d.ok('rm', '-f', 'six', 'peer')
  await d.ok('network', 'rm', 'dual')
})

daemonTest('without a subnet a unique local one is taken, and each network has its own', async (t, d) => {
  const subnets: string[] = []
  for (const name of ['u1', 'u2']) {
    await d.ok('network', 'create', '--ipv6', name)
    subnets.push(await d.ok('network', 'inspect', '-f', '{{(index .IPAM.Config 1).Subnet}}', name))
  }
  for (const subnet of subnets) t.regex(subnet, /^fd[0-9a-f:]+::\/64$/)
  t.is(new Set(subnets).size, 2)
  await d.ok('run', '-d', '--name', 'ula', '--network', 'u1', 'busybox', 'sleep', '1000')
  await d.ok('network', 'connect', 'u2', 'ula')
  const [one, two] = [await settingsOf(d, 'ula', 'u1'), await settingsOf(d, 'ula', 'u2')]
  t.true(one.GlobalIPv6Address.startsWith(subnets[0]?.replace('::/64', ':') ?? '-'))
  const inside = (await inNetworkOf(d, 'ula', 'ip', '-6', 'addr')).stdout
  for (const { GlobalIPv6Address } of [one, two]) t.true(inside.includes(`${GlobalIPv6Address}/64`), inside)
  // The default routes of both families go over to the network that is left.
  await d.ok('network', 'disconnect', 'u1', 'ula')
  t.regex((await inNetworkOf(d, 'ula', 'ip', '-6', 'route')).stdout, new RegExp(`^default via ${two.IPv6Gateway} dev eth1`, 'm'))
  await d.ok('rm', '-f', 'ula')
  await d.ok('network', 'rm', 'u1', 'u2')
})

daemonTest('a network of IPv6 alone, an internal one, and one without IPv6', async (t, d) => {
  await d.ok('network', 'create', '--ipv6', '--ipv4=false', '--subnet', 'fd00:94::/64', 'only')
  await d.ok('run', '-d', '--name', 'o1', '--network', 'only', '-p', '18094:80', ...dualWeb('o1'))
  t.is((await d.ok('exec', 'o1', 'ip', '-4', 'addr', 'show', 'eth0')).trim(), '')
  t.like(await settingsOf(d, 'o1', 'only'), { IPAddress: '', GlobalIPv6PrefixLen: 64 })
  t.is(await d.ok('port', 'o1'), '80/tcp -> [::]:18094')
  t.is(await fetchFromHost(d, 'fd00:94::1', 18094), 'o1')
  const [a, aaaa] = await ask(d, 'o1', 'o1', { name: 'o1', type: 'AAAA' })
  t.like(a, { rcode: 'NOERROR', data: [] })
  t.is(aaaa?.data.length, 1)
  await d.ok('network', 'create', '--ipv6', '--internal', '--subnet', 'fd00:95::/64', 'inner')
  const routes = 'cat /proc/net/ipv6_route | grep -c "^00000000000000000000000000000000 00 .* eth0$"'
  t.is((await d.docker('run', '--rm', '--network', 'inner', 'busybox', 'sh', '-c', routes)).stdout.trim(), '0')
  await d.ok('network', 'create', 'four')
  t.is(await d.ok('run', '--rm', '--network', 'four', 'busybox', 'cat', '/proc/sys/net/ipv6/conf/eth0/disable_ipv6'), '1')
  await fails(
    t,
    d,
    /user specified IP address is supported only when connecting to networks with user configured subnets/,
    'run',
    '--rm',
    '--network',
    'four',
    '--ip6',
    'fd00::1',
    'busybox',
    'true',
  )
  await web(d, 'plain', '--network', 'four', '-p', '18095:80')
  t.is(await d.ok('port', 'plain'), '80/tcp -> 0.0.0.0:18095')
  await fails(t, d, /needs IPv6 on network four/, 'run', '--rm', '--network', 'four', '-p', '[::]:18096:80', 'busybox', 'true')
  await d.ok('rm', '-f', 'o1', 'plain')
  await d.ok('network', 'rm', 'only', 'inner', 'four')
})

daemonTest('ports on [::1] are passed on while the daemon lives, to containers of either family', async (t, d) => {
  await web(d, 'v4', '-p', '18097:80', '-p', '[::1]:18098:80', '-p', '127.0.0.1:18099:80')
  t.is(await fetchFromHost(d, '::1', 18097), 'v4')
  t.is(await fetchFromHost(d, '::1', 18098), 'v4')
  t.is(await fetchFromHost(d, '::1', 18099), 'unreachable')
  t.is(await fetchFromHost(d, '127.0.0.1', 18098), 'unreachable')
  t.true((await d.ok('port', 'v4')).split('\n').includes('80/tcp -> [::1]:18098'))
  await d.ok('rm', '-f', 'v4')
  t.is(await fetchFromHost(d, '::1', 18097), 'unreachable')

  // Half of a connection may end before the other: everything sent before arrives.
  const udp =
    "const u = require('dgram').createSocket('udp4'); u.on('message', (m, r) => u.send('echo ' + m, r.port, r.address)); u.bind(91, () => console.log('ready'))"
  const tcp = "require('net').createServer({ allowHalfOpen: true }, (s) => s.pipe(s)).listen(90)"
  await d.ok('run', '-d', '--name', 'echo', '-p', '18090:90', '-p', '18091:91/udp', 'busybox', 'sleep', '1000')
  const inside = await d.ok('inspect', '-f', '{{.State.Pid}}', 'echo')
  const servers = spawn('nsenter', [`--net=/proc/${inside}/ns/net`, process.execPath, '-e', `${tcp};${udp}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(servers.stdout, 'data')
    const client = `
      const { createHash, randomBytes } = require('crypto'), net = require('net'), dgram = require('dgram');
      const sent = randomBytes(3 << 20), got = createHash('sha256');
      const s = net.connect({ host: '::1', port: 18090, allowHalfOpen: true }, () => s.end(sent));
      s.on('data', (chunk) => got.update(chunk));
      s.on('end', () => {
        console.log(got.digest('hex') === createHash('sha256').update(sent).digest('hex') ? 'same' : 'other');
        const u = dgram.createSocket('udp6');
        u.on('message', (m) => { console.log(String(m)); u.close() });
        u.send('hello', 18091, '::1');
      })`
    t.is((await d.host(process.execPath, '-e', client)).stdout, 'same\necho hello\n')
  } finally {
    servers.kill('SIGKILL')
  }
  await d.ok('rm', '-f', 'echo')
})

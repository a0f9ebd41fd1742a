import type { TestDaemon } from '../fixtures/daemon.js'
import { address, fails, fetchFromHost, inspect, web } from '../fixtures/reach.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

async function removeNetworks(d: TestDaemon, ...names: string[]): Promise<void> {
  for (const name of names) await d.ok('network', 'rm', name)
}

const routes = (d: TestDaemon, name: string): Promise<string> => d.ok('exec', name, 'ip', 'route')

daemonTest('the default route and the published ports follow the networks of a running container', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.81.0.0/24', 'nb')
  await d.ok('network', 'create', '--subnet', '10.82.0.0/24', 'zz')
  await d.ok('network', 'create', '--internal', '--subnet', '10.83.0.0/24', 'aa')
  await web(d, 'mv', '--network', 'nb', '-p', '18081:80')
  const ports = async (): Promise<unknown> => (await inspect(d, 'mv')).NetworkSettings.Ports['80/tcp']
  const published = [{ HostIp: '0.0.0.0', HostPort: '18081' }]
  const hosts = (): Promise<string> => d.ok('exec', 'mv', 'cat', '/etc/hosts')
  t.is(await fetchFromHost(d, '127.0.0.1', 18081), 'mv')

  await d.ok('network', 'connect', 'aa', 'mv')
  t.regex(await routes(d, 'mv'), /^default via 10\.81\.0\.1 dev eth0/m)
  t.true((await hosts()).includes(`${await address(d, 'mv', 'aa')}\t`))

  await d.ok('network', 'connect', '--gw-priority', '1', 'zz', 'mv')
  t.regex(await routes(d, 'mv'), /^default via 10\.82\.0\.1 dev eth2/m)
  t.is(await fetchFromHost(d, '127.0.0.1', 18081), 'mv')
  t.deepEqual(await ports(), published)
  const inZz = await address(d, 'mv', 'zz')
  const map = (await d.host('nft', 'list', 'map', 'ip', 'tsd', 'ports')).stdout
  t.regex(map, new RegExp(`\\b18081 : ${inZz} \\. (80|http)\\b`))
  t.true((await hosts()).includes(`${inZz}\t`))

  await d.ok('network', 'disconnect', 'zz', 'mv')
  t.regex(await routes(d, 'mv'), /^default via 10\.81\.0\.1 dev eth0/m)
  t.is(await fetchFromHost(d, '127.0.0.1', 18081), 'mv')
  t.deepEqual(await ports(), published)
  t.false((await hosts()).includes(`${inZz}\t`))

  // An internal network has no way out and publishes nothing.
  await d.ok('network', 'disconnect', 'nb', 'mv')
  t.notRegex(await routes(d, 'mv'), /default/)
  t.deepEqual(await ports(), null)
  t.is(await fetchFromHost(d, '127.0.0.1', 18081), 'unreachable')
  await d.ok('network', 'connect', 'zz', 'mv')
  t.regex(await routes(d, 'mv'), /^default via 10\.82\.0\.1/m)
  t.is(await fetchFromHost(d, '127.0.0.1', 18081), 'mv')

  // What moved is found again by the next daemon, and given back.
  await d.ok('network', 'connect', '--gw-priority', '7', 'nb', 'mv')
  await d.killAndRestart()
  t.deepEqual(await ports(), published)
  t.is(await fetchFromHost(d, '127.0.0.1', 18081), 'mv')
  await d.ok('rm', '-f', 'mv')
  await web(d, 'next', '-p', '18081:80')
  t.is(await fetchFromHost(d, '127.0.0.1', 18081), 'next')
  await d.ok('rm', '-f', 'next')
  await removeNetworks(d, 'nb', 'zz', 'aa')
})

daemonTest('what a network cannot publish stays where it is, or goes with the network that is left', async (t, d) => {
  await d.ok('network', 'create', '--ipv6', '--subnet', '10.90.0.0/24', '--subnet', 'fd00:90::/64', 'mm')
  await d.ok('network', 'create', '--subnet', '10.91.0.0/24', 'four')
  const server = `echo six > /tmp/index.html; exec httpd -f -p '[::]:80' -h /tmp`
  await d.ok('run', '-d', '--name', 'six', '--network', 'mm', '-p', '[::]:18090:80', 'busybox', 'sh', '-c', server)
  await fails(t, d, /publishing on :: needs IPv6 on network four/, 'network', 'connect', 'four', 'six')
  t.is(await fetchFromHost(d, 'fd00:90::1', 18090), 'six')
  t.regex(await routes(d, 'six'), /^default via 10\.90\.0\.1 dev eth0/m)
  t.false((await d.ok('exec', 'six', 'ls', '/sys/class/net')).includes('eth1'))
  t.is(await d.ok('network', 'inspect', '-f', '{{len .Containers}}', 'four'), '0')
  await d.ok('network', 'connect', '--gw-priority', '-1', 'four', 'six')
  await d.ok('network', 'disconnect', 'mm', 'six')
  t.regex(await routes(d, 'six'), /^default via 10\.91\.0\.1 dev eth1/m)
  t.deepEqual((await inspect(d, 'six')).NetworkSettings.Ports['80/tcp'], null)
  await d.ok('run', '--rm', '--network', 'mm', '-p', '[::]:18090:80', 'busybox', 'true')
  await d.ok('rm', '-f', 'six')
  await removeNetworks(d, 'mm', 'four')
})

daemonTest('of equal priority the first network by name gives the default route, an internal one never before others', async (t, d) => {
  await d.ok('network', 'create', '--internal', '--subnet', '10.84.0.0/24', 'a1')
  await d.ok('network', 'create', '--subnet', '10.85.0.0/24', 'b1')
  await d.ok('network', 'create', '--subnet', '10.86.0.0/24', 'c1')
  const flags = ['--network', 'c1', '--network', 'a1', '--network', 'b1']
  const shown = await d.ok('run', '--rm', ...flags, 'busybox', 'sh', '-c', 'ip route; ip -o -4 addr')
  t.regex(shown, /^default via 10\.85\.0\.1 dev eth\d/m)
  for (const subnet of [84, 85, 86]) t.regex(shown, new RegExp(`inet 10\\.${subnet}\\.0\\.\\d+/24`))
  await removeNetworks(d, 'a1', 'b1', 'c1')
})

daemonTest('interfaces take names, addresses and settings of choice, at create and on a running container', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.87.0.0/24', '-o', 'com.docker.network.container_iface_prefix=lan', 'pre')
  await d.ok('network', 'create', '--subnet', '10.88.0.0/24', 'opt')
  const sysctls = 'driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1'
  await d.ok(
    ...['run', '-d', '--name', 'nm', '--network', `name=pre,mac-address=02:42:00:00:aa:01,ip=10.87.0.44,${sysctls}`],
    ...['--network', 'name=opt,driver-opt=com.docker.network.endpoint.ifname=up.link', 'busybox', 'sleep', '1000'],
  )
  t.regex(await d.ok('exec', 'nm', 'ip', 'addr', 'show', 'lan0'), /link\/ether 02:42:00:00:aa:01[^]*inet 10\.87\.0\.44\/24/)
  t.is(await d.ok('exec', 'nm', 'cat', '/proc/sys/net/ipv4/conf/lan0/log_martians'), '1')
  t.regex(await d.ok('exec', 'nm', 'ip', 'addr', 'show', 'up.link'), /inet 10\.88\.0\./)
  await d.ok('run', '-d', '--name', 'later', 'busybox', 'sleep', '1000')
  const ifname = ['--driver-opt', 'com.docker.network.endpoint.ifname=side']
  await d.ok('network', 'connect', ...ifname, '--driver-opt', sysctls.replace('driver-opt=', ''), 'opt', 'later')
  t.regex(await d.ok('exec', 'later', 'ip', 'addr', 'show', 'side'), /inet 10\.88\.0\./)
  t.is(await d.ok('exec', 'later', 'cat', '/proc/sys/net/ipv4/conf/side/log_martians'), '1')
  const mac = { Container: 'later', EndpointConfig: { MacAddress: '02:42:00:00:aa:02' } }
  t.is((await d.api('POST', '/networks/pre/connect', mac)).status, 200)
  t.is(await d.ok('exec', 'later', 'cat', '/sys/class/net/lan0/address'), '02:42:00:00:aa:02')
  await d.ok('network', 'disconnect', 'opt', 'later')
  await fails(
    t,
    d,
    /has an interface eth0 already/,
    'network',
    'connect',
    '--driver-opt',
    ifname[1]?.replace('side', 'eth0') ?? '',
    'opt',
    'later',
  )
  await fails(
    t,
    d,
    /is not a name for an interface/,
    'network',
    'connect',
    '--driver-opt',
    ifname[1]?.replace('side', 'a/b') ?? '',
    'opt',
    'later',
  )
  const wide = 'com.docker.network.endpoint.sysctls=net.ipv4.ip_forward=0'
  await fails(t, d, /is not a setting of one interface/, 'network', 'connect', '--driver-opt', wide, 'opt', 'later')
  await fails(
    t,
    d,
    /endpoint option com\.docker\.network\.endpoint\.nosuch is not known/,
    'network',
    'connect',
    '--driver-opt',
    'com.docker.network.endpoint.nosuch=1',
    'opt',
    'later',
  )
  await fails(t, d, /invalid MAC address/, 'run', '--rm', '--network', 'opt', '--mac-address', '01:00:00:00:00:01', 'busybox', 'true')
  // What can never be is told at once, also of a container that does not run.
  await d.ok('create', '--name', 'still', 'busybox', 'true')
  for (const name of ['later', 'still']) {
    const connect = (network: string, EndpointConfig: object): Promise<number> =>
      d.api('POST', `/networks/${network}/connect`, { Container: name, EndpointConfig }).then(({ status }) => status)
    t.is(await connect('opt', { IPAMConfig: { IPv4Address: '10.99.0.1' } }), 400)
    t.is(await connect('opt', { IPAMConfig: { IPv6Address: 'fd00::1' } }), 400)
    t.is(await connect('opt', { IPAMConfig: { LinkLocalIPs: ['169.254.9.9'] } }), 501)
    t.is(await connect('opt', { MacAddress: 'nonsense' }), 400)
    t.is(await connect('nowhere', {}), 404)
    t.is(await connect('host', {}), 403)
  }
  await d.ok('network', 'disconnect', 'bridge', 'still')
  t.is((await d.api('POST', '/networks/bridge/connect', { Container: 'still', EndpointConfig: { Aliases: ['x'] } })).status, 400)
  t.is((await d.api('POST', '/networks/opt/disconnect', { Container: 'nobody' })).status, 404)
  t.is((await d.api('POST', '/networks/opt/disconnect', { Container: 'nobody', Force: true })).status, 200)
  await d.ok('rm', '-f', 'nm', 'later', 'still')
  await removeNetworks(d, 'pre', 'opt')
})

daemonTest('icc, mtu and masquerade do what they say; gateway modes are refused by name', async (t, d) => {
  await d.ok(
    ...['network', 'create', '--subnet', '10.89.0.0/24', '-o', 'com.docker.network.bridge.enable_icc=false'],
    ...['-o', 'com.docker.network.driver.mtu=1280', '-o', 'com.docker.network.bridge.enable_ip_masquerade=false', 'apart'],
  )
  await d.ok('run', '-d', '--name', 'i1', '--network', 'apart', 'busybox', 'sleep', '1000')
  await d.ok('run', '-d', '--name', 'i2', '--network', 'apart', 'busybox', 'sleep', '1000')
  t.is(await d.ok('exec', 'i1', 'cat', '/sys/class/net/eth0/mtu'), '1280')
  t.not((await d.docker('exec', 'i1', 'ping', '-c', '1', '-W', '1', await address(d, 'i2', 'apart'))).code, 0)
  t.regex(await d.ok('exec', 'i1', 'ping', '-c', '1', '-W', '2', '10.89.0.1'), /1 packets received/)
  const masqueraded = (await d.host('nft', 'list', 'set', 'ip', 'tsd', 'masqueraded')).stdout
  t.false(masqueraded.includes('10.89.0.0'), masqueraded)
  await d.ok('rm', '-f', 'i1', 'i2')
  await removeNetworks(d, 'apart')
  const refused: [string, number][] = [
    ['com.docker.network.bridge.gateway_mode_ipv4=routed', 501],
    ['com.docker.network.bridge.gateway_mode_ipv6=isolated', 501],
    ['com.docker.network.bridge.inhibit_ipv4=true', 501],
    ['com.docker.network.bridge.trusted_host_interfaces=eth0', 501],
    ['com.docker.network.host_ipv4=10.0.0.1', 501],
    ['com.docker.network.bridge.enable_icc=perhaps', 400],
    ['com.docker.network.driver.mtu=12', 400],
    ['com.docker.network.bridge.nosuch=1', 400],
  ]
  for (const [option, status] of refused) {
    const [key = '', value] = option.split('=')
    const answer = await d.api('POST', '/networks/create', { Name: 'never', Options: { [key]: value } })
    t.is(answer.status, status, option)
    t.true(answer.body.toString().includes(key), answer.body.toString())
  }
})

daemonTest('networks are listed by scope, id, use and age', async (t, d) => {
  const names = async (...filters: string[]): Promise<string[]> =>
    (await d.ok('network', 'ls', ...filters.flatMap((filter) => ['--filter', filter]), '--format', '{{.Name}}')).split('\n').filter(Boolean)
  const id = await d.ok('network', 'create', '--label', 'a=1', '--label', 'b', 'used')
  await d.ok('network', 'create', '--label', 'a=2', 'idle')
  await d.ok('run', '-d', '--name', 'user', '--network', 'used', 'busybox', 'sleep', '1000')
  t.deepEqual(await names('scope=local', 'type=custom'), ['idle', 'used'])
  t.deepEqual(await names('scope=swarm'), [])
  t.deepEqual(await names('type=builtin', 'driver=bridge'), ['bridge'])
  t.deepEqual(await names(`id=${id.slice(0, 20)}`), ['used'])
  t.deepEqual(await names('dangling=true'), ['idle'])
  t.true((await names('dangling=false')).includes('used'))
  t.deepEqual(await names('label=a'), ['idle', 'used'])
  t.deepEqual(await names('label=a=1', 'label=b'), ['used'])
  t.deepEqual(await names('name=us', 'name=idl'), ['idle', 'used'])
  for (const bad of ['{"dangling":["perhaps"]}', '{"type":["odd"]}', '{"nosuch":["1"]}']) {
    t.is((await d.api('GET', `/networks?filters=${encodeURIComponent(bad)}`)).status, 400, bad)
  }
  const inspected = await d.api('GET', `/networks/${id}?verbose=true&scope=local`)
  t.is(inspected.status, 200)
  t.is((await d.api('GET', `/networks/${id}?scope=swarm`)).status, 404)
  t.is(await d.ok('network', 'prune', '-f', '--filter', 'until=1h'), '')
  t.deepEqual(await names('type=custom'), ['idle', 'used'])
  t.regex(await d.ok('network', 'prune', '-f', '--filter', 'label!=a=1'), /Deleted Networks:\nidle\n?$/)
  t.is((await d.api('POST', `/networks/prune?filters=${encodeURIComponent('{"name":["x"]}')}`)).status, 400)
  await d.ok('rm', '-f', 'user')
  await removeNetworks(d, 'used')
})

const pooled = daemonSuite({ title: 'address pools', config: { 'default-address-pools': [{ base: '10.200.0.0/16', size: 24 }] } })

pooled('networks take their subnets from the configured pools in order', async (t, d) => {
  const subnet = (name: string): Promise<string> => d.ok('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', name)
  t.is(await subnet('bridge'), '10.200.0.0/24')
  await d.ok('network', 'create', 'p1')
  await d.ok('network', 'create', '--subnet', '10.200.2.0/24', 'p2')
  await d.ok('network', 'create', 'p3')
  t.deepEqual([await subnet('p1'), await subnet('p3')], ['10.200.1.0/24', '10.200.3.0/24'])
  await removeNetworks(d, 'p1')
  await d.ok('network', 'create', 'p4')
  t.is(await subnet('p4'), '10.200.1.0/24')
  await removeNetworks(d, 'p2', 'p3', 'p4')
})

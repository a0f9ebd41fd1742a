import type { TestDaemon } from '../fixtures/daemon.js'
import { address, fails, fetchIn, inspect, request, web } from '../fixtures/reach.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

async function removeNetworks(d: TestDaemon, ...names: string[]): Promise<void> {
  for (const name of names) await d.ok('network', 'rm', name)
}

daemonTest('the default bridge gives address, gateway and a way to the host', async (t, d) => {
  await d.ok('run', '-d', '--name', 'dflt', 'busybox', 'sleep', '1000')
  const { NetworkSettings: settings } = await inspect(d, 'dflt')
  const bridge = settings.Networks['bridge']
  const network = (await d.api('GET', '/networks/bridge')).json<{
    Id: string
    Driver: string
    Scope: string
    IPAM: { Config: { Subnet: string; Gateway: string }[] }
    Containers: Record<string, { Name: string; IPv4Address: string; MacAddress: string; EndpointID: string }>
    Options: Record<string, string>
  }>()
  t.is(bridge?.Gateway, network.IPAM.Config[0]?.Gateway)
  t.is(bridge?.NetworkID, network.Id)
  t.is(network.Driver, 'bridge')
  t.is(network.Scope, 'local')
  t.is(network.Options['com.docker.network.bridge.name'], 'tsd0')
  const inside = await d.ok('exec', 'dflt', 'ip', '-4', 'addr', 'show', 'eth0')
  t.true(inside.includes(`inet ${bridge?.IPAddress}/${bridge?.IPPrefixLen}`), inside)
  t.regex(await d.ok('exec', 'dflt', 'ip', 'route'), new RegExp(`^default via ${bridge?.Gateway} dev eth0`, 'm'))
  t.is(await d.ok('exec', 'dflt', 'cat', '/sys/class/net/eth0/address'), bridge?.MacAddress ?? '')
  t.regex(await d.ok('exec', 'dflt', 'ping', '-c', '1', '-W', '2', bridge?.Gateway ?? ''), /1 packets received/)
  const listed = Object.values(network.Containers)[0]
  t.is(listed?.Name, 'dflt')
  t.is(listed?.IPv4Address, `${bridge?.IPAddress}/${bridge?.IPPrefixLen}`)
  t.is(listed?.EndpointID, bridge?.EndpointID)
  t.deepEqual((await d.ok('network', 'ls', '--format', '{{.Name}} {{.Driver}} {{.Scope}}')).split('\n'), [
    'bridge bridge local',
    'host host local',
    'none null local',
  ])
})

daemonTest('a user network takes subnet, gateway, range, auxiliary addresses, labels and options', async (t, d) => {
  const id = await d.ok(
    ...['network', 'create', '--subnet', '10.77.0.0/24', '--gateway', '10.77.0.254', '--ip-range', '10.77.0.64/26'],
    ...['--aux-address', 'printer=10.77.0.65', '--label', 'team=blue', '-o', 'com.docker.network.bridge.name=tsdblue', 'blue'],
  )
  t.regex(id, /^[0-9a-f]{64}$/)
  const network = (await d.api('GET', '/networks/blue')).json<Record<string, unknown>>()
  t.deepEqual(network['IPAM'], {
    Driver: 'default',
    Options: {},
    Config: [{ Subnet: '10.77.0.0/24', IPRange: '10.77.0.64/26', Gateway: '10.77.0.254', AuxiliaryAddresses: { printer: '10.77.0.65' } }],
  })
  t.deepEqual(network['Labels'], { team: 'blue' })
  t.deepEqual(network['Options'], { 'com.docker.network.bridge.name': 'tsdblue' })
  t.deepEqual(network['Containers'], {})
  t.is((await d.host('ip', 'link', 'show', 'tsdblue')).code, 0)
  await d.ok('run', '-d', '--name', 'b1', '--network', 'blue', 'busybox', 'sleep', '1000')
  await d.ok('run', '-d', '--name', 'b2', '--network', 'blue', '--ip', '10.77.0.9', 'busybox', 'sleep', '1000')
  const first = await address(d, 'b1', 'blue')
  t.true(/^10\.77\.0\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])$/.test(first) && first !== '10.77.0.65', first)
  t.is(await address(d, 'b2', 'blue'), '10.77.0.9')
  t.regex(await d.ok('exec', 'b2', 'ip', 'route'), /^default via 10\.77\.0\.254/)
  t.regex(await d.ok('exec', 'b1', 'ping', '-c', '1', '-W', '2', '10.77.0.9'), /1 packets received/)
  await fails(t, d, /Address already in use/, 'run', '--rm', '--network', 'blue', '--ip', '10.77.0.9', 'busybox', 'true')
  await fails(
    t,
    d,
    /no configured subnet contains IP address 10\.99\.0\.1/,
    'run',
    '--rm',
    '--network',
    'blue',
    '--ip',
    '10.99.0.1',
    'busybox',
    'true',
  )
  // Older clients do not send an address for the default network.
  const body = { Image: 'busybox', NetworkingConfig: { EndpointsConfig: { bridge: { IPAMConfig: { IPv4Address: '10.77.0.9' } } } } }
  const onDefault = await d.api('POST', '/containers/create', body)
  t.is(onDefault.status, 400)
  t.regex(onDefault.body.toString(), /user specified IP address is supported on user defined networks only/)
  await fails(t, d, /network blue .*has active endpoints/, 'network', 'rm', 'blue')
  await fails(t, d, /network with name blue already exists/, 'network', 'create', 'blue')
  await fails(t, d, /Pool overlaps with other one on this address space/, 'network', 'create', '--subnet', '10.77.0.0/24', 'again')
  t.is((await d.api('DELETE', '/networks/blue')).status, 403)
  t.is((await d.api('POST', '/networks/create', { Name: 'blue' })).status, 409)
  t.is((await d.api('DELETE', '/networks/nowhere')).status, 404)
  t.is((await d.api('DELETE', '/networks/bridge')).status, 403)
  await d.ok('rm', '-f', 'b1', 'b2')
  await removeNetworks(d, 'blue')
  t.not((await d.host('ip', 'link', 'show', 'tsdblue')).code, 0)
})

daemonTest('an internal network has no way out, its members reach each other', async (t, d) => {
  await d.ok('network', 'create', '--internal', '--subnet', '10.78.0.0/24', 'inner')
  await web(d, 'iw', '--network', 'inner')
  await d.ok('run', '-d', '--name', 'ic', '--network', 'inner', 'busybox', 'sleep', '1000')
  t.is(await fetchIn(d, 'ic', await address(d, 'iw', 'inner')), 'iw')
  t.notRegex(await d.ok('exec', 'ic', 'ip', 'route'), /default/)
  t.is(await d.ok('network', 'inspect', '-f', '{{.Internal}}', 'inner'), 'true')
  await d.ok('rm', '-f', 'iw', 'ic')
  await removeNetworks(d, 'inner')
})

daemonTest('a running container is connected, with an address of choice, and disconnected; one event each', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.79.0.0/24', 'extra')
  await d.ok('run', '-d', '--name', 'cn', 'busybox', 'sleep', '1000')
  await web(d, 'peer', '--network', 'extra')
  const since = String(Math.floor(Date.now() / 1000) - 1)
  await d.ok('network', 'connect', '--ip', '10.79.0.77', '--alias', 'other', 'extra', 'cn')
  t.is(await address(d, 'cn', 'extra'), '10.79.0.77')
  t.regex(await d.ok('exec', 'cn', 'ip', '-4', 'addr', 'show', 'eth1'), /inet 10\.79\.0\.77\/24/)
  t.is(await fetchIn(d, 'cn', await address(d, 'peer', 'extra')), 'peer')
  t.true((await d.ok('network', 'inspect', '-f', '{{range .Containers}}{{.Name}} {{end}}', 'extra')).includes('cn'))
  await fails(t, d, /endpoint with name cn already exists in network extra/, 'network', 'connect', 'extra', 'cn')
  await d.ok('network', 'disconnect', 'extra', 'cn')
  t.not((await d.docker('exec', 'cn', 'ip', 'link', 'show', 'eth1')).code, 0)
  t.is(await address(d, 'cn', 'extra'), '')
  await fails(t, d, /is not connected to (the )?network/, 'network', 'disconnect', 'extra', 'cn')
  // And once more, on the container while it is stopped.
  await d.ok('stop', '-t', '0', 'cn')
  await d.ok('network', 'connect', 'extra', 'cn')
  await d.ok('network', 'disconnect', 'extra', 'cn')
  const until = String(Math.ceil(Date.now() / 1000) + 1)
  const id = (await inspect(d, 'cn')).Id
  const filters = encodeURIComponent(JSON.stringify({ type: ['network'], network: ['extra'] }))
  const events = (await d.api('GET', `/events?since=${since}&until=${until}&filters=${filters}`)).body.toString().trim().split('\n')
  const mine = events
    .map((line) => JSON.parse(line) as { Action: string; Actor: { Attributes: Record<string, string> } })
    .filter((event) => event.Actor.Attributes['container'] === id)
  t.deepEqual(
    mine.map((event) => event.Action),
    ['connect', 'disconnect', 'connect', 'disconnect'],
  )
  await d.ok('start', 'cn')
  t.not(await address(d, 'cn'), '')
  await d.ok('rm', '-f', 'cn', 'peer')
  await removeNetworks(d, 'extra')
})

daemonTest('a static address stays with its container over a restart and is free after its removal', async (t, d) => {
  await d.ok('network', 'create', '--subnet', '10.80.0.0/24', 'stat')
  await d.ok('run', '-d', '--name', 's1', '--network', 'stat', '--ip', '10.80.0.10', 'busybox', 'sleep', '1000')
  await d.ok('restart', '-t', '0', 's1')
  t.is(await address(d, 's1', 'stat'), '10.80.0.10')
  for (let i = 0; i < 10; i += 1) {
    const removed = await d.api('DELETE', '/containers/s1?force=1')
    t.is(removed.status, 204)
    const body = {
      Image: 'busybox',
      Cmd: ['sleep', '1000'],
      HostConfig: { NetworkMode: 'stat', PortBindings: { '80/tcp': [{ HostPort: '18080' }] } },
      NetworkingConfig: { EndpointsConfig: { stat: { IPAMConfig: { IPv4Address: '10.80.0.10' } } } },
    }
    t.is((await d.api('POST', '/containers/create?name=s1', body)).status, 201)
    const started = await d.api('POST', '/containers/s1/start')
    t.is(started.status, 204, started.body.toString())
  }
  await d.ok('rm', '-f', 's1')
  await removeNetworks(d, 'stat')
})

daemonTest('none, host and container:ID networks', async (t, d) => {
  t.is(await d.ok('run', '--rm', '--network', 'none', 'busybox', 'sh', '-c', 'ls /sys/class/net'), 'lo')
  const links = 'busybox ip -o link | cut -d: -f2 | tr -d " " | cut -d@ -f1 | sort'
  const hostLinks = (await d.host('sh', '-c', links)).stdout
  t.true(hostLinks.includes('tsd0'))
  t.is(`${await d.ok('run', '--rm', '--network', 'host', 'busybox', 'sh', '-c', links)}\n`, hostLinks)
  await web(d, 'base', '--hostname', 'shared')
  t.is(await d.ok('run', '--rm', '--network', 'container:base', 'busybox', 'sh', '-c', request('127.0.0.1', 80)), 'base')
  t.is(await d.ok('run', '--rm', '--network', 'container:base', 'busybox', 'hostname'), 'shared')
  t.regex(await d.ok('run', '--rm', '--network', 'container:base', 'busybox', 'cat', '/etc/hosts'), /\tshared/)
  await fails(t, d, /No such container: nobody/, 'run', '--rm', '--network', 'container:nobody', 'busybox', 'true')
  await fails(
    t,
    d,
    /conflicting options: port publishing and the container type network mode/,
    'run',
    '--rm',
    '--network',
    'container:base',
    '-p',
    '80',
    'busybox',
    'true',
  )
  await d.ok('stop', '-t', '0', 'base')
  await fails(t, d, /cannot join .*of a non running container/, 'run', '--rm', '--network', 'container:base', 'busybox', 'true')
  await fails(t, d, /network nowhere not found/, 'run', '--rm', '--network', 'nowhere', 'busybox', 'true')
})

daemonTest('hosts, hostname and resolv.conf are what the flags say', async (t, d) => {
  await d.ok(
    ...[
      'run',
      '-d',
      '--name',
      'nm',
      '--hostname',
      'box',
      '--domainname',
      'example.org',
      '--add-host',
      'db:10.9.8.7',
      '--add-host',
      'gw:host-gateway',
    ],
    ...[
      '--dns',
      '9.9.9.9',
      '--dns',
      '1.1.1.1',
      '--dns-search',
      'corp.example',
      '--dns-option',
      'ndots:3',
      '--mac-address',
      '02:00:00:00:be:ef',
    ],
    ...['busybox', 'sleep', '1000'],
  )
  const { NetworkSettings: settings } = await inspect(d, 'nm')
  const bridge = settings.Networks['bridge']
  const hosts = await d.ok('exec', 'nm', 'cat', '/etc/hosts')
  t.regex(hosts, /^127\.0\.0\.1\tlocalhost$/m)
  t.regex(hosts, /^10\.9\.8\.7\tdb$/m)
  t.true(hosts.includes(`${bridge?.Gateway}\tgw\n`), hosts)
  t.true(hosts.includes(`${bridge?.IPAddress}\tbox.example.org box`), hosts)
  t.is(await d.ok('exec', 'nm', 'hostname'), 'box')
  t.is(await d.ok('exec', 'nm', 'cat', '/etc/hostname'), 'box')
  const resolv = await d.ok('exec', 'nm', 'cat', '/etc/resolv.conf')
  t.is(
    resolv
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .join('\n'),
    'nameserver 9.9.9.9\nnameserver 1.1.1.1\nsearch corp.example\noptions ndots:3',
  )
  t.is(bridge?.MacAddress, '02:00:00:00:be:ef')
  t.regex(await d.ok('exec', 'nm', 'ip', 'link', 'show', 'eth0'), /link\/ether 02:00:00:00:be:ef/)
  await d.ok('exec', 'nm', 'sh', '-c', 'echo 1.2.3.4 mine >> /etc/hosts')
  t.regex(await d.ok('exec', 'nm', 'cat', '/etc/hosts'), /mine/)
  await d.ok('run', '-d', '--name', 'plain', 'busybox', 'sleep', '1000')
  t.is(await d.ok('exec', 'plain', 'hostname'), (await inspect(d, 'plain')).Id.slice(0, 12))
})

daemonTest('network list filters, prune and events', async (t, d) => {
  await d.ok('network', 'prune', '-f')
  const since = String(Math.floor(Date.now() / 1000) - 1)
  await d.ok('network', 'create', '--label', 'keep=1', 'kept')
  await d.ok('network', 'create', 'unused')
  t.is(await d.ok('network', 'ls', '-q', '--filter', 'label=keep=1', '--format', '{{.Name}}'), 'kept')
  t.is(await d.ok('network', 'ls', '--filter', 'name=unus', '--format', '{{.Name}}'), 'unused')
  t.deepEqual((await d.ok('network', 'ls', '--filter', 'type=custom', '--format', '{{.Name}}')).split('\n'), ['kept', 'unused'])
  t.deepEqual((await d.ok('network', 'ls', '--filter', 'driver=null', '--format', '{{.Name}}')).split('\n'), ['none'])
  t.is((await d.api('GET', `/networks?filters=${encodeURIComponent('{"what":["1"]}')}`)).status, 400)
  t.regex(await d.ok('network', 'prune', '-f', '--filter', 'label!=keep'), /Deleted Networks:\nunused/)
  t.regex(await d.ok('network', 'prune', '-f'), /kept/)
  const until = String(Math.ceil(Date.now() / 1000) + 1)
  const events = await d.ok(
    'events',
    '--since',
    since,
    '--until',
    until,
    '--filter',
    'type=network',
    '--format',
    '{{.Action}} {{.Actor.Attributes.name}}',
  )
  t.deepEqual(
    events.split('\n').filter((line) => /^(create|destroy) (kept|unused)$/.test(line)),
    ['create kept', 'create unused', 'destroy unused', 'destroy kept'],
  )
  await fails(t, d, /operation is not permitted on predefined bridge network/, 'network', 'create', 'bridge')
  await fails(t, d, /only one instance of "host" network is allowed/, 'network', 'create', '-d', 'host', 'hosty')
})

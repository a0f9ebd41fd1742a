import test from 'ava'
import { TestDaemon } from '../fixtures/daemon.js'
import { missing } from '../fixtures/root.js'

const lacking = missing('root', 'overlay', 'busybox', 'docker', 'ip', 'nft')
const field =
  lacking === undefined ? test.serial : (name: string, _run: unknown) => test.skip(`${name} [needs ${lacking}]`, () => undefined)
let daemon: TestDaemon

test.before(async () => {
  if (lacking !== undefined) return
  daemon = await TestDaemon.start()
  await daemon.loadBusybox()
  await daemon.ok('network', 'create', '--subnet', '10.77.0.0/24', '--gateway', '10.77.0.9', 'own')
  await daemon.ok('network', 'create', '--subnet', '10.78.0.0/24', 'second')
})
test.after.always(() => daemon?.destroy())

const run = (...args: string[]) => daemon.ok('run', '--rm', ...args)

interface Endpoint {
  NetworkID: string
  EndpointID: string
  Gateway: string
  IPAddress: string
  IPPrefixLen: number
  IPv6Gateway: string
  GlobalIPv6Address: string
  GlobalIPv6PrefixLen: number
  MacAddress: string
  Aliases: string[] | null
  DNSNames: string[] | null
  GwPriority: number
}

/** A running container on `own`, with endpoint settings of the API, and what it sees of itself. */
async function endpoint(
  settings: Record<string, unknown>,
  networks: Record<string, unknown> = {},
): Promise<{ shown: Endpoint; inside: string; id: string }> {
  const created = await daemon.api('POST', '/containers/create', {
    Image: 'busybox',
    Cmd: ['sleep', '100'],
    HostConfig: { NetworkMode: 'own' },
    NetworkingConfig: { EndpointsConfig: { own: settings, ...networks } },
  })
  if (created.status !== 201) throw new Error(created.body.toString())
  const { Id: id } = created.json<{ Id: string }>()
  const started = await daemon.api('POST', `/containers/${id}/start`)
  if (started.status !== 204) throw new Error(started.body.toString())
  const inside = await daemon.ok('exec', id, 'sh', '-c', 'ip addr; ip route')
  const { NetworkSettings } = (await daemon.api('GET', `/containers/${id}/json`)).json<{
    NetworkSettings: { Networks: Record<string, Endpoint> }
  }>()
  await daemon.ok('rm', '-f', id)
  const shown = NetworkSettings.Networks.own
  if (!shown) throw new Error('no endpoint on the network')
  return { shown, inside, id }
}

field('field ContainerConfig.NetworkDisabled leaves nothing but the loopback', async (t) => {
  const created = await daemon.api('POST', '/containers/create', { Image: 'busybox', Cmd: ['ip', '-o', 'link'], NetworkDisabled: true })
  const { Id } = created.json<{ Id: string }>()
  const output = await daemon.ok('start', '-a', Id)
  t.regex(output, /^1: lo:[^\n]*$/)
  await daemon.ok('rm', Id)
})

field('field ContainerConfig.MacAddress is the address of the main interface', async (t) => {
  t.is(await run('--mac-address', '02:42:00:00:00:77', 'busybox', 'cat', '/sys/class/net/eth0/address'), '02:42:00:00:00:77')
})

field('field ContainerConfig.ExposedPorts are published by -P', async (t) => {
  const id = await daemon.ok('run', '-d', '-P', '--expose', '8080', 'busybox', 'nc', '-l', '-p', '8080')
  t.regex(await daemon.ok('port', id), /^8080\/tcp -> 0\.0\.0\.0:\d+/)
  await daemon.ok('rm', '-f', id)
})

field('field HostConfig.PublishAllPorts gives each exposed port a free one', async (t) => {
  const id = await daemon.ok('run', '-d', '-P', '--expose', '81', '--expose', '82/udp', 'busybox', 'sleep', '100')
  const ports = await daemon.ok('port', id)
  t.regex(ports, /81\/tcp -> /)
  t.regex(ports, /82\/udp -> /)
  await daemon.ok('rm', '-f', id)
})

field('field HostConfig.PortBindings lead to the container', async (t) => {
  const id = await daemon.ok('run', '-d', '-p', '127.0.0.1:18080:80', 'busybox', 'sh', '-c', 'echo answer | nc -l -p 80')
  for (let attempt = 0; attempt < 50; attempt++) {
    const { stdout } = await daemon.host('busybox', 'nc', '-w', '2', '127.0.0.1', '18080')
    if (stdout !== '') {
      t.is(stdout, 'answer\n')
      break
    }
  }
  await daemon.ok('rm', '-f', id)
})

const resolvConf = (...args: string[]) => run(...args, 'busybox', 'cat', '/etc/resolv.conf')

field('field HostConfig.Dns are the name servers', async (t) => {
  t.regex(await resolvConf('--dns', '192.0.2.1', '--dns', '192.0.2.2'), /nameserver 192\.0\.2\.1\nnameserver 192\.0\.2\.2/)
})

field('field HostConfig.DnsSearch are the search domains', async (t) => {
  t.regex(await resolvConf('--dns-search', 'example.test'), /^search example\.test$/m)
})

field('field HostConfig.DnsOptions are the resolver options', async (t) => {
  t.regex(await resolvConf('--dns-option', 'ndots:3'), /^options ndots:3$/m)
})

field('field HostConfig.ExtraHosts stand in /etc/hosts', async (t) => {
  t.regex(await run('--add-host', 'other:192.0.2.7', 'busybox', 'cat', '/etc/hosts'), /^192\.0\.2\.7\s+other$/m)
})

field('field NetworkingConfig.EndpointsConfig joins every network named', async (t) => {
  const { inside } = await endpoint({}, { second: {} })
  t.regex(inside, /inet 10\.77\.0\.\d+\/24[^]*inet 10\.78\.0\.\d+\/24/)
})

field('field EndpointSettings.IPAMConfig fixes the address', async (t) => {
  const { inside, shown } = await endpoint({ IPAMConfig: { IPv4Address: '10.77.0.123' } })
  t.regex(inside, /inet 10\.77\.0\.123\/24/)
  t.is(shown.IPAddress, '10.77.0.123')
})

field('field EndpointSettings.MacAddress fixes the link address', async (t) => {
  const { inside, shown } = await endpoint({ MacAddress: '02:42:0a:4d:00:55' })
  t.regex(inside, /link\/ether 02:42:0a:4d:00:55/)
  t.is(shown.MacAddress, '02:42:0a:4d:00:55')
})

field('field EndpointSettings.Aliases are kept with the endpoint', async (t) => {
  t.true((await endpoint({ Aliases: ['web'] })).shown.Aliases?.includes('web'))
})

field('field EndpointSettings.Links are names of the one container', async (t) => {
  const target = await daemon.ok('run', '-d', '--name', 'linked', '--network', 'own', 'busybox', 'sleep', '100')
  const created = await daemon.api('POST', '/containers/create', {
    Image: 'busybox',
    Cmd: ['nslookup', 'other'],
    HostConfig: { NetworkMode: 'own' },
    NetworkingConfig: { EndpointsConfig: { own: { Links: ['linked:other'] } } },
  })
  const { Id } = created.json<{ Id: string }>()
  t.regex(await daemon.ok('start', '-a', Id), /Name:\s+other\nAddress: 10\.77\.0\.\d+/)
  await daemon.ok('rm', '-f', Id, target)
})

field('field HostConfig.Links are names on the main network, and refused on the default one', async (t) => {
  const target = await daemon.ok('run', '-d', '--name', 'linked', '--network', 'own', 'busybox', 'sleep', '100')
  const create = (NetworkMode: string) =>
    daemon.api('POST', '/containers/create', {
      Image: 'busybox',
      Cmd: ['nslookup', 'other'],
      HostConfig: { NetworkMode, Links: ['linked:other'] },
    })
  const { Id } = (await create('own')).json<{ Id: string }>()
  t.regex(await daemon.ok('start', '-a', Id), /Name:\s+other\nAddress: 10\.77\.0\.\d+/)
  const refused = await create('default')
  t.is(refused.status, 501)
  t.true(refused.body.includes('HostConfig.Links is not supported on the default network'))
  await daemon.ok('rm', '-f', Id, target)
})

field('field EndpointSettings.DNSNames names the container and its aliases', async (t) => {
  const { shown, id } = await endpoint({ Aliases: ['web'] })
  t.true(shown.DNSNames?.includes('web'))
  t.true(shown.DNSNames?.includes(id.slice(0, 12)))
})

field('field EndpointSettings.DriverOpts: what the driver does not know is refused by it', async (t) => {
  await t.throwsAsync(endpoint({ DriverOpts: { 'no.such.option': '1' } }), { message: /no\.such\.option/ })
})

field('field EndpointSettings.GwPriority decides the default route', async (t) => {
  const { inside } = await endpoint({}, { second: { GwPriority: 100 } })
  t.regex(inside, /default via 10\.78\.0\.1/)
})

/** What the daemon answers: values in a request have no effect. */
const given = {
  NetworkID: 'x',
  EndpointID: 'x',
  Gateway: '192.0.2.1',
  IPAddress: '192.0.2.2',
  IPPrefixLen: 9,
  IPv6Gateway: '::9',
  GlobalIPv6Address: '::8',
  GlobalIPv6PrefixLen: 7,
}

field('field EndpointSettings.NetworkID is the network', async (t) => {
  const { shown } = await endpoint(given)
  t.is(shown.NetworkID, await daemon.ok('network', 'inspect', '-f', '{{.Id}}', 'own'))
})

field('field EndpointSettings.EndpointID is a new one for each start', async (t) => {
  t.regex((await endpoint(given)).shown.EndpointID, /^[0-9a-f]{64}$/)
})

field('field EndpointSettings.Gateway is the gateway of the network', async (t) => {
  const { shown, inside } = await endpoint(given)
  t.is(shown.Gateway, '10.77.0.9')
  t.regex(inside, /default via 10\.77\.0\.9/)
})

field('field EndpointSettings.IPAddress is the address inside', async (t) => {
  const { shown, inside } = await endpoint(given)
  t.true(shown.IPAddress.startsWith('10.77.0.') && inside.includes(`inet ${shown.IPAddress}/24`))
})

field('field EndpointSettings.IPPrefixLen is the length of the subnet', async (t) => {
  t.is((await endpoint(given)).shown.IPPrefixLen, 24)
})

field('field EndpointSettings.IPv6Gateway is empty without IPv6', async (t) => {
  t.is((await endpoint(given)).shown.IPv6Gateway, '')
})

field('field EndpointSettings.GlobalIPv6Address is empty without IPv6', async (t) => {
  t.is((await endpoint(given)).shown.GlobalIPv6Address, '')
})

field('field EndpointSettings.GlobalIPv6PrefixLen is 0 without IPv6', async (t) => {
  t.is((await endpoint(given)).shown.GlobalIPv6PrefixLen, 0)
})

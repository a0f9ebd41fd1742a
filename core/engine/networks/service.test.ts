import 'reflect-metadata'
import dgram from 'node:dgram'
import net from 'node:net'
import test from 'ava'
import { conflict, notFound, systemError } from '../../sdk/errors.js'
import type { IpamDriver, PoolRequest } from '../../sdk/kinds/ipam.js'
import type { JoinRequest, NetworkDriver, NetworkSpec } from '../../sdk/kinds/network.js'
import type { Drivers, EngineConfig, LedgerEntry, LedgerResource, MetadataStore, RunLedger } from '../ports/index.js'
import { type EndpointRequest, type NetworkCreateRequest, NetworksService, type PortRequest } from './index.js'

class MemoryLedger implements RunLedger {
  list: LedgerEntry[] = []
  intents = 0
  intend(owner: string, resources: LedgerResource[]): void {
    this.intents++
    for (const resource of resources) this.list.push({ ...structuredClone(resource), owner, state: 'intent' })
  }
  fact(owner: string, resources: LedgerResource[]): void {
    for (const { kind, key, data } of resources) {
      for (const entry of this.list) {
        if (entry.owner !== owner || entry.kind !== kind || entry.key !== key) continue
        Object.assign(entry, { state: 'fact', data: structuredClone({ ...entry.data, ...data }) })
      }
    }
  }
  released(owner: string, resources: { kind: string; key: string }[]): void {
    this.list = this.list.filter(
      (entry) => entry.owner !== owner || !resources.some(({ kind, key }) => kind === entry.kind && key === entry.key),
    )
  }
  entries(owner?: string): LedgerEntry[] {
    return this.list.filter((entry) => owner === undefined || entry.owner === owner)
  }
}

/** Remembers what exists; everything by holder. */
class FakeIpam implements IpamDriver {
  readonly pools = new Map<string, Set<string>>()
  readonly held = new Map<string, string>()
  #next = 17

  async defaultAddressSpaces(): Promise<{ local: string; global: string }> {
    return { local: 'LocalDefault', global: 'GlobalDefault' }
  }
  async requestPool({
    pool,
    subPool,
    v6,
    holder = '',
  }: PoolRequest): Promise<{ poolId: string; pool: string; data: Record<string, string> }> {
    const again = [...this.pools].find(
      ([id, holders]) => holders.has(holder) && id.includes(':') === v6 && (pool === '' || id.startsWith(pool)),
    )?.[0]
    const chosen = again?.split(' ')[0] ?? (pool || (v6 ? `fd00:${this.#next++}::/64` : `172.${this.#next++}.0.0/16`))
    const poolId = again ?? `${chosen} ${subPool}`
    this.pools.set(poolId, (this.pools.get(poolId) ?? new Set()).add(holder))
    return { poolId, pool: chosen, data: {} }
  }
  async releasePool(poolId: string, holder = ''): Promise<void> {
    this.pools.get(poolId)?.delete(holder)
    if (this.pools.get(poolId)?.size === 0) this.pools.delete(poolId)
  }
  async requestAddress(request: {
    poolId: string
    address: string
    holder: string
  }): Promise<{ address: string; data: Record<string, string> }> {
    const [pool = ''] = request.poolId.split(' ')
    const prefix = pool.split('/')[1]
    const base = pool.includes(':') ? pool.split('::')[0] + '::' : pool.split('.').slice(0, 3).join('.') + '.'
    const free = (): string => {
      for (let i = 1; ; i++) if (![...this.held.values()].includes(`${base}${i}`)) return `${base}${i}`
    }
    const key = heldAs(request.poolId, request.holder)
    const known = this.held.get(key)
    const address = known ?? (request.address || free())
    if (known === undefined && [...this.held.values()].includes(address)) throw conflict('taken')
    this.held.set(key, address)
    return { address: `${address}/${prefix}`, data: {} }
  }
  async releaseAddress(poolId: string, { holder }: { holder: string }): Promise<void> {
    this.held.delete(heldAs(poolId, holder))
  }
}

/** A holder may have an address of each family. */
const heldAs = (poolId: string, holder: string): string => (poolId.includes(':') ? `${holder} of IPv6` : holder)

class FakeNetwork implements NetworkDriver {
  readonly networks = new Map<string, NetworkSpec>()
  readonly joined = new Map<string, JoinRequest>()
  failing = ''

  async capabilities(): Promise<{ scope: 'local' }> {
    return { scope: 'local' }
  }
  async createNetwork(spec: NetworkSpec): Promise<void> {
    if (this.failing === 'createNetwork') throw systemError('no bridge today')
    this.networks.set(spec.networkId, spec)
  }
  async deleteNetwork(id: string): Promise<void> {
    this.networks.delete(id)
  }
  async createEndpoint(): Promise<Record<string, never>> {
    return {}
  }
  async deleteEndpoint(_network: string, id: string): Promise<void> {
    this.joined.delete(id)
  }
  async join(request: JoinRequest) {
    this.joined.set(request.endpointId, request)
    if (this.failing === 'join') throw systemError('no veth today')
    return { host: [], container: [{ op: 'up' as const, link: 'lo' }], links: ['veth1'], gateway: '172.17.0.1', gatewayIPv6: '' }
  }
  async leave(_network: string, id: string): Promise<void> {
    if (this.failing === 'leave') throw systemError('cannot leave')
    this.joined.delete(id)
  }
}

function setUp() {
  const documents = new Map<string, unknown>()
  const store: MetadataStore = {
    get: async <T>(key: string) => structuredClone(documents.get(key)) as T | undefined,
    list: async <T>(prefix: string) =>
      [...documents].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => ({ key, value: structuredClone(value) as T })),
    batch: async (operations) => {
      for (const operation of operations) {
        if ('put' in operation) documents.set(operation.put, structuredClone(operation.value))
        else documents.delete(operation.del)
      }
    },
  }
  const bridge = new FakeNetwork()
  const ipam = new FakeIpam()
  const nothing = new FakeIpam()
  nothing.requestPool = async () => ({ poolId: 'null', pool: '0.0.0.0/0', data: {} })
  nothing.requestAddress = async () => ({ address: '', data: {} })
  const available: Record<string, unknown> = {
    'network/bridge': bridge,
    'network/host': new FakeNetwork(),
    'network/null': new FakeNetwork(),
    'ipam/default': ipam,
    'ipam/null': nothing,
  }
  const activated: ((name: string) => void)[] = []
  const drivers = {
    defaultName: () => 'bridge',
    lease: async (kind: string, name: string) => {
      const driver = available[`${kind}/${name}`]
      if (!driver) throw notFound(`plugin "${name}" not found`)
      return { name, driver, release: () => undefined }
    },
    active: (kind: string, name: string) => available[`${kind}/${name}`],
    onActivate: (_kind: string, callback: (name: string) => void) => activated.push(callback),
  } as unknown as Drivers
  const ledger = new MemoryLedger()
  const events: string[] = []
  const published = {
    publish: (type: string, action: string, _id: string, attributes: Record<string, string>) =>
      void events.push(`${type} ${action} ${attributes['name']}`),
    subscribe: () => {
      throw new Error('not here')
    },
    listeners: 0,
  }
  const clock = { now: () => Date.parse('2024-05-06T08:00:00Z'), timestamp: () => '2024-05-06T07:08:09.123456789Z', nanoseconds: () => 0n }
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const config = { defaultBridge: 'tsd0', bip: '', mtu: 0 } as EngineConfig
  const make = (more: Partial<EngineConfig> = {}): NetworksService =>
    new NetworksService(store, drivers, ledger, { ...config, ...more }, published, clock, logger)
  return { make, bridge, ipam, available, activated, ledger, events, documents }
}

function network(name: string, more: Partial<NetworkCreateRequest> = {}, subnet = ''): NetworkCreateRequest {
  const config = subnet === '' ? [] : [{ subnet, ipRange: '', gateway: '', auxAddresses: {} }]
  return {
    name,
    driver: '',
    internal: false,
    attachable: false,
    ingress: false,
    enableIPv4: true,
    enableIPv6: false,
    options: {},
    labels: {},
    ipam: { driver: 'default', options: {}, config },
    ...more,
  }
}

function endpoint(network: string, containerId: string, more: Partial<EndpointRequest> = {}): EndpointRequest {
  return {
    containerId: containerId.padEnd(64, '0'),
    containerName: `name-${containerId}`,
    hostname: '',
    network,
    settings: {},
    interfaceName: 'eth0',
    defaultGateway: true,
    publishedPorts: [],
    exposedPorts: [],
    ...more,
  }
}

const port = (hostPortStart: number, more: Partial<PortRequest> = {}): PortRequest => ({
  protocol: 'tcp',
  containerPort: 80,
  hostIp: '',
  hostPortStart,
  hostPortEnd: hostPortStart,
  ...more,
})

test('the predefined networks are made once, and look like Docker’s', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  const bridge = await networks.inspect('bridge')
  t.is(bridge.Driver, 'bridge')
  t.deepEqual(bridge.IPAM?.Config, [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.1' }])
  t.is(bridge.Options?.['com.docker.network.bridge.name'], 'tsd0')
  t.deepEqual(
    (await networks.list({})).map(({ Name, Driver }) => [Name, Driver]),
    [
      ['bridge', 'bridge'],
      ['host', 'host'],
      ['none', 'null'],
    ],
  )
  const again = world.make()
  await again.restore(() => false)
  t.is((await again.inspect('bridge')).Id, bridge.Id)
  t.is((await again.inspect('default')).Id, bridge.Id)
  const moved = world.make({ bip: '10.5.0.1/24' })
  await moved.restore(() => false)
  t.deepEqual((await moved.inspect('bridge')).IPAM?.Config, [{ Subnet: '10.5.0.0/24', Gateway: '10.5.0.1' }])
  t.deepEqual([...world.bridge.networks.keys()], [(await moved.inspect('bridge')).Id])
  t.deepEqual(world.ledger.list, [])
})

test('create refuses in Docker’s words', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  await networks.create(network('one', {}, '10.1.0.0/16'))
  const refused = async (request: NetworkCreateRequest, category: string, message: RegExp): Promise<void> => {
    const error = await t.throwsAsync(networks.create(request), { message })
    t.is((error as unknown as { category: string }).category, category)
  }
  await refused(network('one'), 'Conflict', /^network with name one already exists$/)
  await refused(network('bridge'), 'Forbidden', /^operation is not permitted on predefined bridge network$/)
  await refused(network('default'), 'Forbidden', /predefined default network/)
  await refused(network(' '), 'InvalidParameter', /empty/)
  await refused(
    network('two', {}, '10.1.0.0/16'),
    'Forbidden',
    /^invalid pool request: Pool overlaps with other one on this address space$/,
  )
  await refused(
    network('two', {}, '10.2.0.1/16'),
    'InvalidParameter',
    /^invalid network config:\ninvalid subnet 10\.2\.0\.1\/16: it should be 10\.2\.0\.0\/16$/,
  )
  await refused(network('two', {}, '10.2.0.0'), 'InvalidParameter', /invalid CIDR block notation/)
  await refused(network('two', { driver: 'host' }), 'Forbidden', /only one instance of "host" network is allowed/)
  await refused(network('two', { driver: 'nosuch' }), 'NotFound', /nosuch/)
  await refused(network('two', { enableIPv4: false }), 'InvalidParameter', /IPv4 or IPv6 must be enabled/)
  await refused(network('two', {}, 'fd00::/64'), 'InvalidParameter', /IPv6 is not enabled for this network/)
  await refused(network('two', { enableIPv4: false, enableIPv6: true }, '10.2.0.0/16'), 'InvalidParameter', /IPv4 is not enabled/)
  await refused(network('two', { enableIPv6: true }, 'fd00::1/64'), 'InvalidParameter', /it should be fd00::\/64/)
  await refused(network('two', { enableIPv6: true }, 'fd00::/128'), 'InvalidParameter', /room for addresses/)
  const config = [{ subnet: '10.2.0.0/16', ipRange: '10.3.0.0/24', gateway: '10.4.0.1', auxAddresses: { a: 'x' } }]
  await refused(
    network('two', { ipam: { driver: 'default', options: {}, config } }),
    'InvalidParameter',
    /doesn't contain ip-range\ninvalid gateway 10\.4\.0\.1: parent subnet 10\.2\.0\.0\/16 doesn't contain this address\ninvalid auxiliary address x/,
  )
  world.bridge.failing = 'createNetwork'
  const before = world.ipam.pools.size
  await refused(network('two'), 'System', /no bridge today/)
  t.is(world.ipam.pools.size, before)
  t.deepEqual(world.ledger.list, [])
})

test('names, ids and prefixes find a network; filters choose', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  const { Id = '' } = await networks.create(network('app', { labels: { tier: 'web' } }))
  t.is((await networks.inspect(Id.slice(0, 10))).Name, 'app')
  await t.throwsAsync(networks.inspect('nosuch'), { message: 'network nosuch not found' })
  const names = async (filters: Record<string, string[]>): Promise<(string | undefined)[]> =>
    (await networks.list(filters)).map(({ Name }) => Name)
  t.deepEqual(await names({ type: ['custom'] }), ['app'])
  t.deepEqual(await names({ type: ['builtin'] }), ['bridge', 'host', 'none'])
  t.deepEqual(await names({ driver: ['bridge'] }), ['app', 'bridge'])
  t.deepEqual(await names({ label: ['tier=web'] }), ['app'])
  t.deepEqual(await names({ label: ['tier=db'] }), [])
  t.deepEqual(await names({ name: ['^b'] }), ['bridge'])
  t.deepEqual(await names({ id: [Id.slice(0, 12)] }), ['app'])
  t.deepEqual(await names({ dangling: ['true'] }), ['app'])
  await t.throwsAsync(networks.list({ colour: ['red'] }), { message: /invalid filter 'colour'/ })
  await t.throwsAsync(networks.remove('bridge'), { message: 'bridge is a pre-defined network and cannot be removed' })
  await networks.remove('app')
  t.deepEqual(await names({ type: ['custom'] }), [])
  await networks.create(network('old'))
  t.deepEqual(await networks.prune({ until: ['1h'] }), { NetworksDeleted: [] })
  t.deepEqual(await networks.prune({}), { NetworksDeleted: ['old'] })
  t.deepEqual(world.events, [
    'network create app',
    'network destroy app',
    'network create old',
    'network destroy old',
    'network prune undefined',
  ])
})

test('an endpoint is taken, shown, and given back', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  const { Id = '' } = await networks.create(network('app'))
  world.ledger.intents = 0
  const request = endpoint('app', 'c1', { publishedPorts: [port(0)] })
  const joined = await networks.connect(request, 'c1')
  t.is(world.ledger.intents, 1)
  t.deepEqual(
    world.ledger.list.map(({ kind, state }) => `${kind} ${state}`),
    ['endpoint intent', 'address intent', 'port intent'],
  )
  t.like(joined.settings, {
    IPAddress: '172.18.0.2',
    IPPrefixLen: 16,
    MacAddress: '02:42:ac:12:00:02',
    Gateway: '172.17.0.1',
    NetworkID: Id,
  })
  t.deepEqual(joined.settings.DNSNames, ['name-c1', 'c10000000000'])
  t.true((joined.publishedPorts[0]?.hostPort ?? 0) >= 32768)
  t.deepEqual((await networks.inspect('app')).Containers, {})
  await t.throwsAsync(networks.remove('app'), { message: /network app id .* has active endpoints/ })
  networks.connected(joined)
  t.deepEqual(Object.values((await networks.inspect('app')).Containers ?? {}), [
    { Name: 'name-c1', EndpointID: joined.endpointId, MacAddress: '02:42:ac:12:00:02', IPv4Address: '172.18.0.2/16', IPv6Address: '' },
  ])
  await t.throwsAsync(networks.connect(request, 'c1'), { message: /already exists in network app/ })
  for (let i = 0; i < 2; i++) await networks.disconnect(Id, joined.endpointId, 'c1')
  t.deepEqual(world.ledger.list, [])
  t.deepEqual((await networks.inspect('app')).Containers, {})
  t.false(world.ipam.held.has(joined.endpointId))
  t.deepEqual(world.events.slice(1), ['network connect app', 'network disconnect app'])
  await networks.remove('app')
})

test('addresses that users name', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  await networks.create(network('auto'))
  await networks.create(network('own', {}, '10.9.0.0/16'))
  const settings = (address: string) => ({ settings: { IPAMConfig: { IPv4Address: address } } })
  await t.throwsAsync(networks.connect(endpoint('bridge', 'c1', settings('172.17.0.9')), 'c1'), { message: /user defined networks only/ })
  await t.throwsAsync(networks.connect(endpoint('auto', 'c1', settings('172.18.0.9')), 'c1'), { message: /user configured subnets/ })
  await t.throwsAsync(networks.connect(endpoint('own', 'c1', settings('10.8.0.9')), 'c1'), {
    message: /no configured subnet contains IP address 10\.8\.0\.9/,
  })
  t.is((await networks.connect(endpoint('own', 'c1', settings('10.9.0.9')), 'c1')).settings.IPAddress, '10.9.0.9')
  await t.throwsAsync(networks.connect(endpoint('own', 'c2', settings('10.9.0.9')), 'c2'), { message: 'Address already in use' })
  t.deepEqual(world.ledger.entries('c2'), [])
})

test('each family that is enabled has a pool, a gateway and an address, and gives them back', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  const before = world.ipam.pools.size
  const config = [{ subnet: 'fd00:9::/64', ipRange: '', gateway: '', auxAddresses: {} }]
  const { Id = '' } = await networks.create(network('dual', { enableIPv6: true, ipam: { driver: 'default', options: {}, config } }))
  const { IPAM, EnableIPv6 } = await networks.inspect('dual')
  t.true(EnableIPv6)
  t.deepEqual(
    IPAM?.Config?.map(({ Subnet }) => Subnet?.includes(':')),
    [false, true],
  )
  t.like(world.bridge.networks.get(Id), { enableIPv4: true, enableIPv6: true })
  t.is(world.bridge.networks.get(Id)?.ipv6[0]?.pool, 'fd00:9::/64')
  const joined = await networks.connect(endpoint('dual', 'c6', { settings: { IPAMConfig: { IPv6Address: 'fd00:9::77' } } }), 'c6')
  t.like(joined.settings, { GlobalIPv6Address: 'fd00:9::77', GlobalIPv6PrefixLen: 64 })
  t.truthy(joined.settings.IPAddress)
  networks.connected(joined)
  const shown = Object.values((await networks.inspect('dual')).Containers ?? {})[0]
  t.is(shown?.IPv6Address, 'fd00:9::77/64')
  t.is(networks.addressed(Id, 'fd00:9:0:0::77')?.containerId, 'c6'.padEnd(64, '0'))
  await t.throwsAsync(networks.connect(endpoint('dual', 'c7', { settings: { IPAMConfig: { IPv6Address: '10.0.0.1' } } }), 'c7'), {
    message: 'invalid IPv6 address: 10.0.0.1',
  })
  await t.throwsAsync(networks.check('dual', { IPAMConfig: { LinkLocalIPs: ['169.254.1.1'] } }), {
    message: /LinkLocalIPs is not supported/,
  })
  await t.throwsAsync(networks.check('dual', { MacAddress: 'x' }), { message: 'invalid MAC address: x' })
  const held = world.ipam.held.size
  await networks.disconnect(Id, joined.endpointId, 'c6')
  t.is(world.ipam.held.size, held - 2)
  t.deepEqual(world.ledger.list, [])
  await networks.remove('dual')
  t.is(world.ipam.pools.size, before)

  await networks.create(network('six', { enableIPv4: false, enableIPv6: true }))
  const only = await networks.connect(endpoint('six', 'c8'), 'c8')
  t.is(only.settings.IPAddress, '')
  t.true(only.settings.GlobalIPv6Address?.includes(':'))
  t.regex(only.settings.MacAddress ?? '', /^02:42:([0-9a-f]{2}:){3}[0-9a-f]{2}$/)
})

test('ports that are taken, by us or by others', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve))
  const busy = (server.address() as net.AddressInfo).port
  const socket = dgram.createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, resolve))
  try {
    const message = new RegExp(
      `^driver failed programming external connectivity on endpoint name-c1 \\([0-9a-f]{64}\\): failed to bind host port for 0\\.0\\.0\\.0:${busy}/tcp: address already in use$`,
    )
    await t.throwsAsync(networks.connect(endpoint('bridge', 'c1', { publishedPorts: [port(busy)] }), 'c1'), { message })
    const udp = port(socket.address().port, { protocol: 'udp' })
    await t.throwsAsync(networks.connect(endpoint('bridge', 'c1', { publishedPorts: [udp] }), 'c1'), { message: /address already in use/ })
    const first = await networks.connect(endpoint('bridge', 'c1', { publishedPorts: [port(0)] }), 'c1')
    const free = first.publishedPorts[0]?.hostPort ?? 0
    const taken = networks.connect(endpoint('bridge', 'c2', { publishedPorts: [port(free)] }), 'c2')
    await t.throwsAsync(taken, { message: new RegExp(`Bind for 0\\.0\\.0\\.0:${free} failed: port is already allocated$`) })
    const local = networks.connect(endpoint('bridge', 'c2', { publishedPorts: [port(free, { hostIp: '127.0.0.1' })] }), 'c2')
    await t.throwsAsync(local, { message: /Bind for 127\.0\.0\.1:\d+ failed: port is already allocated$/ })
    const range = await networks.connect(endpoint('bridge', 'c2', { publishedPorts: [port(free, { hostPortEnd: free + 20 })] }), 'c2')
    t.true((range.publishedPorts[0]?.hostPort ?? 0) > free)
    const elsewhere = networks.connect(endpoint('bridge', 'c3', { publishedPorts: [port(free, { hostIp: '203.0.113.9' })] }), 'c3')
    await t.throwsAsync(elsewhere)
    await networks.disconnect(first.networkId, first.endpointId, 'c1')
    const again = await networks.connect(endpoint('bridge', 'c4', { publishedPorts: [port(free)] }), 'c4')
    t.is(again.publishedPorts[0]?.hostPort, free)
    t.deepEqual(world.ledger.entries('c3'), [])
  } finally {
    server.close()
    socket.close()
  }
})

test('two that ask for one port at once: one gets it', async (t) => {
  const networks = setUp().make()
  await networks.restore(() => false)
  const probe = net.createServer()
  await new Promise<void>((resolve) => probe.listen(0, resolve))
  const { port: free } = probe.address() as net.AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  const all = await Promise.allSettled(
    ['c1', 'c2', 'c3'].map((id) => networks.connect(endpoint('bridge', id, { publishedPorts: [port(free)] }), id)),
  )
  t.is(all.filter(({ status }) => status === 'fulfilled').length, 1)
})

test('what fails half-way is taken back', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  world.bridge.failing = 'join'
  await t.throwsAsync(networks.connect(endpoint('bridge', 'c1', { publishedPorts: [port(0)] }), 'c1'), { message: 'no veth today' })
  t.deepEqual(world.ledger.list, [])
  t.is(world.bridge.joined.size, 0)
  t.is([...world.ipam.held.keys()].filter((holder) => !holder.startsWith('gateway')).length, 0)
})

test('a restart adopts what lives and releases the rest', async (t) => {
  const world = setUp()
  const first = world.make()
  await first.restore(() => false)
  const lives = await first.connect(endpoint('bridge', 'c1', { publishedPorts: [port(0)] }), 'c1')
  first.connected(lives)
  const died = await first.connect(endpoint('bridge', 'c2', { publishedPorts: [port(0)] }), 'c2')
  first.connected(died)
  const halfWay = await first.connect(endpoint('bridge', 'c3'), 'c3')
  const second = world.make()
  await second.restore((owner) => owner === 'c1')
  t.deepEqual(
    second.endpoints('c1').map(({ endpointId, settings }) => [endpointId, settings]),
    [[lives.endpointId, lives.settings]],
  )
  t.deepEqual(Object.keys((await second.inspect('bridge')).Containers ?? {}), ['c1'.padEnd(64, '0')])
  t.deepEqual([...new Set(world.ledger.list.map(({ owner }) => owner))], ['c1'])
  t.deepEqual([...world.bridge.joined.keys()], [lives.endpointId])
  t.false(world.ipam.held.has(halfWay.endpointId))
  const taken = port(lives.publishedPorts[0]?.hostPort ?? 0)
  await t.throwsAsync(second.connect(endpoint('bridge', 'c4', { publishedPorts: [taken] }), 'c4'), { message: /already allocated/ })
  await second.releaseOwner('c1')
  t.deepEqual(world.ledger.list, [])
  t.truthy(await second.connect(endpoint('bridge', 'c4', { publishedPorts: [taken] }), 'c4'))
})

test('what a driver out of reach holds waits for it', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  const joined = await networks.connect(endpoint('bridge', 'c1'), 'c1')
  networks.connected(joined)
  world.bridge.failing = 'leave'
  await networks.disconnect(joined.networkId, joined.endpointId, 'c1')
  t.is(world.ledger.list.length, 2)
  world.bridge.failing = ''
  for (const activate of world.activated) activate('bridge')
  await new Promise((resolve) => setTimeout(resolve, 10))
  t.deepEqual(world.ledger.list, [])
})

test('a network that a kill left half-made is taken back', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  const id = 'ab'.repeat(32)
  world.ledger.intend(`network ${id}`, [
    { kind: 'network', key: id, data: { driver: 'bridge', ipamDriver: 'default', ipamOptions: {}, wishes: [] } },
  ])
  await world.ipam.requestPool({ addressSpace: '', pool: '', subPool: '', options: {}, v6: false, holder: id })
  world.bridge.networks.set(id, {} as NetworkSpec)
  const pools = world.ipam.pools.size
  await world.make().restore(() => false)
  t.is(world.ipam.pools.size, pools - 1)
  t.false(world.bridge.networks.has(id))
  t.deepEqual(world.ledger.list, [])
})

test('a missing driver makes its own networks unusable and nothing else', async (t) => {
  const world = setUp()
  const networks = world.make()
  await networks.restore(() => false)
  world.available['network/other'] = new FakeNetwork()
  await networks.create(network('foreign', { driver: 'other' }))
  delete world.available['network/other']
  const second = world.make()
  await second.restore(() => false)
  t.is((await second.list({})).length, 4)
  await t.throwsAsync(second.connect(endpoint('foreign', 'c1'), 'c1'), { message: /other/ })
  t.truthy(await second.connect(endpoint('bridge', 'c1'), 'c1'))
  await t.throwsAsync(second.create(network('x', { driver: 'other' })), { instanceOf: Error })
})

// Carried out by bridge.test.ts in network and mount namespaces of its own: one line of JSON per test.
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import type { DriverContext, Logger } from '../../../core/sdk/ports.js'
import type { JoinRequest, NetworkSpec, PublishedPort } from '../../../core/sdk/kinds/network.js'
import { HelperNetworkNamespaces } from '../../../core/platform/network-namespaces.js'
import { ShimSpawner } from '../../../core/platform/spawner.js'
import { testNetworkDriver } from '../../../core/sdk/testing/network.js'
import { BridgeNetworks } from '../../../drivers/network/bridge/driver.js'
import { foreignForwards } from '../../../native/foreign-forward.js'
import { type Helper, SpawnerHelper } from '../../../drivers/network/bridge/helper.js'
import { interfaceIndex } from '../../../native/bindings/netlink-client.js'
import { compileNetOps } from '../../../native/netops.js'
import { greet, hideNamespaces, Sandbox, serve, sh } from './netns.js'
import { tableText } from './table-text.js'

const tests: { name: string; run: () => Promise<void> }[] = []
const test = (name: string, run: () => Promise<void>): void => void tests.push({ name, run })

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (m, f) => console.error(m, f),
  error: (m, f) => console.error(m, f),
}

/** The helper's work, done here by programs. */
const helper: Helper = {
  async deleteLink(_index, name) {
    if (interfaceIndex(name) !== 0) sh(`ip link del ${name}`)
  },
  async run([command = '', ...rest]) {
    return execFileSync(command, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  },
}

let worlds = 0

class World {
  readonly dir = fs.mkdtempSync('/dev/shm/tsd-bridge-')
  readonly sandboxes: Sandbox[] = []
  readonly servers: ChildProcess[] = []
  driver!: BridgeNetworks

  constructor() {
    worlds++
    fs.mkdirSync(`${this.dir}/data`)
    fs.mkdirSync(`${this.dir}/run`)
  }

  /** The driver as after a kill. */
  async life(): Promise<BridgeNetworks> {
    const ctx = {
      name: 'bridge',
      dataDir: `${this.dir}/data`,
      runDir: `${this.dir}/run`,
      options: {},
      logger: quiet,
      daemon: { dataRoot: this.dir, execRoot: this.dir, bridge: 'tsd0', cgroupParent: '/tsd', name: 'test' },
    } as unknown as DriverContext
    this.driver = new BridgeNetworks(ctx, helper)
    await this.driver.init()
    return this.driver
  }

  sandbox(name: string): Sandbox {
    const sandbox = new Sandbox(name)
    this.sandboxes.push(sandbox)
    return sandbox
  }

  async container(
    name: string,
    n: number,
    more: Partial<JoinRequest> = {},
  ): Promise<{ sandbox: Sandbox; request: JoinRequest; link: string }> {
    const request = join(n, more)
    await this.driver.createEndpoint({ ...request, networkId: request.networkId })
    const plan = await this.driver.join(request)
    const sandbox = this.sandbox(name)
    sandbox.join(plan)
    return { sandbox, request, link: plan.links[0] ?? '' }
  }

  async end(): Promise<void> {
    for (const sandbox of this.sandboxes.splice(0)) sandbox.end()
    for (const server of this.servers.splice(0)) server.kill('SIGKILL')
    for (const file of fs.readdirSync(`${this.dir}/run/endpoints`)) await this.driver.leave('', file.replace('.json', ''))
    await until('every link goes', () => fs.readdirSync(`${this.dir}/run/leaving`).length === 0)
    for (const file of fs.readdirSync(`${this.dir}/data/networks`)) await this.driver.deleteNetwork(file.replace('.json', ''))
    await this.driver.dispose()
    fs.rmSync(this.dir, { recursive: true })
  }
}

const networkId = (n: number): string => `${n}e`.repeat(32)
/** Never the same in two worlds: an earlier life of a driver may still see its links off. */
const endpointId = (n: number): string => `${worlds.toString(16).padStart(4, '0')}${n.toString(16).padStart(4, '0')}`.repeat(8)

function spec(n = 1, more: Partial<NetworkSpec> = {}): NetworkSpec {
  return {
    networkId: networkId(n),
    name: `net${n}`,
    internal: false,
    enableIPv4: true,
    enableIPv6: false,
    options: n === 1 ? { 'com.docker.network.bridge.default_bridge': 'true' } : {},
    ipv4: [{ addressSpace: 'LocalDefault', pool: `172.${30 + n}.0.0/16`, gateway: `172.${30 + n}.0.1/16`, auxAddresses: {} }],
    ipv6: [],
    ...more,
  }
}

/** Network n with both families. */
const dual = (n: number, more: Partial<NetworkSpec> = {}): NetworkSpec =>
  spec(n, {
    enableIPv6: true,
    ipv6: [{ addressSpace: 'LocalDefault', pool: `fd00:${n}::/64`, gateway: `fd00:${n}::1/64`, auxAddresses: {} }],
    ...more,
  })

/** Network n with IPv6 alone. */
const six = (n: number, more: Partial<NetworkSpec> = {}): NetworkSpec => dual(n, { enableIPv4: false, ipv4: [], ...more })

/** Endpoint n: on network n/100, address .n%100. */
function join(n: number, more: Partial<JoinRequest> = {}): JoinRequest {
  const network = Math.floor(n / 100)
  return {
    networkId: networkId(network),
    endpointId: endpointId(n),
    interfaceName: 'eth0',
    address: `172.${30 + network}.0.${n % 100}/16`,
    addressIPv6: '',
    macAddress: '',
    defaultGateway: true,
    publishedPorts: [],
    exposedPorts: [],
    options: {},
    ...more,
  }
}

const port = (hostPort: number, containerPort: number, more: Partial<PublishedPort> = {}): PublishedPort => ({
  protocol: 'tcp',
  containerPort,
  hostIp: '',
  hostPort,
  ...more,
})

const pings = (from: Sandbox | undefined, address: string): boolean => {
  try {
    const command = `busybox ping -c 1 -W 1 ${address}`
    return (from ? from.sh(command) : sh(command)).includes('1 packets received')
  } catch {
    return false
  }
}

const pings6 = (from: Sandbox | undefined, address: string): boolean => {
  try {
    const command = `busybox ping -6 -c 1 -W 1 ${address}`
    return (from ? from.sh(command) : sh(command)).includes('1 packets received')
  } catch {
    return false
  }
}

async function until(what: string, condition: () => boolean, ms = 2000): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 10))) if (condition()) return
  assert.fail(`${what} did not come to pass in ${ms} ms`)
}

function withWorld(name: string, run: (world: World, outside: Sandbox) => Promise<void>): void {
  test(name, async () => {
    const world = new World()
    await world.life()
    try {
      await run(world, outside)
    } finally {
      await world.end()
    }
    assert.equal(sh('nft list tables'), '', 'tables are left')
    assert.ok(!/veth[0-9a-f]{11}|br-|tsd0/.test(sh('ip -o link')), `links are left: ${sh('ip -o link')}`)
  })
}

/** A machine on the host's network: 192.0.2.1, the host is .2 there. */
let outside!: Sandbox

function makeOutside(): void {
  hideNamespaces()
  sh('ip link set lo up')
  outside = new Sandbox('outside')
  sh('ip link add uplink type veth peer name eth0 netns outside; ip addr add 192.0.2.2/24 dev uplink; ip link set uplink up')
  outside.sh('ip link set lo up; ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up; ip route add 172.16.0.0/12 via 192.0.2.2')
  sh('ip addr add 2001:db8::2/64 dev uplink nodad')
  outside.sh('ip addr add 2001:db8::1/64 dev eth0 nodad; ip route add fd00::/16 via 2001:db8::2')
}

testNetworkDriver(test, async () => {
  const world = new World()
  return {
    driver: () => world.life(),
    spec: (id) => ({ ...spec(), networkId: id }),
    address: (index) => `172.31.0.${index + 2}/16`,
    dual: { spec: (id) => ({ ...dual(1), networkId: id }), addressIPv6: (index) => `fd00:1::${index + 2}/64` },
    remove: () => world.end(),
  }
})

withWorld('the tables are what nft makes of the same rules written as text', async ({ driver }) => {
  await driver.createNetwork(dual(1))
  await driver.createNetwork(dual(2, { internal: true }))
  await driver.createNetwork(
    dual(3, { options: { 'com.docker.network.bridge.enable_icc': 'false', 'com.docker.network.bridge.enable_ip_masquerade': 'false' } }),
  )
  const published = [port(8080, 80), port(53, 5353, { protocol: 'udp', hostIp: '127.0.0.1' })]
  // The elements of an endpoint are part of the join plan; a new life puts them in by itself.
  const plan = await driver.join(join(105, { publishedPorts: published, addressIPv6: 'fd00:1::5/64' }))
  for (const op of plan.host) if (op.op === 'nft') assert.ok(op.describe.includes('8080/tcp'))
  for (const family of ['ip', 'ip6'] as const) {
    const listed = (table: string): unknown[] => {
      const { nftables } = JSON.parse(sh(`nft -j list table ${family} ${table}`)) as { nftables: Record<string, Record<string, unknown>>[] }
      return nftables
        .filter((item) => !('metainfo' in item))
        .map(
          (item) =>
            JSON.parse(JSON.stringify(item).replaceAll(`"${table}"`, '"T"'), (key, value: unknown) =>
              key === 'handle' ? undefined : value,
            ) as unknown,
        )
    }
    const bridges = [networkId(2), networkId(3)].map((id) => `br-${id.slice(0, 12)}`)
    execFileSync('nft', ['-f', '-'], { input: tableText('astext', family, bridges) })
    try {
      const ours = listed('tsd')
      const theirs = listed('astext')
      const sorted = (items: unknown[]): string[] =>
        items.map((item) => JSON.stringify(item, (_, v: unknown) => (Array.isArray(v) ? [...v].map((x) => JSON.stringify(x)) : v))).sort()
      assert.deepEqual(sorted(ours).length, sorted(theirs).length)
      for (const [i, line] of sorted(theirs).entries()) assert.equal(sorted(ours)[i], line)
    } finally {
      sh(`nft delete table ${family} astext`)
    }
  }
})

withWorld('containers reach the bridge, each other and the outside', async (world, out) => {
  await world.driver.createNetwork(spec())
  const a = await world.container('a', 105)
  const b = await world.container('b', 106)
  assert.ok(pings(a.sandbox, '172.31.0.1'), 'gateway')
  assert.ok(pings(a.sandbox, '172.31.0.6'), 'other container')
  assert.ok(pings(undefined, '172.31.0.5'), 'from the host')
  await out.serve(9000)
  assert.match(greet(b.sandbox, '192.0.2.1', 9000), /to ::ffff:192\.0\.2\.2$|to 192\.0\.2\.2$/, 'masqueraded')
  assert.ok(!pings(out, '172.31.0.5'), 'nothing gets in that is not published')
  assert.match(a.sandbox.sh('ip -o -4 addr show eth0'), /172\.31\.0\.5\/16 brd 172\.31\.255\.255/)
  assert.match(a.sandbox.sh('ip -o link show eth0'), /link\/ether 02:42:ac:1f:00:05/)
  assert.equal(a.sandbox.sh('cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6').trim(), '1')
  assert.match(a.sandbox.sh('ip route'), /default via 172\.31\.0\.1 dev eth0/)
})

const bridgeFilter = '/proc/sys/net/bridge/bridge-nf-call-iptables'

/** With bridged frames going through the tables and without, where the kernel can do both. */
function withBothFilters(name: string, run: (world: World, outside: Sandbox) => Promise<void>): void {
  for (const value of fs.existsSync(bridgeFilter) ? ['0', '1'] : ['0']) {
    withWorld(`${name} (bridge-nf-call-iptables=${value})`, async (world, out) => {
      if (fs.existsSync(bridgeFilter)) fs.writeFileSync(bridgeFilter, value)
      await run(world, out)
    })
  }
}

withBothFilters('published ports, from everywhere', async (world, out) => {
  await world.driver.createNetwork(spec())
  await world.driver.createNetwork(spec(2))
  const publishedPorts = [
    port(8080, 80),
    port(8053, 80, { protocol: 'udp' }),
    port(8081, 80, { hostIp: '127.0.0.1' }),
    port(8082, 80, { hostIp: '192.0.2.2' }),
  ]
  const web = await world.container('web', 105, { publishedPorts })
  const other = await world.container('other', 106)
  const far = await world.container('far', 205)
  await web.sandbox.serve(80)
  const hello = /hello from web/
  assert.match(greet(undefined, '127.0.0.1', 8080), /hello from web to 172\.31\.0\.1/, '127.0.0.1')
  assert.match(greet(undefined, '192.0.2.2', 8080), hello, "the host's own address")
  assert.match(greet(undefined, '172.31.0.1', 8080), hello, "the bridge's address")
  assert.match(greet(out, '192.0.2.2', 8080), /hello from web to 192\.0\.2\.1/, 'outside, with its own address')
  assert.match(greet(web.sandbox, '192.0.2.2', 8080), hello, 'hairpin to itself')
  assert.match(greet(other.sandbox, '192.0.2.2', 8080), hello, 'same bridge')
  assert.match(greet(far.sandbox, '192.0.2.2', 8080), hello, 'another bridge')
  assert.match(greet(undefined, '127.0.0.1', 8053, 'udp'), hello, 'udp from 127.0.0.1')
  assert.match(greet(out, '192.0.2.2', 8053, 'udp'), hello, 'udp from outside')
  assert.equal(greet(out, '192.0.2.2', 8053), '', 'udp is not tcp')
  assert.match(greet(undefined, '127.0.0.1', 8081), hello, 'bound to 127.0.0.1')
  assert.equal(greet(out, '192.0.2.2', 8081), '', 'bound to 127.0.0.1, from outside')
  assert.equal(greet(undefined, '127.0.0.1', 8082), '', 'bound to another address')
  assert.match(greet(out, '192.0.2.2', 8082), hello, 'bound to the address')
  assert.equal(greet(out, '172.31.0.5', 80), '', 'by its own address from outside')
  assert.equal(greet(far.sandbox, '172.31.0.5', 80), '', 'by its own address from another bridge')
})

withWorld('IPv6: containers reach the bridge, each other and the outside, with addresses that are usable at once', async (world, out) => {
  await world.driver.createNetwork(dual(1))
  const a = await world.container('a', 105, { addressIPv6: 'fd00:1::5/64' })
  const b = await world.container('b', 106, { addressIPv6: 'fd00:1::6/64' })
  assert.ok(!/tentative/.test(a.sandbox.sh('ip -6 addr show eth0 scope global')), 'tentative')
  assert.ok(pings6(a.sandbox, 'fd00:1::1'), 'gateway')
  assert.ok(pings6(a.sandbox, 'fd00:1::6'), 'other container')
  assert.ok(pings6(undefined, 'fd00:1::5'), 'from the host')
  await out.serve(9600, '::')
  assert.match(greet(b.sandbox, '2001:db8::1', 9600), /to 2001:db8::2$/, 'masqueraded')
  assert.ok(!pings6(out, 'fd00:1::5'), 'nothing gets in that is not published')
  assert.match(a.sandbox.sh('ip -6 route'), /default via fd00:1::1 dev eth0/)
  assert.equal(a.sandbox.sh('cat /proc/sys/net/ipv6/conf/eth0/accept_ra').trim(), '0')
  assert.equal(sh('cat /proc/sys/net/ipv6/conf/all/forwarding').trim(), '1')
})

withWorld('IPv6: published ports, from everywhere, until they are taken back', async (world, out) => {
  await world.driver.createNetwork(dual(1))
  await world.driver.createNetwork(dual(2))
  const publishedPorts = [
    port(8080, 80),
    port(8053, 80, { protocol: 'udp' }),
    port(8081, 80, { hostIp: '::' }),
    port(8082, 80, { hostIp: '2001:db8::2' }),
    port(8083, 80, { hostIp: '0.0.0.0' }),
  ]
  const web = await world.container('web', 105, { addressIPv6: 'fd00:1::5/64', publishedPorts })
  const far = await world.container('far', 205, { addressIPv6: 'fd00:2::5/64' })
  await web.sandbox.serve(80, '::')
  const hello = /hello from web/
  assert.match(greet(out, '2001:db8::2', 8080), /hello from web to 2001:db8::1/, 'outside, with its own address')
  assert.match(greet(undefined, '2001:db8::2', 8080), hello, "the host's own address")
  assert.match(greet(undefined, 'fd00:1::1', 8080), hello, "the bridge's address")
  assert.match(greet(far.sandbox, '2001:db8::2', 8080), hello, 'another bridge')
  assert.match(greet(web.sandbox, '2001:db8::2', 8080), hello, 'hairpin to itself')
  assert.match(greet(out, '2001:db8::2', 8053, 'udp'), hello, 'udp')
  assert.match(greet(out, '192.0.2.2', 8080), hello, 'and IPv4')
  assert.match(greet(out, '2001:db8::2', 8081), hello, ':: alone')
  assert.equal(greet(out, '192.0.2.2', 8081), '', ':: is not IPv4')
  assert.match(greet(out, '2001:db8::2', 8082), hello, 'bound to the address')
  assert.equal(greet(undefined, 'fd00:1::1', 8082), '', 'bound to another address')
  assert.equal(greet(out, '2001:db8::2', 8083), '', '0.0.0.0 is not IPv6')
  assert.equal(greet(out, 'fd00:1::5', 80), '', 'by its own address from outside')
  assert.equal(greet(far.sandbox, 'fd00:1::5', 80), '', 'by its own address from another bridge')
  await (await world.life()).createNetwork(dual(1))
  assert.match(greet(out, '2001:db8::2', 8080), hello, 'after a new life')
  await world.driver.leave(networkId(1), web.request.endpointId)
  assert.equal(greet(out, '2001:db8::2', 8080), '', 'after leave')
})

withWorld('IPv6: internal networks and those without icc are apart; a network of IPv6 alone works', async (world, out) => {
  await world.driver.createNetwork(six(1, { internal: true, options: {} }))
  const icc = { 'com.docker.network.bridge.enable_icc': 'false' }
  await world.driver.createNetwork(six(2, { options: icc }))
  const inner = await world.container('inner', 105, { address: '', addressIPv6: 'fd00:1::5/64' })
  const inner2 = await world.container('inner2', 106, { address: '', addressIPv6: 'fd00:1::6/64' })
  const apart = await world.container('apart', 205, { address: '', addressIPv6: 'fd00:2::5/64' })
  await world.container('apart2', 206, { address: '', addressIPv6: 'fd00:2::6/64' })
  assert.ok(pings6(inner.sandbox, 'fd00:1::6'), 'within the internal one')
  assert.ok(!/default/.test(inner2.sandbox.sh('ip -6 route')), 'no way out')
  inner.sandbox.sh('ip -6 route add default via fd00:1::1')
  assert.ok(!pings6(inner.sandbox, '2001:db8::1'), 'no way out, with a route')
  assert.ok(!pings6(apart.sandbox, 'fd00:2::6'), 'without icc')
  assert.ok(!pings6(apart.sandbox, 'fd00:1::5'), 'into another network')
  await out.serve(9601, '::')
  assert.match(greet(apart.sandbox, '2001:db8::1', 9601), /to 2001:db8::2$/, 'out')
  assert.equal(apart.sandbox.sh('ip -4 addr show eth0').trim(), '')
  await assert.rejects(
    world.driver.createEndpoint({ ...apart.request, address: '10.0.0.9/24', networkId: networkId(2) }),
    /has no IPv4: it cannot take 10\.0\.0\.9/,
  )
  await assert.rejects(
    world.driver.createNetwork(six(3, { ipv6: dual(2).ipv6.map((block) => ({ ...block, pool: 'fd00:2::/60' })) })),
    /overlapping IPv6/,
  )
})

withWorld('a port is published again by a new life, and not any more after leave', async (world, out) => {
  await world.driver.createNetwork(spec())
  const web = await world.container('web', 105, { publishedPorts: [port(8080, 80)] })
  await web.sandbox.serve(80)
  assert.match(greet(out, '192.0.2.2', 8080), /web/)
  await (await world.life()).createNetwork(spec())
  assert.match(greet(out, '192.0.2.2', 8080), /web/)
  sh('nft flush ruleset')
  await (await world.life()).createNetwork(spec())
  assert.match(greet(undefined, '127.0.0.1', 8080), /web/)
  await world.driver.leave(networkId(1), web.request.endpointId)
  assert.equal(greet(undefined, '127.0.0.1', 8080), '')
  const next = await world.container('next', 106, { publishedPorts: [port(8080, 80)] })
  await next.sandbox.serve(80)
  await world.driver.leave(networkId(1), web.request.endpointId)
  await (await world.life()).leave(networkId(1), web.request.endpointId)
  assert.match(greet(undefined, '127.0.0.1', 8080), /next/, 'leaving twice takes nothing from others')
})

withWorld('a container does not reach what listens on 127.0.0.1 of the host', async (world) => {
  await world.driver.createNetwork(spec())
  const a = await world.container('a', 105)
  await serve([], 'host', 9100, '127.0.0.1', world.servers)
  assert.match(greet(undefined, '127.0.0.1', 9100), /hello from host/)
  a.sandbox.sh('ip link set lo down; ip route add 127.0.0.1/32 via 172.31.0.1; echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet')
  assert.equal(greet(a.sandbox, '127.0.0.1', 9100), '')
})

withBothFilters('networks are apart, internal ones from everything', async (world, out) => {
  await world.driver.createNetwork(spec(1))
  await world.driver.createNetwork(spec(2))
  await world.driver.createNetwork(spec(3, { internal: true }))
  const a = await world.container('a', 105)
  const b = await world.container('b', 205)
  const c = await world.container('c', 305, { publishedPorts: [port(8099, 80)] })
  const d = await world.container('d', 306)
  assert.ok(!pings(a.sandbox, '172.32.0.5'), 'one bridge to another')
  assert.ok(pings(b.sandbox, '192.0.2.1'), 'outside')
  assert.ok(pings(c.sandbox, '172.33.0.6'), 'within an internal network')
  c.sandbox.sh('ip route add default via 172.33.0.1')
  assert.ok(!pings(c.sandbox, '192.0.2.1'), 'internal to outside')
  assert.ok(!pings(c.sandbox, '172.31.0.5'), 'internal to another bridge')
  assert.ok(!pings(a.sandbox, '172.33.0.5'), 'another bridge to internal')
  await d.sandbox.serve(80)
  assert.equal(greet(out, '192.0.2.2', 8099), '', 'an internal network publishes nothing')
})

withBothFilters('without icc containers of one bridge are apart, but for published ports', async (world) => {
  await world.driver.createNetwork(spec(2, { options: { 'com.docker.network.bridge.enable_icc': 'false' } }))
  const a = await world.container('a', 205, { publishedPorts: [port(8080, 80)] })
  const b = await world.container('b', 206)
  await a.sandbox.serve(80)
  assert.ok(!pings(b.sandbox, '172.32.0.5'))
  assert.ok(pings(b.sandbox, '192.0.2.1'))
  assert.match(greet(b.sandbox, '192.0.2.2', 8080), /hello from a/)
})

withWorld('options: bridge name, mtu, host binding, static MAC', async (world, out) => {
  const options = {
    'com.docker.network.bridge.name': 'br-mine',
    'com.docker.network.driver.mtu': '1400',
    'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1',
  }
  await world.driver.createNetwork(spec(2, { options }))
  const a = await world.container('a', 205, { publishedPorts: [port(8080, 80)], macAddress: '02:00:00:00:00:99' })
  await a.sandbox.serve(80)
  assert.match(sh('ip -o link show br-mine'), /mtu 1400/)
  assert.match(a.sandbox.sh('ip -o link show eth0'), /mtu 1400.*02:00:00:00:00:99/)
  assert.match(greet(undefined, '127.0.0.1', 8080), /hello from a/)
  assert.equal(greet(out, '192.0.2.2', 8080), '')
  await assert.rejects(
    world.driver.createNetwork(spec(3, { options: { 'com.docker.network.bridge.name': 'br-mine' } })),
    /same bridge name/,
  )
  await assert.rejects(world.driver.createNetwork(spec(3, { options: { 'com.docker.network.bridge.name': 'uplink' } })), /not a bridge/)
  await assert.rejects(world.driver.createNetwork({ ...spec(2), networkId: networkId(4) }), /overlapping IPv4/)
})

withWorld('a bridge that was there stays, and its address too', async (world) => {
  sh('ip link add br-old type bridge; ip addr add 10.66.0.1/24 dev br-old')
  try {
    await world.driver.createNetwork(spec(2, { options: { 'com.docker.network.bridge.name': 'br-old' } }))
    assert.match(sh('ip -o -4 addr show br-old'), /10\.66\.0\.1[\s\S]*172\.32\.0\.1/)
    await world.driver.deleteNetwork(networkId(2))
    assert.match(sh('ip -o link'), /br-old/)
  } finally {
    sh('ip link del br-old')
  }
})

withWorld('links go with their sandbox, are removed when it lives on, and foreign ones stay', async (world) => {
  await world.driver.createNetwork(spec())
  const a = await world.container('a', 105)
  const b = await world.container('b', 106)
  const c = await world.container('c', 107)
  assert.notEqual(interfaceIndex(a.link), 0)
  world.sandboxes.splice(world.sandboxes.indexOf(a.sandbox), 1)
  a.sandbox.end()
  await world.driver.leave(networkId(1), a.request.endpointId)
  await until('the link of a dead sandbox goes', () => interfaceIndex(a.link) === 0)
  await world.driver.leave(networkId(1), b.request.endpointId, { live: true })
  assert.equal(interfaceIndex(b.link), 0, 'live: gone at once')
  const before = performance.now()
  await world.driver.leave(networkId(1), c.request.endpointId)
  assert.ok(performance.now() - before < 50)
  await world.life()
  await until('the link of a sandbox that lives is deleted by the next life', () => interfaceIndex(c.link) === 0)
  const plan = await world.driver.join(join(108))
  sh(`ip link add ${plan.links[0]} type veth peer name foreign0`)
  await world.driver.leave(networkId(1), endpointId(108), { live: true })
  assert.notEqual(interfaceIndex(plan.links[0] ?? ''), 0, 'a foreign link of the same name')
  sh(`ip link del ${plan.links[0]}`)
})

for (const variant of ['nft', 'legacy']) {
  for (const family of ['ip', 'ip6'] as const) {
    withWorld(`a foreign FORWARD that drops (${family}tables-${variant})`, async (world, out) => {
      const iptables = `${family}tables-${variant} -w 5`
      const host = family === 'ip' ? '192.0.2.2' : '2001:db8::2'
      sh(`${iptables} -P FORWARD DROP; ${iptables} -N DOCKER-USER; ${iptables} -A FORWARD -j DOCKER-USER`)
      try {
        await world.driver.createNetwork(dual(1))
        const web = await world.container('web', 105, { addressIPv6: 'fd00:1::5/64', publishedPorts: [port(8080, 80)] })
        await web.sandbox.serve(80, '::')
        assert.match(greet(out, host, 8080), /web/)
        assert.ok(family === 'ip' ? pings(web.sandbox, '192.0.2.1') : pings6(web.sandbox, '2001:db8::1'))
        const place = { family, variant, chain: 'DOCKER-USER' }
        assert.deepEqual(await foreignForwards((argv) => helper.run(argv)), [{ ...place, accepted: true }])
        await (await world.life()).createNetwork(dual(1))
        assert.equal(sh(`${iptables} -S DOCKER-USER`).match(/ACCEPT/g)?.length, 1, 'one rule, however often')
        await world.driver.leave(networkId(1), web.request.endpointId)
        await world.driver.dispose()
        assert.deepEqual(await foreignForwards((argv) => helper.run(argv)), [{ ...place, accepted: false }])
        await world.life()
      } finally {
        sh(`${iptables} -F; ${iptables} -X; ${iptables} -P FORWARD ACCEPT`)
        if (variant === 'nft') sh(`nft delete table ${family} filter`)
        else sh(`${family}tables-legacy -t filter -F`)
      }
    })
  }
}

withWorld('with the real helper: a namespace is made and joined, its link removed, programs run', async (world) => {
  const spawner = new ShimSpawner()
  try {
    const real = new SpawnerHelper(spawner)
    const namespaces = new HelperNetworkNamespaces(spawner)
    await world.driver.createNetwork(spec())
    const publishedPorts = [port(8080, 80)]
    const file = '/run/netns/helped'
    const plan = await world.driver.join(join(105, { publishedPorts }))
    const start = performance.now()
    await namespaces.create(file, plan)
    console.log(JSON.stringify({ figure: `namespace made and joined by the helper: ${(performance.now() - start).toFixed(2)} ms` }))
    const sandbox = Sandbox.existing('helped')
    world.sandboxes.push(sandbox)
    await sandbox.serve(80)
    assert.match(greet(undefined, '127.0.0.1', 8080), /hello from helped/)
    assert.ok(pings(sandbox, '172.31.0.1'))
    const more = await world.driver.join(join(106, { interfaceName: 'eth1', defaultGateway: false }))
    await namespaces.apply({ path: file }, more)
    assert.match(sandbox.sh('ip -o -4 addr'), /eth1.*172\.31\.0\.6/)
    await namespaces.unlink({ path: file }, ['eth1'])
    assert.equal(interfaceIndex(more.links[0] ?? ''), 0)
    await world.driver.leave(networkId(1), endpointId(106))
    await real.deleteLink(interfaceIndex(plan.links[0] ?? ''), plan.links[0] ?? '')
    assert.equal(interfaceIndex(plan.links[0] ?? ''), 0)
    await real.deleteLink(0x7ffffff0, 'no such link')
    assert.match(await real.run(['/usr/sbin/nft', 'list', 'tables']), /table ip tsd/)
    await assert.rejects(real.run(['/bin/false']))
  } finally {
    spawner.stop()
  }
})

withWorld('what a join costs', async (world) => {
  await world.driver.createNetwork(spec())
  const sandbox = world.sandbox('timing')
  const publishedPorts = [port(8080, 80)]
  const times: Record<string, number[]> = { join: [], compile: [], leave: [] }
  const timed = async <T>(what: string, work: () => T | Promise<T>): Promise<T> => {
    const start = performance.now()
    const result = await work()
    times[what]?.push(performance.now() - start)
    return result
  }
  for (let i = 0; i < 200; i++) {
    const plan = await timed('join', () => world.driver.join(join(105, { endpointId: endpointId(1000 + i), publishedPorts })))
    await timed('compile', () => compileNetOps(plan, { kind: 'child' }))
    Sandbox.onHost(plan.host.filter(({ op }) => op === 'nft'))
    await timed('leave', () => world.driver.leave(networkId(1), endpointId(1000 + i)))
  }
  const carried: number[] = []
  for (let i = 0; i < 20; i++) {
    const plan = await world.driver.join(
      join(105, { endpointId: endpointId(2000 + i), publishedPorts, interfaceName: `eth${i}`, defaultGateway: false }),
    )
    const start = performance.now()
    sandbox.join({ host: plan.host, container: plan.container.filter(({ op }) => op !== 'sysctl') })
    carried.push(performance.now() - start)
    await world.driver.leave(networkId(1), endpointId(2000 + i), { live: true })
  }
  const median = (list: number[]): string => [...list].sort((a, b) => a - b)[list.length >> 1]?.toFixed(3) ?? ''
  const figures = Object.entries({ ...times, 'carry out': carried }).map(([what, list]) => `${what} ${median(list)}`)
  console.log(JSON.stringify({ figure: `median ms: ${figures.join(', ')}` }))
})

makeOutside()
const only = process.argv[2]
let failed = false
for (const { name, run } of tests) {
  if (only && !name.includes(only)) continue
  try {
    await run()
    console.log(JSON.stringify({ name, ok: true }))
  } catch (error) {
    failed = true
    console.log(JSON.stringify({ name, ok: false, error: error instanceof Error ? error.stack : String(error) }))
  }
}
outside.end()
process.exit(failed ? 1 : 0)

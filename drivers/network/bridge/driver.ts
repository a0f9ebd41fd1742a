import { readFileSync } from 'node:fs'
import { interfaceIndex, macBytes, NftBatch, requestNft } from 'tsd-engine/native'
import {
  type DriverContext,
  type EndpointAnswer,
  type EndpointSpec,
  forbidden,
  formatIp,
  invalidParameter,
  type JoinPlan,
  type JoinRequest,
  KeyedLock,
  type NetOp,
  type NetworkDriver,
  type NetworkSpec,
  notFound,
  notImplemented,
  parseIp,
  type PublishedPort,
} from 'tsd-engine/sdk'
import { forgetForeignForwards, passForeignForwards } from './foreign.js'
import type { Helper } from './helper.js'
import { LoopbackProxy } from './loopback-proxy.js'
import { ensureBridge, isMissing, isUnsupported, LinkReaper, macOf, macOfEndpoint, removeBridge } from './links.js'
import { checkEndpointOptions, interfaceSysctls } from './endpoint-options.js'
import { type BridgeNetwork, overlaps, readSpec } from './options.js'
import { addAll, addTable, families, type Family, networkElements, portElements, tableName } from './ruleset.js'
import { type BridgeEndpoint, BridgeState } from './state.js'

/** How often a foreign firewall that came later is looked for, at most. */
const FOREIGN_INTERVAL = 10_000

export class BridgeNetworks implements NetworkDriver {
  readonly #state: BridgeState
  readonly #reaper: LinkReaper
  readonly #loopback: LoopbackProxy
  readonly #table: string
  readonly #lock = new KeyedLock()
  #tableMade = false
  /** The kernel knows how to delete what may not be there (Linux 6.3). */
  #canDestroy = true
  #foreignChecked = 0

  constructor(
    private readonly ctx: DriverContext,
    private readonly helper: Helper,
  ) {
    this.#state = new BridgeState(ctx.dataDir, ctx.runDir)
    this.#reaper = new LinkReaper(this.#state, helper, ctx.logger)
    this.#loopback = new LoopbackProxy(ctx.logger)
    this.#table = tableName(ctx.daemon.bridge)
  }

  /** Links that an earlier life had not seen off, and ports that it listened on. */
  async init(): Promise<void> {
    for (const endpoint of this.#state.leaving.list()) void this.#reaper.watch(endpoint)
    for (const endpoint of this.#state.endpoints.list()) this.#loopback.publish(endpoint)
  }

  async dispose(): Promise<void> {
    this.#reaper.stop()
    this.#loopback.close()
    // What lives on without us still needs its way through.
    if (this.#tableMade && this.#state.endpoints.list().length === 0) await forgetForeignForwards(this.helper).catch(() => undefined)
  }

  async capabilities(): Promise<{ scope: 'local' }> {
    return { scope: 'local' }
  }

  async createNetwork(spec: NetworkSpec): Promise<void> {
    const wanted = readSpec(spec, this.ctx.daemon.bridge)
    await this.#lock.run('table', async () => {
      const before = this.#state.networks.get(wanted.networkId)
      for (const other of this.#state.networks.list()) {
        if (other.networkId === wanted.networkId) continue
        const against = `cannot create network ${wanted.networkId} (${wanted.bridge}): conflicts with network ${other.networkId} (${other.bridge})`
        if (other.bridge === wanted.bridge) throw forbidden(`${against}: networks have same bridge name`)
        if (overlaps(other.subnet, wanted.subnet)) throw forbidden(`${against}: networks have overlapping IPv4`)
        if (overlaps(other.subnetIPv6, wanted.subnetIPv6)) throw forbidden(`${against}: networks have overlapping IPv6`)
      }
      const ours = before?.bridge === wanted.bridge ? before.owned : interfaceIndex(wanted.bridge) === 0
      const network: BridgeNetwork = { ...wanted, owned: ours }
      this.#state.networks.put(network.networkId, network)
      try {
        await ensureBridge(network)
        await this.#install(network, before)
      } catch (error) {
        if (!before) {
          if (ours) await removeBridge(network, this.helper).catch(() => undefined)
          this.#state.networks.delete(network.networkId)
        }
        throw error
      }
    })
    await this.#passForeign()
  }

  /** The first time the whole table, in one transaction that leaves no moment without the ports of live containers; later its elements. */
  async #install(network: BridgeNetwork, before: BridgeNetwork | undefined): Promise<void> {
    const changed = before !== undefined && JSON.stringify(before) !== JSON.stringify(network)
    if (this.#tableMade && !changed) {
      try {
        for (const family of families) {
          const batch = addAll(new NftBatch(family, this.#table), networkElements(network, family))
          await requestNft(batch.bytes(), batch.names)
        }
        return
      } catch (error) {
        // Somebody flushed the ruleset.
        if (!isMissing(error)) throw error
      }
    }
    await this.#rebuild()
  }

  async #rebuild(): Promise<void> {
    for (const family of families) {
      const batch = new NftBatch(family, this.#table)
      addTable(batch, family)
      for (const network of this.#state.networks.list()) addAll(batch, networkElements(network, family))
      for (const endpoint of this.#state.endpoints.list()) addAll(batch, portElements(endpoint, endpoint.ports, family))
      await requestNft(batch.bytes(), batch.names)
    }
    this.#tableMade = true
  }

  async #passForeign(): Promise<void> {
    this.#foreignChecked = Date.now()
    try {
      await passForeignForwards(this.helper, this.ctx.logger)
    } catch (error) {
      this.ctx.logger.warn('cannot look after the forward chain of another firewall', { error: String(error) })
    }
  }

  async deleteNetwork(networkId: string): Promise<void> {
    const network = this.#state.networks.get(networkId)
    if (!network) return
    await this.#lock.run('table', async () => {
      if (this.#state.endpoints.list().some((endpoint) => endpoint.networkId === networkId)) {
        throw forbidden(`network ${network.name} has active endpoints: disconnect its containers first`)
      }
      const last = this.#state.networks.list().length === 1
      for (const family of families) {
        const batch = new NftBatch(family, this.#table)
        if (last) batch.addTable().deleteTable()
        else for (const [set, list] of networkElements(network, family)) batch.deleteElements(set, list)
        try {
          await requestNft(batch.bytes(), batch.names)
        } catch (error) {
          if (!isMissing(error)) throw error
        }
      }
      if (last) this.#tableMade = false
      if (network.owned) await removeBridge(network, this.helper)
      this.#state.networks.delete(networkId)
    })
  }

  #network(networkId: string): BridgeNetwork {
    const network = this.#state.networks.get(networkId)
    if (!network) throw notFound(`network ${networkId} not found by the bridge driver: create it first`)
    return network
  }

  async createEndpoint(spec: EndpointSpec): Promise<EndpointAnswer> {
    const network = this.#network(spec.networkId)
    for (const [family, subnet, address] of [
      [4, network.subnet, spec.address],
      [6, network.subnetIPv6, spec.addressIPv6],
    ] as const) {
      if (subnet !== '' && address === '')
        throw invalidParameter(`network ${network.name}: an endpoint of a bridge needs an IPv${family} address from its IPAM driver`)
      if (subnet === '' && address !== '') throw invalidParameter(`network ${network.name} has no IPv${family}: it cannot take ${address}`)
    }
    checkEndpointOptions(spec.options)
    if (!spec.macAddress) return { macAddress: macOfEndpoint(spec.address, spec.endpointId) }
    if (((macBytes(spec.macAddress)[0] ?? 1) & 1) === 1) {
      throw invalidParameter(`invalid MAC address ${spec.macAddress}: it is a multicast address`)
    }
    return {}
  }

  async deleteEndpoint(networkId: string, endpointId: string): Promise<void> {
    await this.leave(networkId, endpointId)
  }

  #bindings(network: BridgeNetwork, ports: readonly PublishedPort[]): PublishedPort[] {
    // As with Docker, an internal network publishes nothing.
    if (network.internal) return []
    return ports.map((port) => {
      const hostIp = port.hostIp === '' ? network.hostBinding : port.hostIp
      if (hostIp === '' || hostIp === '::1') return { ...port, hostIp }
      const address = parseIp(hostIp)
      if (!address) throw invalidParameter(`port ${port.hostPort}: ${JSON.stringify(hostIp)} is not an IP address`)
      if ((address.family === 4 ? network.subnet : network.subnetIPv6) === '')
        throw notImplemented(`port ${port.hostPort}: publishing on ${hostIp} needs IPv${address.family} on network ${network.name}`)
      return { ...port, hostIp: formatIp(address) }
    })
  }

  async join(request: JoinRequest): Promise<JoinPlan> {
    const network = this.#network(request.networkId)
    const ports = this.#bindings(network, request.publishedPorts)
    const link = `veth${request.endpointId.slice(0, 11)}`
    const linkMac = macOf(request.endpointId, 12)
    const endpoint: BridgeEndpoint = {
      networkId: request.networkId,
      endpointId: request.endpointId,
      address: request.address,
      addressIPv6: request.addressIPv6,
      link,
      linkMac,
      ports,
    }
    this.#state.endpoints.put(request.endpointId, endpoint)
    // After the plan, which others wait for.
    setImmediate(() => this.#listen(request.endpointId))
    if (ports.length > 0 && Date.now() - this.#foreignChecked > FOREIGN_INTERVAL) void this.#passForeign()

    const used = families.filter((family) => (family === 'ip' ? network.subnet : network.subnetIPv6) !== '')
    const look = ports.length > 0 || !network.icc
    const someFiltered = look && used.some(bridgedFramesAreFiltered)
    const allFiltered = look && used.every(bridgedFramesAreFiltered)
    const peerMac = request.macAddress || macOfEndpoint(request.address, request.endpointId)
    const host: NetOp[] = [
      {
        op: 'veth',
        name: link,
        peerName: request.interfaceName,
        peerMac,
        mac: linkMac,
        master: network.bridge,
        ...(network.mtu ? { mtu: network.mtu } : {}),
        ...(someFiltered && ports.length > 0 ? { hairpin: true } : {}),
        // Where the table sees bridged frames it keeps containers apart itself, and lets published ports through.
        ...(allFiltered || network.icc ? {} : { isolated: true }),
      },
    ]
    for (const [family, elements] of this.#portElements(request, ports)) {
      const batch = addAll(new NftBatch(family, this.#table), elements)
      host.push({ op: 'nft', batch: batch.bytes().toString('base64'), describe: `publish ${describe(ports)}` })
    }
    const inside = request.interfaceName
    const container: NetOp[] = [
      ...ipv6Sysctls(inside, request.addressIPv6 !== ''),
      { op: 'up', link: 'lo' },
      ...(request.address === '' ? [] : [{ op: 'address' as const, link: inside, address: request.address }]),
      ...(request.addressIPv6 === '' ? [] : [{ op: 'address' as const, link: inside, address: request.addressIPv6, nodad: true }]),
      { op: 'up', link: inside },
      // Told to the neighbours, who may know the address with the MAC of another container.
      ...(request.addressIPv6 === '' ? [] : [{ op: 'up' as const, link: inside, mac: peerMac }]),
      ...interfaceSysctls(request.options, inside),
    ]
    const via = (gateway: string): string => (network.internal ? '' : (gateway.split('/')[0] ?? ''))
    const gateways = [via(network.gateway), via(network.gatewayIPv6)]
    for (const gateway of request.defaultGateway ? gateways : []) {
      if (gateway !== '') container.push({ op: 'route', link: inside, destination: 'default', gateway })
    }
    const [gateway = '', gatewayIPv6 = ''] = gateways
    return { host, container, links: [link], gateway, gatewayIPv6 }
  }

  #listen(endpointId: string): void {
    const endpoint = this.#state.endpoints.get(endpointId)
    if (endpoint) this.#loopback.publish(endpoint)
  }

  /** What publishes ports of an endpoint, by family; nothing where there is nothing to do. */
  #portElements(
    endpoint: { address: string; addressIPv6: string },
    ports: readonly PublishedPort[],
  ): [Family, ReturnType<typeof portElements>][] {
    return families.flatMap((family) => {
      const elements = portElements(endpoint, ports, family)
      return elements.length > 0 ? [[family, elements] as [Family, typeof elements]] : []
    })
  }

  async publish(networkId: string, endpointId: string, published: PublishedPort[]): Promise<void> {
    const before = this.#state.endpoints.get(endpointId)
    if (!before) throw notFound(`endpoint ${endpointId} not found by the bridge driver: it has to join first`)
    const ports = this.#bindings(this.#network(networkId), published)
    await this.#unpublish(before)
    const endpoint = { ...before, ports }
    this.#state.endpoints.put(endpointId, endpoint)
    this.#loopback.publish(endpoint)
    for (const [family, elements] of this.#portElements(endpoint, ports)) {
      const batch = addAll(new NftBatch(family, this.#table), elements)
      await requestNft(batch.bytes(), batch.names)
    }
  }

  async leave(_networkId: string, endpointId: string, options: { live?: boolean } = {}): Promise<void> {
    const endpoint = this.#state.endpoints.get(endpointId)
    this.#loopback.withdraw(endpointId)
    if (endpoint) {
      await this.#unpublish(endpoint)
      // Left while the rules were being removed.
      if (this.#state.endpoints.get(endpointId) !== endpoint) return
      this.#state.endpoints.moveTo(this.#state.leaving, endpointId)
      if (!options.live) void this.#reaper.watch(endpoint)
    }
    const leaving = options.live ? this.#state.leaving.get(endpointId) : undefined
    if (leaving) await this.#reaper.remove(leaving)
  }

  async #unpublish(endpoint: BridgeEndpoint): Promise<void> {
    for (const [family, elements] of this.#portElements(endpoint, endpoint.ports)) await this.#removeElements(family, elements)
  }

  async #removeElements(family: Family, elements: ReturnType<typeof portElements>): Promise<void> {
    if (this.#canDestroy) {
      const batch = new NftBatch(family, this.#table)
      for (const [set, list] of elements) batch.destroyElements(set, list)
      try {
        return await requestNft(batch.bytes(), batch.names)
      } catch (error) {
        if (isMissing(error)) return
        if (!isUnsupported(error)) throw error
        this.#canDestroy = false
      }
    }
    // Some may never have been, because the plan stopped half-way, and a batch fails as a whole.
    for (const [set, list] of elements) {
      for (const element of list) {
        const batch = new NftBatch(family, this.#table).deleteElements(set, [element])
        await requestNft(batch.bytes(), batch.names).catch((error: unknown) => {
          if (!isMissing(error)) throw error
        })
      }
    }
  }

  async endpointInfo(_networkId: string, endpointId: string): Promise<Record<string, unknown>> {
    const endpoint = this.#state.endpoints.get(endpointId)
    if (!endpoint) throw notFound(`endpoint ${endpointId} not found by the bridge driver`)
    return { link: endpoint.link, address: endpoint.address, addressIPv6: endpoint.addressIPv6, ports: endpoint.ports }
  }
}

/** Before the link is up: an address is usable at once, and no router of the network is believed. */
function ipv6Sysctls(link: string, enabled: boolean): NetOp[] {
  const set = (key: string, value: string): NetOp => ({ op: 'sysctl', key: `net/ipv6/conf/${link}/${key}`, value })
  return enabled
    ? [set('disable_ipv6', '0'), set('accept_dad', '0'), set('accept_ra', '0'), set('ndisc_notify', '1')]
    : [set('disable_ipv6', '1')]
}

function describe(ports: readonly PublishedPort[]): string {
  const shown = ports.slice(0, 3).map((port) => `${port.hostIp || '0.0.0.0'}:${port.hostPort}/${port.protocol}`)
  return shown.join(', ') + (ports.length > 3 ? ` and ${ports.length - 3} more` : '')
}

/** With br_netfilter, a container's way to its own published port turns around inside the bridge. */
function bridgedFramesAreFiltered(family: Family): boolean {
  try {
    return readFileSync(`/proc/sys/net/bridge/bridge-nf-call-${family}tables`, 'utf8').startsWith('1')
  } catch {
    return false
  }
}

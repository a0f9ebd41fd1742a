import { readFileSync } from 'node:fs'
import { interfaceIndex, macBytes, NftBatch, parseCidrBytes, requestNft } from 'tsd-engine/native'
import {
  type DriverContext,
  type EndpointAnswer,
  type EndpointSpec,
  forbidden,
  invalidParameter,
  type JoinPlan,
  type JoinRequest,
  KeyedLock,
  type NetOp,
  type NetworkDriver,
  type NetworkSpec,
  notFound,
  notImplemented,
  type PublishedPort,
} from 'tsd-engine/sdk'
import { forgetForeignForwards, passForeignForwards } from './foreign.js'
import type { Helper } from './helper.js'
import { ensureBridge, isMissing, isUnsupported, LinkReaper, macOf, macOfAddress, removeBridge } from './links.js'
import { checkEndpointOptions, interfaceSysctls } from './endpoint-options.js'
import { type BridgeNetwork, isIPv4, overlaps, readSpec } from './options.js'
import { addAll, addTable, networkElements, portElements, tableName } from './ruleset.js'
import { type BridgeEndpoint, BridgeState } from './state.js'

/** How often a foreign firewall that came later is looked for, at most. */
const FOREIGN_INTERVAL = 10_000

export class BridgeNetworks implements NetworkDriver {
  readonly #state: BridgeState
  readonly #reaper: LinkReaper
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
    this.#table = tableName(ctx.daemon.bridge)
  }

  /** Links that an earlier life had not seen off. */
  async init(): Promise<void> {
    for (const endpoint of this.#state.leaving.list()) void this.#reaper.watch(endpoint)
  }

  async dispose(): Promise<void> {
    this.#reaper.stop()
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
    const batch = new NftBatch('ip', this.#table)
    if (this.#tableMade && !changed) {
      addAll(batch, networkElements(network))
      try {
        return await requestNft(batch.bytes(), batch.names)
      } catch (error) {
        // Somebody flushed the ruleset.
        if (!isMissing(error)) throw error
      }
    }
    await this.#rebuild()
  }

  async #rebuild(): Promise<void> {
    const batch = new NftBatch('ip', this.#table)
    addTable(batch)
    for (const network of this.#state.networks.list()) addAll(batch, networkElements(network))
    for (const endpoint of this.#state.endpoints.list()) addAll(batch, portElements(endpoint.address, endpoint.ports))
    await requestNft(batch.bytes(), batch.names)
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
      const batch = new NftBatch('ip', this.#table)
      if (this.#state.networks.list().length === 1) batch.addTable().deleteTable()
      else for (const [set, list] of networkElements(network)) batch.deleteElements(set, list)
      try {
        await requestNft(batch.bytes(), batch.names)
        if (this.#state.networks.list().length === 1) this.#tableMade = false
      } catch (error) {
        if (!isMissing(error)) throw error
      }
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
    if (spec.addressIPv6) throw notImplemented(`network ${network.name}: the bridge driver has no IPv6 yet`)
    if (!spec.address) throw invalidParameter(`network ${network.name}: an endpoint of a bridge needs an IPv4 address from its IPAM driver`)
    checkEndpointOptions(spec.options)
    if (!spec.macAddress) return { macAddress: macOfAddress(spec.address) }
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
      if (hostIp !== '' && !isIPv4(hostIp)) {
        throw notImplemented(`port ${port.hostPort}: publishing on ${hostIp} is not possible yet, the bridge driver has no IPv6`)
      }
      return { ...port, hostIp: hostIp === '0.0.0.0' ? '' : hostIp }
    })
  }

  async join(request: JoinRequest): Promise<JoinPlan> {
    const network = this.#network(request.networkId)
    const { bytes: gateway } = parseCidrBytes(network.gateway)
    const ports = this.#bindings(network, request.publishedPorts)
    const link = `veth${request.endpointId.slice(0, 11)}`
    const linkMac = macOf(request.endpointId, 12)
    const elements = portElements(request.address, ports)
    this.#state.endpoints.put(request.endpointId, {
      networkId: request.networkId,
      endpointId: request.endpointId,
      address: request.address,
      link,
      linkMac,
      ports,
    })
    if (ports.length > 0 && Date.now() - this.#foreignChecked > FOREIGN_INTERVAL) void this.#passForeign()

    const filtered = (ports.length > 0 || !network.icc) && bridgedFramesAreFiltered()
    const host: NetOp[] = [
      {
        op: 'veth',
        name: link,
        peerName: request.interfaceName,
        peerMac: request.macAddress || macOfAddress(request.address),
        mac: linkMac,
        master: network.bridge,
        ...(network.mtu ? { mtu: network.mtu } : {}),
        ...(filtered && ports.length > 0 ? { hairpin: true } : {}),
        // Where the table sees bridged frames it keeps containers apart itself, and lets published ports through.
        ...(filtered || network.icc ? {} : { isolated: true }),
      },
    ]
    if (elements.length > 0) {
      const batch = addAll(new NftBatch('ip', this.#table), elements)
      host.push({ op: 'nft', batch: batch.bytes().toString('base64'), describe: `publish ${describe(ports)}` })
    }
    const routed = request.defaultGateway && !network.internal
    const container: NetOp[] = [
      { op: 'sysctl', key: `net/ipv6/conf/${request.interfaceName}/disable_ipv6`, value: '1' },
      { op: 'up', link: 'lo' },
      { op: 'address', link: request.interfaceName, address: request.address },
      { op: 'up', link: request.interfaceName },
      ...interfaceSysctls(request.options, request.interfaceName),
    ]
    const via = gateway.join('.')
    if (routed) container.push({ op: 'route', link: request.interfaceName, destination: 'default', gateway: via })
    return { host, container, links: [link], gateway: network.internal ? '' : via, gatewayIPv6: '' }
  }

  async publish(networkId: string, endpointId: string, published: PublishedPort[]): Promise<void> {
    const before = this.#state.endpoints.get(endpointId)
    if (!before) throw notFound(`endpoint ${endpointId} not found by the bridge driver: it has to join first`)
    const ports = this.#bindings(this.#network(networkId), published)
    await this.#unpublish(before)
    const endpoint = { ...before, ports }
    this.#state.endpoints.put(endpointId, endpoint)
    const elements = portElements(endpoint.address, ports)
    if (elements.length > 0) {
      const batch = addAll(new NftBatch('ip', this.#table), elements)
      await requestNft(batch.bytes(), batch.names)
    }
  }

  async leave(_networkId: string, endpointId: string, options: { live?: boolean } = {}): Promise<void> {
    const endpoint = this.#state.endpoints.get(endpointId)
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
    const elements = portElements(endpoint.address, endpoint.ports)
    if (elements.length === 0) return
    if (this.#canDestroy) {
      const batch = new NftBatch('ip', this.#table)
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
        const batch = new NftBatch('ip', this.#table).deleteElements(set, [element])
        await requestNft(batch.bytes(), batch.names).catch((error: unknown) => {
          if (!isMissing(error)) throw error
        })
      }
    }
  }

  async endpointInfo(_networkId: string, endpointId: string): Promise<Record<string, unknown>> {
    const endpoint = this.#state.endpoints.get(endpointId)
    if (!endpoint) throw notFound(`endpoint ${endpointId} not found by the bridge driver`)
    return { link: endpoint.link, address: endpoint.address, ports: endpoint.ports }
  }
}

function describe(ports: readonly PublishedPort[]): string {
  const shown = ports.slice(0, 3).map((port) => `${port.hostIp || '0.0.0.0'}:${port.hostPort}/${port.protocol}`)
  return shown.join(', ') + (ports.length > 3 ? ` and ${ports.length - 3} more` : '')
}

/** With br_netfilter, a container's way to its own published port turns around inside the bridge. */
function bridgedFramesAreFiltered(): boolean {
  try {
    return readFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', 'utf8').startsWith('1')
  } catch {
    return false
  }
}

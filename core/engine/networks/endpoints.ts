import { randomId, shortId } from '../../base/ids.js'
import { type IpFamily, parseIp } from '../../base/ip-block.js'
import type { EndpointSettings } from '../../schema/engine-api.js'
import {
  conflict,
  forbidden,
  invalidParameter,
  isTsdError,
  messageOf,
  notFound,
  notImplemented,
  systemError,
  TsdError,
} from '../../sdk/errors.js'
import type { PortProtocol, PublishedPort } from '../../sdk/kinds/network.js'
import type { Drivers, LedgerEntry, LedgerResource, LoggerPort, RunLedger } from '../ports/index.js'
import type { Endpoint, EndpointRequest, NetworkMember } from './contract.js'
import { Directory } from './directory.js'
import { withDriver } from './drivers.js'
import { HostPorts } from './host-ports.js'
import { isIPv6, isPredefined, type NetworkPool, type NetworkRecord, type NetworkRecords } from './records.js'
import { blockContains } from './validate.js'

/** What network inspect shows of a container, and what is known of an endpoint while it lives. */
export interface ActiveEndpoint extends NetworkMember {
  owner: string
}

const kinds = ['endpoint', 'address', 'port']

/** Drivers without addresses and ports. */
const isBare = (driver: string): boolean => driver === 'host' || driver === 'null'

/** A port's name in the ledger. */
const portKey = (endpointId: string, port: PublishedPort): string => `${endpointId}:${port.protocol}:${port.hostIp}:${port.hostPort}`

/** An endpoint has an address of each family, and any number of ports. */
const endpointOf = (entry: LedgerEntry): string => entry.key.split(':')[0] ?? ''
const addressKey = (endpointId: string, family: IpFamily): string => (family === 4 ? endpointId : `${endpointId}:6`)

/** Endpoints: taken, given back, found again after a restart. The ledger knows each of them before anything is done. */
export class Endpoints {
  readonly #active = new Map<string, ActiveEndpoint>()
  /** Between connect() and connected(). */
  readonly #joining = new Map<string, ActiveEndpoint>()
  readonly #ports = new HostPorts()
  readonly directory = new Directory()

  constructor(
    private readonly records: NetworkRecords,
    private readonly drivers: Drivers,
    private readonly ledger: RunLedger,
    private readonly logger: LoggerPort,
  ) {}

  of(networkId: string): ActiveEndpoint[] {
    return [...this.#active.values()].filter(({ endpoint }) => endpoint.networkId === networkId)
  }

  busy(networkId: string): boolean {
    return [...this.#active.values(), ...this.#joining.values()].some(({ endpoint }) => endpoint.networkId === networkId)
  }

  owned(owner: string): Endpoint[] {
    return [...this.#active.values()].filter((active) => active.owner === owner).map(({ endpoint }) => endpoint)
  }

  async connect(record: NetworkRecord, request: EndpointRequest, owner: string): Promise<Endpoint> {
    checkSettings(record, request.settings)
    const endpointId = randomId()
    const bare = isBare(record.driver)
    const endpoint: Endpoint = {
      endpointId,
      networkId: record.id,
      networkName: record.name,
      driver: record.driver,
      interfaceName: request.interfaceName,
      settings: {},
      publishedPorts: [],
      join: { host: [], container: [], links: [], gateway: '', gatewayIPv6: '' },
    }
    // Seen from now on by a removal of the network.
    const member = { owner, containerId: request.containerId, containerName: request.containerName, endpoint }
    this.#joining.set(endpointId, member)
    try {
      const pools = bare ? [] : poolsFor(record, request)
      const dual = pools.some(({ family }) => family === 6)
      if (!bare) endpoint.publishedPorts = await this.#choosePorts(request, endpointId, dual)
      const intents: LedgerResource[] = [{ kind: 'endpoint', key: endpointId, data: { networkId: record.id, driver: record.driver } }]
      for (const { pool, family } of pools) {
        intents.push({ kind: 'address', key: addressKey(endpointId, family), data: { driver: record.ipamDriver, poolId: pool.poolId } })
      }
      for (const port of endpoint.publishedPorts) intents.push({ kind: 'port', key: portKey(endpointId, port), data: { port, dual } })
      this.ledger.intend(owner, intents)

      const given: Given = { address: '', addressIPv6: '' }
      for (const { pool, family, wanted } of pools) {
        given[family === 4 ? 'address' : 'addressIPv6'] = await this.#takeAddress(record, pool.poolId, wanted, endpointId, request)
      }
      await this.#join(record, request, endpoint, given)
      this.directory.add(member)
      return endpoint
    } catch (error) {
      await this.disconnect(record.id, endpointId, owner)
      throw error
    }
  }

  async #choosePorts(request: EndpointRequest, endpointId: string, dual: boolean): Promise<PublishedPort[]> {
    if (request.publishedPorts.length === 0) return []
    try {
      return await this.#ports.choose(request.publishedPorts, endpointId, dual)
    } catch (error) {
      const category = isTsdError(error) ? error.category : 'System'
      throw new TsdError(
        category,
        `driver failed programming external connectivity on endpoint ${request.containerName} (${endpointId}): ${messageOf(error)}`,
        { cause: error },
      )
    }
  }

  async #takeAddress(record: NetworkRecord, poolId: string, address: string, holder: string, request: EndpointRequest): Promise<string> {
    const options = { 'com.docker.network.endpoint.name': request.containerName }
    try {
      return await this.#ipam(record.ipamDriver, (ipam) => ipam.requestAddress({ poolId, address, holder, options })).then(
        (given) => given.address,
      )
    } catch (error) {
      if (isTsdError(error) && error.category === 'Conflict') throw forbidden('Address already in use', { cause: error })
      if (isTsdError(error) && error.category === 'Unavailable') throw systemError(error.message, { cause: error })
      throw error
    }
  }

  #ipam<T>(name: string, use: Parameters<typeof withDriver<'ipam', T>>[4]): Promise<T> {
    const active = this.drivers.active('ipam', name)
    return active ? use(active) : withDriver(this.drivers, 'ipam', name, 'endpoint', use)
  }

  #network<T>(name: string, use: Parameters<typeof withDriver<'network', T>>[4]): Promise<T> {
    const active = this.drivers.active('network', name)
    return active ? use(active) : withDriver(this.drivers, 'network', name, 'endpoint', use)
  }

  async #join(record: NetworkRecord, request: EndpointRequest, endpoint: Endpoint, given: Given): Promise<void> {
    const { settings } = request
    const { endpointId } = endpoint
    const options = settings.DriverOpts ?? {}
    let { address, addressIPv6 } = given
    let macAddress = settings.MacAddress || (address === '' && addressIPv6 === '' ? '' : macOf(address, endpointId))
    await this.#network(record.driver, async (driver) => {
      const networkId = record.id
      const answer = await driver.createEndpoint({ networkId, endpointId, address, addressIPv6, macAddress, options })
      address ||= answer.address ?? ''
      addressIPv6 ||= answer.addressIPv6 ?? ''
      macAddress ||= answer.macAddress ?? ''
      endpoint.join = await driver.join({
        networkId,
        endpointId,
        interfaceName: request.interfaceName,
        address,
        addressIPv6,
        macAddress,
        defaultGateway: request.defaultGateway,
        publishedPorts: endpoint.publishedPorts,
        exposedPorts: request.exposedPorts,
        options,
      })
    })
    const [plain = '', prefix = '0'] = address.split('/')
    const [plainIPv6 = '', prefixIPv6 = '0'] = addressIPv6.split('/')
    endpoint.settings = {
      IPAMConfig: settings.IPAMConfig ?? null,
      Links: settings.Links ?? null,
      Aliases: settings.Aliases ?? null,
      MacAddress: macAddress,
      DriverOpts: settings.DriverOpts ?? null,
      GwPriority: settings.GwPriority ?? 0,
      NetworkID: record.id,
      EndpointID: endpointId,
      Gateway: endpoint.join.gateway,
      IPAddress: plain,
      IPPrefixLen: Number(prefix),
      IPv6Gateway: endpoint.join.gatewayIPv6,
      GlobalIPv6Address: plainIPv6,
      GlobalIPv6PrefixLen: Number(prefixIPv6),
      DNSNames: dnsNames(record, request, settings),
    }
  }

  connected(endpoint: Endpoint): ActiveEndpoint | undefined {
    const active = this.#joining.get(endpoint.endpointId)
    if (!active) return undefined
    this.#joining.delete(endpoint.endpointId)
    this.#active.set(endpoint.endpointId, active)
    this.#record(active)
    return active
  }

  #record({ owner, containerId, containerName, endpoint }: ActiveEndpoint): void {
    // The plan is done and never carried out again.
    const stored: Endpoint = { ...endpoint, join: { ...endpoint.join, host: [], container: [] } }
    this.ledger.fact(owner, [{ kind: 'endpoint', key: endpoint.endpointId, data: { containerId, containerName, endpoint: stored } }])
  }

  rename(owner: string, containerName: string): void {
    for (const active of this.#active.values()) {
      if (active.owner !== owner) continue
      const { settings, networkId, endpointId } = active.endpoint
      this.directory.remove(networkId, endpointId)
      const others = settings.DNSNames?.filter((name) => name !== active.containerName)
      if (others) settings.DNSNames = [...new Set([containerName, ...others])]
      active.containerName = containerName
      this.directory.add(active)
      this.#record(active)
    }
  }

  /** The ledger names the ports with both endpoints until they have moved. */
  async movePorts(from: Endpoint, to: Endpoint, owner: string): Promise<void> {
    const ports = from.publishedPorts
    if (ports.length === 0) return
    const dual = Boolean(to.settings.GlobalIPv6Address)
    this.ledger.intend(
      owner,
      ports.map((port) => ({ kind: 'port', key: portKey(to.endpointId, port), data: { port, dual } })),
    )
    const publish = ({ driver, networkId, endpointId }: Endpoint, wanted: PublishedPort[]): Promise<void> =>
      this.#network(driver, async (network) => network.publish?.(networkId, endpointId, wanted))
    const keys = ({ endpointId }: Endpoint) => ports.map((port) => ({ kind: 'port', key: portKey(endpointId, port) }))
    await publish(from, [])
    try {
      await publish(to, ports)
    } catch (error) {
      await publish(from, ports)
      this.ledger.released(owner, keys(to))
      throw error
    }
    from.publishedPorts = []
    to.publishedPorts = ports
    for (const port of ports) {
      this.#ports.release(port, from.endpointId)
      this.#ports.adopt(port, to.endpointId, dual)
    }
    this.ledger.released(owner, keys(from))
    for (const { endpointId } of [from, to]) {
      const active = this.#active.get(endpointId)
      if (active) this.#record(active)
    }
  }

  /** Answers what was shown in network inspect, if it was. What a driver out of reach holds stays in the ledger. */
  async disconnect(networkId: string, endpointId: string, owner: string): Promise<ActiveEndpoint | undefined> {
    const entries = this.ledger.entries(owner).filter((entry) => kinds.includes(entry.kind) && endpointOf(entry) === endpointId)
    const known = this.#active.get(endpointId) ?? this.#joining.get(endpointId)
    this.directory.remove(networkId, endpointId)
    try {
      await this.#giveBack(networkId, endpointId, entries)
      if (entries.length > 0)
        this.ledger.released(
          owner,
          entries.map(({ kind, key }) => ({ kind, key })),
        )
    } catch (error) {
      this.logger.warn('an endpoint cannot be released yet', { endpoint: endpointId, network: networkId, error: messageOf(error) })
    }
    if (entries.length === 0) for (const port of known?.endpoint.publishedPorts ?? []) this.#ports.release(port, endpointId)
    this.#joining.delete(endpointId)
    return this.#active.delete(endpointId) ? known : undefined
  }

  async #giveBack(networkId: string, endpointId: string, entries: readonly LedgerEntry[]): Promise<void> {
    const endpoint = entries.find(({ kind }) => kind === 'endpoint')
    if (endpoint) {
      await this.#network(String(endpoint.data?.['driver']), async (driver) => {
        await driver.leave(networkId, endpointId)
        await driver.deleteEndpoint(networkId, endpointId)
      })
    }
    for (const { data } of entries.filter(({ kind }) => kind === 'address')) {
      const poolId = String(data?.['poolId'])
      await this.#ipam(String(data?.['driver']), (ipam) => ipam.releaseAddress(poolId, { address: '', holder: endpointId }))
    }
    for (const entry of entries) if (entry.kind === 'port') this.#ports.release(portOf(entry), endpointId)
  }

  async releaseOwner(owner: string): Promise<void> {
    const ids = new Set(
      this.ledger
        .entries(owner)
        .filter(({ kind }) => kinds.includes(kind))
        .map(endpointOf),
    )
    for (const endpointId of ids) await this.disconnect(this.#networkOf(owner, endpointId), endpointId, owner)
  }

  #networkOf(owner: string, endpointId: string): string {
    const entry = this.ledger.entries(owner).find(({ kind, key }) => kind === 'endpoint' && key === endpointId)
    return String(entry?.data?.['networkId'] ?? '')
  }

  /** Facts of owners that live are taken over; everything else that is in the ledger is released. */
  async restore(alive: (owner: string) => boolean): Promise<void> {
    const entries = this.ledger.entries().filter(({ kind }) => kinds.includes(kind))
    for (const entry of entries) {
      if (entry.kind === 'port') this.#ports.adopt(portOf(entry), endpointOf(entry), entry.data?.['dual'] === true)
    }
    const orphans: LedgerEntry[] = []
    for (const entry of entries) {
      if (entry.kind !== 'endpoint') continue
      const endpoint = entry.data?.['endpoint'] as Endpoint | undefined
      if (entry.state === 'fact' && endpoint && alive(entry.owner) && this.records.get(endpoint.networkId)) {
        const { containerId, containerName } = entry.data as { containerId: string; containerName: string }
        const active = { owner: entry.owner, containerId, containerName, endpoint }
        this.#active.set(entry.key, active)
        this.directory.add(active)
      } else orphans.push(entry)
    }
    for (const entry of orphans) await this.disconnect(String(entry.data?.['networkId'] ?? ''), entry.key, entry.owner)
  }

  /** What could not be released before, now that its driver may be there. */
  async retry(): Promise<void> {
    for (const entry of this.ledger.entries()) {
      if (entry.kind !== 'endpoint' || this.#active.has(entry.key) || this.#joining.has(entry.key)) continue
      await this.disconnect(String(entry.data?.['networkId'] ?? ''), entry.key, entry.owner)
    }
  }
}

function portOf(entry: LedgerEntry): PublishedPort {
  const port = entry.data?.['port'] as PublishedPort | undefined
  const [, protocol = 'tcp', hostIp = '', hostPort = '0'] = entry.key.split(':')
  return port ?? { protocol: protocol as PortProtocol, containerPort: 0, hostIp, hostPort: Number(hostPort) }
}

/** Docker's rule: 02:42 and the IPv4 address; without one, what is never given twice. */
function macOf(cidr: string, endpointId: string): string {
  const [address = ''] = cidr.split('/')
  const bytes = address === '' ? (endpointId.match(/../g) ?? []).slice(0, 4) : address.split('.').map((part) => Number(part).toString(16))
  return `02:42:${bytes.map((byte) => byte.padStart(2, '0')).join(':')}`
}

function dnsNames(record: NetworkRecord, request: EndpointRequest, settings: EndpointSettings): string[] | null {
  if (isPredefined(record.name)) return null
  const names = [request.containerName, ...(settings.Aliases ?? []), shortId(request.containerId), request.hostname]
  return [...new Set(names.filter((name) => name !== ''))]
}

interface Given {
  /** CIDR, or empty. */
  address: string
  addressIPv6: string
}

/** The addresses that the user named, in Docker's words if that cannot be. */
export function checkSettings(record: NetworkRecord, settings: EndpointSettings): void {
  const { IPAMConfig: wanted, MacAddress: mac } = settings
  if (mac && !/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(mac)) throw invalidParameter(`invalid MAC address: ${mac}`)
  if (wanted?.LinkLocalIPs?.length) {
    throw notImplemented(`network ${record.name}: IPAMConfig.LinkLocalIPs is not supported: name an address of the network's subnet`)
  }
  for (const [family, address] of [
    [4, wanted?.IPv4Address ?? ''],
    [6, wanted?.IPv6Address ?? ''],
  ] as const) {
    if (address === '') continue
    if (parseIp(address)?.family !== family) throw invalidParameter(`invalid IPv${family} address: ${address}`)
    if (isPredefined(record.name))
      throw invalidParameter('invalid config for network: user specified IP address is supported on user defined networks only')
    if (!record.pools.some((pool) => pool.configured && isIPv6(pool.pool) === (family === 6)))
      throw invalidParameter('user specified IP address is supported only when connecting to networks with user configured subnets')
    if (!record.pools.some((pool) => blockContains(pool.pool, address)))
      throw invalidParameter(`invalid config for network ${record.name}: no configured subnet contains IP address ${address}`)
  }
}

/** One pool of each family: the one that holds the address that the user named, or the first. */
function poolsFor(record: NetworkRecord, request: EndpointRequest): { pool: NetworkPool; family: IpFamily; wanted: string }[] {
  const config = request.settings.IPAMConfig
  const one = (family: IpFamily, wanted: string) => {
    const ofFamily = record.pools.filter(({ pool }) => isIPv6(pool) === (family === 6))
    const pool = ofFamily.find((candidate) => wanted === '' || blockContains(candidate.pool, wanted))
    return pool ? [{ pool, family, wanted }] : []
  }
  return [...one(4, config?.IPv4Address ?? ''), ...one(6, config?.IPv6Address ?? '')]
}

/** Docker lets a container join a network only once. */
export function refuseTwice(record: NetworkRecord, request: EndpointRequest, endpoints: readonly ActiveEndpoint[]): void {
  if (endpoints.some(({ containerId }) => containerId === request.containerId)) {
    throw forbidden(`endpoint with name ${request.containerName} already exists in network ${record.name}`)
  }
}

export function unknownEndpoint(endpointId: string): TsdError {
  return notFound(`endpoint ${endpointId} not found`)
}

export const nameTaken = (name: string): TsdError => conflict(`network with name ${name} already exists`)

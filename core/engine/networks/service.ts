import { inject, injectable } from 'tsyringe'
import { randomId } from '../../base/ids.js'
import { KeyedLock } from '../../base/keyed-lock.js'
import type { EndpointSettings, Network, NetworkCreateResponse } from '../../schema/engine-api.js'
import { conflict, forbidden, messageOf, notFound } from '../../sdk/errors.js'
import type { IpamDriver } from '../../sdk/kinds/ipam.js'
import type { NetworkDriver } from '../../sdk/kinds/network.js'
import { Events } from '../events/index.js'
import { Clock, Drivers, EngineConfig, Logger, MetadataStore, RunLedger, type LoggerPort } from '../ports/index.js'
import type { Endpoint, EndpointRequest, NetworkCreateRequest, NetworkFacts, NetworkMember, Networks } from './contract.js'
import { withDriver } from './drivers.js'
import { checkSettings, Endpoints, refuseTwice } from './endpoints.js'
import { checkFilters, listFilters, matches, pruneFilters, untilOf, type Filters } from './filters.js'
import { releasePools, takePools, wishesOf } from './pools.js'
import { predefinedRequests } from './predefined.js'
import { describe, isPredefined, type NetworkRecord, NetworkRecords, recordOf, specOf } from './records.js'
import { checkCreate, sameBlock } from './validate.js'

/** Drivers whose one network is predefined. */
const single = ['host', 'null']

@injectable()
export class NetworksService implements Networks {
  private readonly records: NetworkRecords
  private readonly endpointsOf: Endpoints
  private readonly locks = new KeyedLock()
  private readonly removing = new Set<string>()
  /** Stored networks that their driver has not made again yet in this life. */
  private readonly pending = new Set<string>()

  constructor(
    @inject(MetadataStore) store: MetadataStore,
    @inject(Drivers) private readonly drivers: Drivers,
    @inject(RunLedger) private readonly ledger: RunLedger,
    @inject(EngineConfig) private readonly config: EngineConfig,
    @inject(Events) private readonly events: Events,
    @inject(Clock) private readonly clock: Clock,
    @inject(Logger) private readonly logger: LoggerPort,
  ) {
    this.records = new NetworkRecords(store)
    this.endpointsOf = new Endpoints(this.records, drivers, ledger, logger)
  }

  async list(filters: Filters): Promise<Network[]> {
    checkFilters(filters, listFilters)
    await this.records.load()
    const chosen = this.records.all().filter((record) => matches(record, this.endpointsOf.busy(record.id), filters))
    return chosen.sort((a, b) => (a.name < b.name ? -1 : 1)).map((record) => describe(record, []))
  }

  async inspect(reference: string, options: { verbose?: boolean; scope?: string } = {}): Promise<Network> {
    await this.records.load()
    const record = this.records.resolve(reference)
    if (options.scope && options.scope !== record.scope) throw notFound(`network ${reference} not found`)
    return describe(record, this.endpointsOf.of(record.id))
  }

  async resolve(reference: string): Promise<NetworkFacts> {
    await this.records.load()
    const { id, name, driver, internal, options } = this.records.resolve(reference)
    const interfacePrefix = options['com.docker.network.container_iface_prefix'] || 'eth'
    return { id, name, driver, internal, userDefined: !isPredefined(name), interfacePrefix }
  }

  async create(request: NetworkCreateRequest): Promise<NetworkCreateResponse> {
    checkCreate(request)
    await this.records.load()
    return await this.locks.run('networks', async () => {
      if (this.records.named(request.name)) throw conflict(`network with name ${request.name} already exists`)
      const driver = request.driver || this.drivers.defaultName('network')
      if (single.includes(driver)) throw forbidden(`only one instance of "${driver}" network is allowed`)
      for (const { subnet } of request.ipam.config) {
        if (this.records.all().some(({ pools }) => pools.some(({ pool }) => sameBlock(pool, subnet)))) {
          throw forbidden('invalid pool request: Pool overlaps with other one on this address space')
        }
      }
      const record = recordOf(request, randomId(), this.clock.timestamp(), driver)
      await this.make(record, request.ipam.config)
      this.events.publish('network', 'create', record.id, { name: record.name, type: record.driver })
      return { Id: record.id, Warning: '' }
    })
  }

  private owner(record: NetworkRecord): string {
    return `network ${record.id}`
  }

  /** Both drivers of a network, for as long as the work takes. */
  private withDrivers<T>(record: NetworkRecord, work: (network: NetworkDriver, ipam: IpamDriver) => Promise<T>): Promise<T> {
    const owner = this.owner(record)
    return withDriver(this.drivers, 'network', record.driver, owner, (network) =>
      withDriver(this.drivers, 'ipam', record.ipamDriver, owner, (ipam) => work(network, ipam)),
    )
  }

  /** Pools, the driver's part, the record: in that order, and back in the other when one fails. */
  private make(record: NetworkRecord, wishes: NetworkCreateRequest['ipam']['config']): Promise<void> {
    const { id, driver, ipamDriver, ipamOptions, enableIPv4, enableIPv6 } = record
    return this.withDrivers(record, async (network, ipam) => {
      record.scope = (await network.capabilities()).scope
      if (record.scope === 'global') throw forbidden(`network driver ${driver} has global scope: its networks need swarm mode`)
      this.ledger.intend(this.owner(record), [
        { kind: 'network', key: id, data: { driver, ipamDriver, ipamOptions, enableIPv4, enableIPv6, wishes } },
      ])
      try {
        record.pools = await takePools(ipam, record, wishes, !single.includes(driver))
        await network.createNetwork(specOf(record))
        await this.records.save(record)
      } catch (error) {
        await this.unmake(record, network, ipam)
        throw error
      }
      this.ledger.released(this.owner(record), [{ kind: 'network', key: id }])
    })
  }

  /** Safe to repeat. What cannot be taken back now stays in the ledger, for the next boot. */
  private async unmake(record: NetworkRecord, network: NetworkDriver, ipam: IpamDriver): Promise<void> {
    try {
      await network.deleteNetwork(record.id)
      await releasePools(ipam, record.id, record.pools)
      this.ledger.released(this.owner(record), [{ kind: 'network', key: record.id }])
    } catch (error) {
      this.logger.warn('a half-made network cannot be taken back yet', { network: record.name, error: messageOf(error) })
    }
  }

  async remove(reference: string): Promise<void> {
    await this.records.load()
    await this.locks.run('networks', async () => {
      const record = this.records.resolve(reference)
      if (isPredefined(record.name)) throw forbidden(`${record.name} is a pre-defined network and cannot be removed`)
      await this.removeRecord(record)
    })
  }

  private async removeRecord(record: NetworkRecord): Promise<void> {
    if (this.endpointsOf.busy(record.id)) {
      throw forbidden(`error while removing network: network ${record.name} id ${record.id} has active endpoints`)
    }
    this.removing.add(record.id)
    try {
      await this.withDrivers(record, async (network, ipam) => {
        await network.deleteNetwork(record.id)
        await releasePools(ipam, record.id, record.pools)
        await this.records.forget(record.id)
      })
      this.pending.delete(record.id)
    } finally {
      this.removing.delete(record.id)
    }
    this.events.publish('network', 'destroy', record.id, { name: record.name, type: record.driver })
  }

  async prune(filters: Filters): Promise<{ NetworksDeleted: string[] }> {
    checkFilters(filters, pruneFilters)
    const until = untilOf(filters, this.clock.now())
    await this.records.load()
    return await this.locks.run('networks', async () => {
      const NetworksDeleted: string[] = []
      for (const record of this.records.all()) {
        if (isPredefined(record.name) || this.endpointsOf.busy(record.id)) continue
        if (!matches(record, false, filters) || (until !== undefined && Date.parse(record.created) > until)) continue
        try {
          await this.removeRecord(record)
          NetworksDeleted.push(record.name)
        } catch (error) {
          this.logger.warn('network prune leaves a network', { network: record.name, error: messageOf(error) })
        }
      }
      if (NetworksDeleted.length > 0) this.events.publish('network', 'prune', '', { reclaimed: '0' })
      return { NetworksDeleted }
    })
  }

  async check(reference: string, settings: EndpointSettings): Promise<void> {
    await this.records.load()
    checkSettings(this.records.resolve(reference), settings)
  }

  async connect(request: EndpointRequest, owner: string): Promise<Endpoint> {
    await this.records.load()
    const record = this.records.resolve(request.network)
    if (this.removing.has(record.id)) throw notFound(`network ${request.network} not found`)
    if (this.pending.has(record.id)) await this.makeAgain(record)
    refuseTwice(record, request, this.endpointsOf.of(record.id))
    return await this.endpointsOf.connect(record, request, owner)
  }

  connected(endpoint: Endpoint): void {
    const active = this.endpointsOf.connected(endpoint)
    if (active) this.publish('connect', endpoint, active.containerId)
  }

  private publish(action: string, endpoint: Endpoint, containerId: string): void {
    const attributes = { container: containerId, name: endpoint.networkName, type: endpoint.driver }
    this.events.publish('network', action, endpoint.networkId, attributes)
  }

  rename(owner: string, containerName: string): void {
    this.endpointsOf.rename(owner, containerName)
  }

  async movePorts(from: Endpoint, to: Endpoint, owner: string): Promise<void> {
    await this.endpointsOf.movePorts(from, to, owner)
  }

  async disconnect(networkId: string, endpointId: string, owner: string): Promise<void> {
    const active = await this.endpointsOf.disconnect(networkId, endpointId, owner)
    if (active) this.publish('disconnect', active.endpoint, active.containerId)
  }

  async releaseOwner(owner: string): Promise<void> {
    await this.endpointsOf.releaseOwner(owner)
  }

  named(networkId: string, name: string): readonly NetworkMember[] {
    return this.endpointsOf.directory.named(networkId, name)
  }

  addressed(networkId: string, address: string): NetworkMember | undefined {
    return this.endpointsOf.directory.addressed(networkId, address)
  }

  endpoints(owner: string): Endpoint[] {
    return this.endpointsOf.owned(owner)
  }

  async restore(alive: (owner: string) => boolean): Promise<void> {
    await this.records.load()
    await this.releaseHalfMade()
    for (const request of predefinedRequests(this.config)) await this.ensurePredefined(request)
    for (const record of this.records.all()) this.pending.add(record.id)
    for (const record of this.records.all()) {
      try {
        await this.makeAgain(record)
      } catch (error) {
        this.logger.error('a network is not usable', { network: record.name, driver: record.driver, error: messageOf(error) })
      }
    }
    await this.endpointsOf.restore(alive)
    for (const kind of ['network', 'ipam'] as const) this.drivers.onActivate(kind, () => void this.retry())
  }

  /** A driver has come: what waited for one is tried again. */
  private async retry(): Promise<void> {
    for (const id of [...this.pending]) {
      const record = this.records.get(id)
      if (record) await this.makeAgain(record).catch(() => undefined)
    }
    await this.endpointsOf.retry()
  }

  /** The driver's part of a stored network; after a reboot nothing of it is there. */
  private makeAgain(record: NetworkRecord): Promise<void> {
    return this.locks.run(record.id, async () => {
      if (!this.pending.has(record.id)) return
      await this.withDrivers(record, async (network, ipam) => {
        await takePools(ipam, record, wishesOf(record), !single.includes(record.driver))
        await network.createNetwork(specOf(record))
      })
      this.pending.delete(record.id)
    })
  }

  /** Creations that a kill interrupted before they were acknowledged. */
  private async releaseHalfMade(): Promise<void> {
    for (const entry of this.ledger.entries()) {
      if (entry.kind !== 'network') continue
      if (this.records.get(entry.key)) {
        this.ledger.released(entry.owner, [{ kind: entry.kind, key: entry.key }])
        continue
      }
      const data = entry.data as unknown as HalfMade
      const record = recordOf(emptyRequest(data), entry.key, '', data.driver)
      try {
        await this.withDrivers(record, async (network, ipam) => {
          // Asking again under the same name tells which pools they were, or takes them for a moment.
          record.pools = await takePools(ipam, record, data.wishes, !single.includes(data.driver)).catch(() => [])
          await this.unmake(record, network, ipam)
        })
      } catch (error) {
        this.logger.warn('a half-made network waits for its driver', { network: entry.key, error: messageOf(error) })
      }
    }
  }

  private async ensurePredefined(request: NetworkCreateRequest): Promise<void> {
    const existing = this.records.named(request.name)
    const unchanged = existing && request.ipam.config.every(({ subnet }, i) => sameBlock(existing.pools[i]?.pool ?? '', subnet))
    if (existing && unchanged) {
      if (JSON.stringify(existing.options) !== JSON.stringify(request.options)) {
        await this.records.save({ ...existing, options: request.options })
      }
      return
    }
    try {
      // Another subnet in the configuration: the network is made anew.
      if (existing) await this.removeRecord(existing)
      await this.make(recordOf(request, randomId(), this.clock.timestamp(), request.driver), request.ipam.config)
    } catch (error) {
      this.logger.error('a predefined network cannot be made', { network: request.name, error: messageOf(error) })
    }
  }
}

/** What the ledger says of a network between intent and record. */
interface HalfMade {
  driver: string
  ipamDriver: string
  ipamOptions: Record<string, string>
  enableIPv4?: boolean
  enableIPv6?: boolean
  wishes: NetworkCreateRequest['ipam']['config']
}

function emptyRequest(data: HalfMade): NetworkCreateRequest {
  return {
    name: '',
    driver: data.driver,
    internal: false,
    attachable: false,
    ingress: false,
    enableIPv4: data.enableIPv4 ?? true,
    enableIPv6: data.enableIPv6 ?? false,
    options: {},
    labels: {},
    ipam: { driver: data.ipamDriver, options: data.ipamOptions, config: [] },
  }
}

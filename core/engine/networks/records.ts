import type { Network } from '../../schema/engine-api.js'
import { notFound, invalidParameter } from '../../sdk/errors.js'
import type { NetworkSpec } from '../../sdk/kinds/network.js'
import type { MetadataStore } from '../ports/index.js'
import type { Endpoint, NetworkCreateRequest } from './contract.js'

/** One address block of a network, as its IPAM driver gave it. */
export interface NetworkPool {
  poolId: string
  addressSpace: string
  /** CIDR. */
  pool: string
  /** CIDR inside the pool, or empty. */
  ipRange: string
  /** CIDR; empty for drivers without one. */
  gateway: string
  /** CIDR by name. */
  auxAddresses: Record<string, string>
  /** The user named the subnet. */
  configured: boolean
}

/** A network on disk, under `network/<id>`. */
export interface NetworkRecord {
  id: string
  name: string
  /** RFC 3339. */
  created: string
  driver: string
  scope: string
  internal: boolean
  attachable: boolean
  enableIPv4: boolean
  enableIPv6: boolean
  options: Record<string, string>
  labels: Record<string, string>
  ipamDriver: string
  ipamOptions: Record<string, string>
  pools: NetworkPool[]
}

const prefix = 'network/'

export const predefinedNames = ['bridge', 'host', 'none']

export function isPredefined(name: string): boolean {
  return predefinedNames.includes(name) || name === 'default'
}

/** The networks that exist, in memory and in the store. */
export class NetworkRecords {
  readonly #byId = new Map<string, NetworkRecord>()
  #loaded: Promise<void> | undefined

  constructor(private readonly store: MetadataStore) {}

  load(): Promise<void> {
    this.#loaded ??= this.store.list<NetworkRecord>(prefix).then((all) => {
      for (const { value } of all) this.#byId.set(value.id, value)
    })
    return this.#loaded
  }

  all(): NetworkRecord[] {
    return [...this.#byId.values()]
  }

  get(id: string): NetworkRecord | undefined {
    return this.#byId.get(id)
  }

  named(name: string): NetworkRecord | undefined {
    return this.all().find((record) => record.name === name)
  }

  async save(record: NetworkRecord): Promise<void> {
    await this.store.batch([{ put: prefix + record.id, value: record }], { sync: true })
    this.#byId.set(record.id, record)
  }

  async forget(id: string): Promise<void> {
    await this.store.batch([{ del: prefix + id }], { sync: true })
    this.#byId.delete(id)
  }

  /** Full id, then name, then a prefix of the id that only one has. */
  resolve(reference: string): NetworkRecord {
    const exact = this.#byId.get(reference) ?? this.named(reference === 'default' ? 'bridge' : reference)
    if (exact) return exact
    const matches = /^[0-9a-f]{1,64}$/.test(reference) ? this.all().filter(({ id }) => id.startsWith(reference)) : []
    if (matches.length > 1) throw invalidParameter(`network ${reference} is ambiguous (${matches.length} matches found based on ID prefix)`)
    const [match] = matches
    if (!match) throw notFound(`network ${reference} not found`)
    return match
  }
}

export function specOf(record: NetworkRecord): NetworkSpec {
  return {
    networkId: record.id,
    name: record.name,
    internal: record.internal,
    enableIPv4: record.enableIPv4,
    enableIPv6: record.enableIPv6,
    options: record.options,
    ipv4: record.pools.filter(({ pool }) => !isIPv6(pool)).map(addressBlock),
    ipv6: record.pools.filter(({ pool }) => isIPv6(pool)).map(addressBlock),
  }
}

export const isIPv6 = (cidr: string): boolean => cidr.includes(':')

function addressBlock({ addressSpace, pool, gateway, auxAddresses }: NetworkPool): NetworkSpec['ipv4'][number] {
  return { addressSpace, pool, gateway, auxAddresses }
}

const plain = (cidr: string): string => cidr.split('/')[0] ?? ''

/** As the API shows it. */
export function describe(
  record: NetworkRecord,
  endpoints: readonly { containerId: string; containerName: string; endpoint: Endpoint }[],
): Network {
  return {
    Name: record.name,
    Id: record.id,
    Created: record.created,
    Scope: record.scope,
    Driver: record.driver,
    EnableIPv4: record.enableIPv4,
    EnableIPv6: record.enableIPv6,
    IPAM: {
      Driver: record.ipamDriver,
      Options: Object.keys(record.ipamOptions).length > 0 || !isPredefined(record.name) ? record.ipamOptions : null,
      Config: record.pools
        .filter(({ pool }) => pool !== '' && pool !== '0.0.0.0/0')
        .map(({ pool, ipRange, gateway, auxAddresses }) => ({
          Subnet: pool,
          ...(ipRange === '' ? {} : { IPRange: ipRange }),
          ...(gateway === '' ? {} : { Gateway: plain(gateway) }),
          ...(Object.keys(auxAddresses).length === 0
            ? {}
            : { AuxiliaryAddresses: Object.fromEntries(Object.entries(auxAddresses).map(([name, cidr]) => [name, plain(cidr)])) }),
        })),
    },
    Internal: record.internal,
    Attachable: record.attachable,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(
      endpoints.map(({ containerId, containerName, endpoint }) => [
        containerId,
        {
          Name: containerName,
          EndpointID: endpoint.endpointId,
          MacAddress: endpoint.settings.MacAddress ?? '',
          IPv4Address: endpoint.settings.IPAddress ? `${endpoint.settings.IPAddress}/${endpoint.settings.IPPrefixLen ?? 0}` : '',
          IPv6Address: endpoint.settings.GlobalIPv6Address
            ? `${endpoint.settings.GlobalIPv6Address}/${endpoint.settings.GlobalIPv6PrefixLen ?? 0}`
            : '',
        },
      ]),
    ),
    Options: record.options,
    Labels: record.labels,
  }
}

/** What create() was asked for, as far as it does not need any driver. */
export function recordOf(request: NetworkCreateRequest, id: string, created: string, driver: string): NetworkRecord {
  return {
    id,
    name: request.name,
    created,
    driver,
    scope: 'local',
    internal: request.internal,
    attachable: request.attachable,
    enableIPv4: request.enableIPv4,
    enableIPv6: request.enableIPv6,
    options: request.options,
    labels: request.labels,
    ipamDriver: request.ipam.driver || 'default',
    ipamOptions: request.ipam.options,
    pools: [],
  }
}

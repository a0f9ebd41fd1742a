import type { EndpointSettings, Network, NetworkCreateResponse } from '../../schema/engine-api.js'
import type { JoinPlan, PublishedPort } from '../../sdk/kinds/network.js'

export interface NetworkCreateRequest {
  name: string
  driver: string
  internal: boolean
  attachable: boolean
  ingress: boolean
  enableIPv4: boolean
  enableIPv6: boolean
  options: Record<string, string>
  labels: Record<string, string>
  ipam: {
    driver: string
    options: Record<string, string>
    config: { subnet: string; ipRange: string; gateway: string; auxAddresses: Record<string, string> }[]
  }
}

/** A container's wish to be on a network. */
export interface EndpointRequest {
  containerId: string
  containerName: string
  hostname: string
  /** Name, id or unique prefix. */
  network: string
  settings: EndpointSettings
  interfaceName: string
  /** True when this endpoint gives the default route. */
  defaultGateway: boolean
  publishedPorts: PortRequest[]
  exposedPorts: string[]
}

/** hostPort range; 0..0: any free port. */
export interface PortRequest {
  protocol: 'tcp' | 'udp' | 'sctp'
  containerPort: number
  hostIp: string
  hostPortStart: number
  hostPortEnd: number
}

/** An endpoint that exists: addresses are taken, the driver knows it. */
export interface Endpoint {
  endpointId: string
  networkId: string
  networkName: string
  driver: string
  /** Link name inside the sandbox. */
  interfaceName: string
  /** As shown by container inspect. */
  settings: EndpointSettings
  publishedPorts: PublishedPort[]
  join: JoinPlan
}

/** A container in a network. */
export interface NetworkMember {
  containerId: string
  containerName: string
  endpoint: Endpoint
}

/** What those who join a network have to know of it. */
export interface NetworkFacts {
  id: string
  name: string
  driver: string
  internal: boolean
  /** Made by a user: its members find each other by name. */
  userDefined: boolean
  /** Of the names of links inside, before their number. */
  interfacePrefix: string
}

export interface Networks {
  list(filters: Record<string, string[]>): Promise<Network[]>
  inspect(reference: string, options?: { verbose?: boolean; scope?: string }): Promise<Network>
  create(request: NetworkCreateRequest): Promise<NetworkCreateResponse>
  remove(reference: string): Promise<void>
  prune(filters: Record<string, string[]>): Promise<{ NetworksDeleted: string[] }>
  /** Resolves a reference; NotFound `network x not found`. */
  resolve(reference: string): Promise<NetworkFacts>
  /** Refuses what no connect() to the network could give: addresses elsewhere, aliases where there are no names. */
  check(reference: string, settings: EndpointSettings): Promise<void>
  /**
   * Allocates addresses and ports, creates the endpoint and asks the driver for its join plan. Intents go to the run ledger under `owner`
   * before each allocation. Nothing is done in the kernel's network state yet: the caller carries out the plan.
   */
  connect(request: EndpointRequest, owner: string): Promise<Endpoint>
  /** After the plan was carried out: writes the facts and shows the endpoint in network inspect. */
  connected(endpoint: Endpoint, owner: string): void
  /** Publishes on one endpoint of a container what another one had published: the default route has moved. */
  movePorts(from: Endpoint, to: Endpoint, owner: string): Promise<void>
  /** A container has another name: its endpoints go by it from now on. */
  rename(owner: string, containerName: string): void
  /** Leave, delete the endpoint, release addresses and ports. Safe to repeat and after a crash (everything is found by endpointId in the ledger). */
  disconnect(networkId: string, endpointId: string, owner: string): Promise<void>
  /** Releases every endpoint, address and port that the ledger holds of an owner that does not run. */
  releaseOwner(owner: string): Promise<void>
  /** Those of a network that go by a name (in small letters): from connect() until disconnect(). */
  named(networkId: string, name: string): readonly NetworkMember[]
  addressed(networkId: string, address: string): NetworkMember | undefined
  /** After restore: the endpoints of an owner that lives, as connect() answered them. */
  endpoints(owner: string): Endpoint[]
  /** At boot, after the drivers are up: makes the predefined networks (bridge, host, none), repeats createNetwork for stored ones, re-adopts endpoints in the ledger whose owner lives. */
  restore(alive: (owner: string) => boolean): Promise<void>
}
export const Networks = Symbol.for('tsd.Networks')

import type { NetOp } from '../../base/net-op.js'

export type { NetOp }

/** One address block of a network. */
export interface AddressBlock {
  addressSpace: string
  /** CIDR. */
  pool: string
  /** CIDR of the gateway. */
  gateway: string
  /** CIDR by name. */
  auxAddresses: Record<string, string>
}

export interface NetworkSpec {
  /** 64 hex. */
  networkId: string
  /** Name given by the user: for messages only. */
  name: string
  internal: boolean
  enableIPv4: boolean
  enableIPv6: boolean
  /** Driver options (`docker network create -o`). Unknown keys: InvalidParameter. */
  options: Record<string, string>
  ipv4: AddressBlock[]
  ipv6: AddressBlock[]
}

export type PortProtocol = 'tcp' | 'udp' | 'sctp'

/** One published port of one endpoint, already chosen: hostPort is never 0 here. */
export interface PublishedPort {
  protocol: PortProtocol
  containerPort: number
  /** Empty: all addresses of the family. */
  hostIp: string
  hostPort: number
}

export interface EndpointSpec {
  networkId: string
  /** 64 hex, never reused: the holder of everything the endpoint owns. */
  endpointId: string
  /** CIDR; empty when the driver has to choose. */
  address: string
  addressIPv6: string
  /** Empty when the driver has to choose. */
  macAddress: string
  /** Endpoint options (`--network name=x,driver-opt=k=v`). */
  options: Record<string, string>
}

/** What the driver itself chose: only fields that were empty in the EndpointSpec. */
export interface EndpointAnswer {
  address?: string
  addressIPv6?: string
  macAddress?: string
}

export interface JoinRequest {
  networkId: string
  endpointId: string
  /** Interface name wanted inside the sandbox, e.g. `eth0`. */
  interfaceName: string
  /** CIDR, as decided by IPAM or the driver. */
  address: string
  addressIPv6: string
  macAddress: string
  /** True when this endpoint gives the sandbox its default route. */
  defaultGateway: boolean
  publishedPorts: PublishedPort[]
  /** EXPOSEd ports, e.g. `80/tcp`. */
  exposedPorts: string[]
  options: Record<string, string>
}

/** Steps to take for a join. `undo` are host ops that leave() also must be able to derive from disk or the OS alone. */
export interface JoinPlan {
  host: NetOp[]
  container: NetOp[]
  /** Host link names made by the plan: what the ledger records. */
  links: string[]
  gateway: string
  gatewayIPv6: string
  /** Docker's wire only: the link made by the driver, to be moved by the engine. */
  disableGatewayService?: boolean
}

/**
 * A kind of network. Calls are idempotent by networkId and endpointId. The driver keeps what it needs to serve any call after a restart
 * on disk (ctx.runDir for what a reboot destroys, ctx.dataDir for the rest) or in the OS.
 */
export interface NetworkDriver {
  capabilities(): Promise<{ scope: 'local' | 'global'; connectivityScope?: 'local' | 'global' }>
  /** Creating what exists makes sure that it is whole (after a reboot the engine repeats createNetwork for every stored network). */
  createNetwork(spec: NetworkSpec): Promise<void>
  deleteNetwork(networkId: string): Promise<void>
  createEndpoint(spec: EndpointSpec): Promise<EndpointAnswer>
  deleteEndpoint(networkId: string, endpointId: string): Promise<void>
  /** Nothing is made in the sandbox by the driver itself; nothing may be left if the plan is never carried out and leave() is called. */
  join(request: JoinRequest): Promise<JoinPlan>
  /**
   * Publishes exactly these ports of an endpoint that joined, in place of those before: the default route of its sandbox has come to it, or gone.
   * A driver without it keeps what an endpoint joined with.
   */
  publish?(networkId: string, endpointId: string, ports: PublishedPort[]): Promise<void>
  /**
   * Removes what the join plan made on the host (port rules, links that outlived their sandbox). Deleting links must not block the event loop.
   * `live`: the sandbox goes on living, so the link is gone when the promise resolves; else the link may vanish with its sandbox a moment later.
   */
  leave(networkId: string, endpointId: string, options?: { live?: boolean }): Promise<void>
  /** Free-form, shown in `tsd network inspect --verbose`. */
  endpointInfo?(networkId: string, endpointId: string): Promise<Record<string, unknown>>
}

/** Address management. Error and call semantics follow Docker's IpamDriver protocol. */
export interface PoolRequest {
  addressSpace: string
  /** CIDR, or empty: the driver chooses one that overlaps no route of the host and no pool it gave. */
  pool: string
  /** CIDR inside `pool` from which addresses are taken. */
  subPool: string
  options: Record<string, string>
  v6: boolean
  /** Who asks (a network id). Asking again with the same holder answers the same pool and counts once. Absent on Docker's wire. */
  holder?: string
}

export interface Pool {
  poolId: string
  /** CIDR. */
  pool: string
  /** `com.docker.network.gateway` sets the gateway (CIDR). */
  data: Record<string, string>
}

export interface AddressRequest {
  poolId: string
  /** Plain address, or empty: the next free one. */
  address: string
  /**
   * Who uses the address (an endpoint id; `gateway:<network id>`; `aux:<network id>:<name>`). Asking again with the same holder
   * answers the same address. Empty only on Docker's wire, which has no such notion.
   */
  holder: string
  /** `RequestAddressType: com.docker.network.gateway` asks for a gateway. */
  options: Record<string, string>
}

export interface IpamDriver {
  capabilities?(): Promise<{ requiresMacAddress: boolean; requiresRequestReplay: boolean }>
  defaultAddressSpaces(): Promise<{ local: string; global: string }>
  /** The same explicit pool asked twice answers the same id and is counted. */
  requestPool(request: PoolRequest): Promise<Pool>
  /** With the holder that asked for it; releasing what is free is success. */
  releasePool(poolId: string, holder?: string): Promise<void>
  /** Answers CIDR. No address is handed out twice while held, also across a kill of any process. Conflict when taken, Unavailable when none is left. */
  requestAddress(request: AddressRequest): Promise<{ address: string; data: Record<string, string> }>
  /** By holder, or by address when the holder is empty. Releasing what is free is success. */
  releaseAddress(poolId: string, release: { address: string; holder: string }): Promise<void>
}

import { invalidParameter, type IpamDriver, type Pool, type PoolRequest } from 'tsd-engine/sdk'

/** No addresses at all: for networks whose driver, or nobody, gives them. */
export class NullIpam implements IpamDriver {
  async defaultAddressSpaces(): Promise<{ local: string; global: string }> {
    return { local: 'null', global: 'null' }
  }

  async requestPool(request: PoolRequest): Promise<Pool> {
    if (request.pool !== '' || request.subPool !== '') {
      throw invalidParameter(`the null ipam driver gives no addresses: leave out the subnet ${request.pool || request.subPool}`)
    }
    return { poolId: 'null/0.0.0.0/0', pool: '0.0.0.0/0', data: {} }
  }

  async releasePool(): Promise<void> {}

  async requestAddress(): Promise<{ address: string; data: Record<string, string> }> {
    return { address: '', data: {} }
  }

  async releaseAddress(): Promise<void> {}
}

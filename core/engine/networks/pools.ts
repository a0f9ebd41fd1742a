import { forbidden, isTsdError, messageOf, TsdError } from '../../sdk/errors.js'
import type { IpamDriver } from '../../sdk/kinds/ipam.js'
import type { NetworkCreateRequest } from './contract.js'
import type { NetworkPool, NetworkRecord } from './records.js'

const GATEWAY = 'com.docker.network.gateway'

type PoolWish = NetworkCreateRequest['ipam']['config'][number]

export const gatewayHolder = (networkId: string, index: number): string => `gateway:${networkId}${index === 0 ? '' : `:${index}`}`
export const auxHolder = (networkId: string, name: string): string => `aux:${networkId}:${name}`

/** Takes pools, gateways and auxiliary addresses. Everything taken hangs on the network's id, so that it can be asked for again and released. */
export async function takePools(
  ipam: IpamDriver,
  record: NetworkRecord,
  wishes: readonly PoolWish[],
  gateway: boolean,
): Promise<NetworkPool[]> {
  const { local } = await ipam.defaultAddressSpaces()
  const pools: NetworkPool[] = []
  for (const [index, wish] of allWishes(record, wishes).entries()) {
    let given
    try {
      given = await ipam.requestPool({
        addressSpace: local,
        pool: wish.subnet,
        subPool: wish.ipRange,
        options: record.ipamOptions,
        v6: wish.v6,
        holder: record.id,
      })
    } catch (error) {
      if (isTsdError(error) && error.category === 'Forbidden') throw forbidden(`invalid pool request: ${error.message}`, { cause: error })
      throw error
    }
    const pool: NetworkPool = {
      poolId: given.poolId,
      addressSpace: local,
      pool: given.pool,
      ipRange: wish.ipRange,
      gateway: '',
      auxAddresses: {},
      configured: wish.subnet !== '',
    }
    pools.push(pool)
    try {
      if (gateway) {
        const wanted = wish.gateway || (given.data[GATEWAY]?.split('/')[0] ?? '')
        pool.gateway = await address(ipam, pool, wanted, gatewayHolder(record.id, index), { RequestAddressType: GATEWAY }, 'gateway')
      }
      for (const [name, wanted] of Object.entries(wish.auxAddresses)) {
        pool.auxAddresses[name] = await address(ipam, pool, wanted, auxHolder(record.id, name), {}, `auxiliary address ${name}`)
      }
    } catch (error) {
      await releasePools(ipam, record.id, pools)
      throw error
    }
  }
  return pools
}

/** Each family that is enabled has a pool: those that the user named first, IPv4 before IPv6. */
function allWishes({ enableIPv4, enableIPv6 }: NetworkRecord, wishes: readonly PoolWish[]): (PoolWish & { v6: boolean })[] {
  const isV6 = ({ subnet }: PoolWish): boolean => subnet.includes(':')
  const none: PoolWish = { subnet: '', ipRange: '', gateway: '', auxAddresses: {} }
  const four = wishes.filter((wish) => !isV6(wish))
  const six = wishes.filter(isV6)
  return [
    ...(enableIPv4 ? (four.length > 0 ? four : [none]) : []).map((wish) => ({ ...wish, v6: false })),
    ...(enableIPv6 ? (six.length > 0 ? six : [none]) : []).map((wish) => ({ ...wish, v6: true })),
  ]
}

async function address(
  ipam: IpamDriver,
  pool: NetworkPool,
  wanted: string,
  holder: string,
  options: Record<string, string>,
  what: string,
): Promise<string> {
  try {
    return (await ipam.requestAddress({ poolId: pool.poolId, address: wanted, holder, options })).address
  } catch (error) {
    const category = isTsdError(error) ? error.category : 'System'
    throw new TsdError(
      category === 'Conflict' ? 'Forbidden' : category,
      `failed to allocate ${what} (${wanted || 'any'}): ${messageOf(error)}`,
      {
        cause: error,
      },
    )
  }
}

export async function releasePools(ipam: IpamDriver, networkId: string, pools: readonly NetworkPool[]): Promise<void> {
  for (const [index, pool] of [...pools.entries()].reverse()) {
    for (const [name, cidr] of Object.entries(pool.auxAddresses)) {
      await ipam.releaseAddress(pool.poolId, { address: plain(cidr), holder: auxHolder(networkId, name) })
    }
    await ipam.releaseAddress(pool.poolId, { address: plain(pool.gateway), holder: gatewayHolder(networkId, index) })
    await ipam.releasePool(pool.poolId, networkId)
  }
}

const plain = (cidr: string): string => cidr.split('/')[0] ?? ''

/** The wishes that lead to the same pools again. */
export function wishesOf(record: NetworkRecord): PoolWish[] {
  return record.pools.map((pool) => ({
    subnet: pool.pool === '0.0.0.0/0' ? '' : pool.pool,
    ipRange: pool.ipRange,
    gateway: plain(pool.gateway),
    auxAddresses: Object.fromEntries(Object.entries(pool.auxAddresses).map(([name, cidr]) => [name, plain(cidr)])),
  }))
}

import { createHash } from 'node:crypto'
import {
  blockSize,
  blocksOverlap,
  formatIp,
  invalidParameter,
  type IpAddress,
  type IpBlock,
  type IpFamily,
  parseIp,
  parseIpBlock,
} from 'tsd-engine/sdk'

export type Block = IpBlock

export function parseAddress(text: string, what: string): IpAddress {
  const address = parseIp(text)
  if (!address) throw invalidParameter(`${what}: ${JSON.stringify(text)} is not an IP address`)
  return address
}

/** Addresses of a family in the form that journals keep. */
export const format = (family: IpFamily, value: bigint): string => formatIp({ family, value })

export function parseBlock(text: string, what: string): Block {
  const parsed = parseIpBlock(text)
  if (!parsed) throw invalidParameter(`${what}: ${JSON.stringify(text)} is not a block such as 10.1.0.0/16 or fd00:1::/64`)
  return parsed.block
}

export interface AddressPool {
  base: Block
  size: number
}

/** Docker's, in its order. */
export const builtinPools: AddressPool[] = [
  ...Array.from({ length: 15 }, (_, i) => ({ base: parseBlock(`172.${17 + i}.0.0/16`, 'pool'), size: 16 })),
  { base: parseBlock('192.168.0.0/16', 'pool'), size: 20 },
]

/** A unique local prefix (RFC 4193) with room for 65536 networks: the same for one data root on one machine, and another's is another. */
export function localPool(identity: string): AddressPool {
  const id = createHash('sha256').update(identity).digest().readUIntBE(0, 5)
  return { base: { family: 6, first: ((0xfdn << 40n) | BigInt(id)) << 80n, prefix: 48 }, size: 64 }
}

/** First block of the pools that meets none of those in use. */
export function firstFree(pools: readonly AddressPool[], used: readonly Block[]): Block | undefined {
  for (const { base, size } of pools) {
    const { family } = base
    const end = base.first + blockSize(base)
    const step = blockSize({ family, prefix: size })
    for (let first = base.first; first < end;) {
      const candidate = { family, first, prefix: size }
      const inTheWay = used.find((block) => blocksOverlap(block, candidate))
      if (!inTheWay) return candidate
      // Behind what is in the way, at the next boundary.
      const past = inTheWay.first + blockSize(inTheWay)
      const behind = past > first + step ? past : first + step
      first = base.first + ((behind - base.first + step - 1n) / step) * step
    }
  }
  return undefined
}

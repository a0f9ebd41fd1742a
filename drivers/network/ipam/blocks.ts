import { invalidParameter } from 'tsd-engine/sdk'

/** An IPv4 block, its first address as a number. */
export interface Block {
  first: number
  prefix: number
}

export const sizeOf = (prefix: number): number => 2 ** (32 - prefix)

export function blockOf(address: number, prefix: number): Block {
  return { first: Math.floor(address / sizeOf(prefix)) * sizeOf(prefix), prefix }
}

export function overlap(a: Block, b: Block): boolean {
  return a.first < b.first + sizeOf(b.prefix) && b.first < a.first + sizeOf(a.prefix)
}

export function contains(block: Block, address: number): boolean {
  return address >= block.first && address < block.first + sizeOf(block.prefix)
}

export function format(address: number): string {
  return [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join('.')
}

export const formatBlock = (block: Block): string => `${format(block.first)}/${block.prefix}`

export function parseAddress(text: string, what: string): number {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) {
    throw invalidParameter(`${what}: ${JSON.stringify(text)} is not an IPv4 address`)
  }
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0)
}

export function parseBlock(text: string, what: string): Block {
  const [address = '', prefix = '', ...rest] = text.split('/')
  if (rest.length > 0 || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32) {
    throw invalidParameter(`${what}: ${JSON.stringify(text)} is not an IPv4 block such as 10.1.0.0/16`)
  }
  return blockOf(parseAddress(address, what), Number(prefix))
}

export interface AddressPool {
  base: Block
  size: number
}

/** Docker's, in its order. */
export const builtinPools: AddressPool[] = [
  ...Array.from({ length: 15 }, (_, i) => ({ base: { first: ((172 << 24) | ((17 + i) << 16)) >>> 0, prefix: 16 }, size: 16 })),
  { base: { first: ((192 << 24) | (168 << 16)) >>> 0, prefix: 16 }, size: 20 },
]

/** First block of the pools that meets none of those in use. */
export function firstFree(pools: readonly AddressPool[], used: readonly Block[]): Block | undefined {
  for (const { base, size } of pools) {
    const end = base.first + sizeOf(base.prefix)
    for (let first = base.first; first < end;) {
      const candidate = { first, prefix: size }
      const inTheWay = used.find((block) => overlap(block, candidate))
      if (!inTheWay) return candidate
      // Behind what is in the way, at the next boundary.
      const behind = Math.max(first + sizeOf(size), inTheWay.first + sizeOf(inTheWay.prefix))
      first = Math.ceil((behind - base.first) / sizeOf(size)) * sizeOf(size) + base.first
    }
  }
  return undefined
}

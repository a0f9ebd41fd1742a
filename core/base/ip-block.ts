/** IP addresses and blocks of both families, as numbers. */
export type IpFamily = 4 | 6

export interface IpAddress {
  family: IpFamily
  value: bigint
}

export interface IpBlock {
  family: IpFamily
  /** First address. */
  first: bigint
  prefix: number
}

const bitsOf = (family: IpFamily): number => (family === 4 ? 32 : 128)

function parseIPv4(text: string): bigint | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined
  return parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n)
}

function parseIPv6(text: string): bigint | undefined {
  // The last two groups may be written as an IPv4 address.
  const dotted = /^(.*:)([^:]*\..*)$/.exec(text)
  const tail = dotted ? parseIPv4(dotted[2] ?? '') : undefined
  if (dotted && tail === undefined) return undefined
  const plain = dotted && tail !== undefined ? `${dotted[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}` : text
  const halves = plain.split('::')
  if (halves.length > 2) return undefined
  const [left = [], right = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  if (![...left, ...right].every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  const missing = 8 - left.length - right.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...left, ...new Array<string>(Math.max(0, missing)).fill('0'), ...right]
  return groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n)
}

export function parseIp(text: string): IpAddress | undefined {
  const family = text.includes(':') ? 6 : 4
  const value = family === 6 ? parseIPv6(text) : parseIPv4(text)
  return value === undefined ? undefined : { family, value }
}

/** IPv6 as RFC 5952 has it: small letters, the longest row of zeros left out. */
export function formatIp({ family, value }: IpAddress): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - i * 16)) & 0xffffn).toString(16))
  let best = { at: -1, length: 1 }
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (groups[at + length] === '0') length++
    if (length > best.length) best = { at, length }
  }
  if (best.at < 0) return groups.join(':')
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`
}

export const blockSize = ({ family, prefix }: Pick<IpBlock, 'family' | 'prefix'>): bigint => 1n << BigInt(bitsOf(family) - prefix)

/** The block of this length that an address lies in. */
export function blockAround({ family, value }: IpAddress, prefix: number): IpBlock {
  const size = blockSize({ family, prefix })
  return { family, first: (value / size) * size, prefix }
}

/** `exact`: nothing stands behind the prefix. */
export function parseIpBlock(text: string): { block: IpBlock; exact: boolean } | undefined {
  const [address = '', length = '', ...rest] = text.split('/')
  const parsed = parseIp(address)
  if (!parsed || rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > bitsOf(parsed.family)) return undefined
  const block = blockAround(parsed, Number(length))
  return { block, exact: block.first === parsed.value }
}

export const formatIpBlock = ({ family, first, prefix }: IpBlock): string => `${formatIp({ family, value: first })}/${prefix}`

export function blocksOverlap(a: IpBlock, b: IpBlock): boolean {
  return a.family === b.family && a.first < b.first + blockSize(b) && b.first < a.first + blockSize(a)
}

export function blockHolds(block: IpBlock, { family, value }: IpAddress): boolean {
  return family === block.family && value >= block.first && value < block.first + blockSize(block)
}

import { BlockList, isIPv4 } from 'node:net'
import { forbidden, invalidParameter, notImplemented } from '../../sdk/errors.js'
import type { NetworkCreateRequest } from './contract.js'
import { isPredefined } from './records.js'

interface Subnet {
  first: number
  prefix: number
}

const number = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
const text = (address: number): string => [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join('.')

function subnetOf(cidr: string): { subnet: Subnet; exact: boolean } | undefined {
  const [address = '', prefix = '', ...rest] = cidr.split('/')
  if (rest.length > 0 || !isIPv4(address) || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32) return undefined
  const size = 2 ** (32 - Number(prefix))
  const first = Math.floor(number(address) / size) * size
  return { subnet: { first, prefix: Number(prefix) }, exact: first === number(address) }
}

function inside(subnet: Subnet, address: string): boolean {
  const list = new BlockList()
  list.addSubnet(text(subnet.first), subnet.prefix, 'ipv4')
  return list.check(address, 'ipv4')
}

/** Everything that can be said about the request without asking a driver. Docker's words. */
export function checkCreate(request: NetworkCreateRequest): void {
  if (request.name.trim() === '') throw invalidParameter('network name cannot be empty')
  if (/[\s/]/.test(request.name) || request.name.length > 255) {
    throw invalidParameter(`invalid network name ${JSON.stringify(request.name)}: blanks and slashes cannot be part of it`)
  }
  if (isPredefined(request.name)) throw forbidden(`operation is not permitted on predefined ${request.name} network`)
  if (request.ingress) throw notImplemented('ingress networks belong to swarm mode, which this engine does not have')
  if (request.enableIPv6) throw notImplemented(`network ${request.name}: IPv6 is not possible yet; create the network without it`)
  if (!request.enableIPv4) throw invalidParameter(`network ${request.name}: IPv4 or IPv6 must be enabled`)
  const problems = request.ipam.config.flatMap((config) => ipamProblems(config))
  if (problems.length > 0) throw invalidParameter(`invalid network config:\n${problems.join('\n')}`)
}

function ipamProblems(config: NetworkCreateRequest['ipam']['config'][number]): string[] {
  const problems: string[] = []
  if (config.subnet === '') {
    if (config.ipRange !== '' || config.gateway !== '' || Object.keys(config.auxAddresses).length > 0) {
      problems.push('invalid config: an ip-range, gateway or auxiliary address needs the subnet that it is part of')
    }
    return problems
  }
  if (config.subnet.includes(':')) throw notImplemented(`subnet ${config.subnet}: IPv6 is not possible yet`)
  const parsed = subnetOf(config.subnet)
  if (!parsed) return [`invalid subnet ${config.subnet}: invalid CIDR block notation`]
  const { subnet, exact } = parsed
  if (!exact) problems.push(`invalid subnet ${config.subnet}: it should be ${text(subnet.first)}/${subnet.prefix}`)
  if (subnet.prefix === 0 || subnet.prefix > 31) problems.push(`invalid subnet ${config.subnet}: it must leave room for addresses`)
  if (config.ipRange !== '') {
    const range = subnetOf(config.ipRange)
    if (!range) problems.push(`invalid ip-range ${config.ipRange}: invalid CIDR block notation`)
    else if (!range.exact)
      problems.push(`invalid ip-range ${config.ipRange}: it should be ${text(range.subnet.first)}/${range.subnet.prefix}`)
    else if (range.subnet.prefix < subnet.prefix) {
      problems.push(`invalid ip-range ${config.ipRange}: CIDR block is bigger than its parent subnet ${config.subnet}`)
    } else if (!inside(subnet, text(range.subnet.first))) {
      problems.push(`invalid ip-range ${config.ipRange}: parent subnet ${config.subnet} doesn't contain ip-range`)
    }
  }
  const addresses = [['gateway', config.gateway], ...Object.values(config.auxAddresses).map((address) => ['auxiliary address', address])]
  for (const [what, address = ''] of addresses) {
    if (address === '') continue
    if (!isIPv4(address)) problems.push(`invalid ${what} ${address}: invalid address`)
    else if (!inside(subnet, address))
      problems.push(`invalid ${what} ${address}: parent subnet ${config.subnet} doesn't contain this address`)
  }
  return problems
}

/** The address, when it lies in the block. */
export function blockContains(cidr: string, address: string): boolean {
  const parsed = subnetOf(cidr)
  return parsed !== undefined && isIPv4(address) && inside(parsed.subnet, address)
}

export function sameBlock(a: string, b: string): boolean {
  const x = subnetOf(a)?.subnet
  const y = subnetOf(b)?.subnet
  return x !== undefined && y !== undefined && x.first === y.first && x.prefix === y.prefix
}

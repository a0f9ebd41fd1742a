import { blockHolds, blocksOverlap, formatIpBlock, parseIp, parseIpBlock } from '../../base/ip-block.js'
import { forbidden, invalidParameter, notImplemented } from '../../sdk/errors.js'
import type { NetworkCreateRequest } from './contract.js'
import { isPredefined } from './records.js'

/** Everything that can be said about the request without asking a driver. Docker's words. */
export function checkCreate(request: NetworkCreateRequest): void {
  if (request.name.trim() === '') throw invalidParameter('network name cannot be empty')
  if (/[\s/]/.test(request.name) || request.name.length > 255) {
    throw invalidParameter(`invalid network name ${JSON.stringify(request.name)}: blanks and slashes cannot be part of it`)
  }
  if (isPredefined(request.name)) throw forbidden(`operation is not permitted on predefined ${request.name} network`)
  if (request.ingress) throw notImplemented('ingress networks belong to swarm mode, which this engine does not have')
  if (!request.enableIPv4 && !request.enableIPv6) throw invalidParameter('IPv4 or IPv6 must be enabled')
  const problems = request.ipam.config.flatMap((config) => ipamProblems(config, request))
  for (const [index, { subnet }] of request.ipam.config.entries()) {
    const twin = request.ipam.config.slice(0, index).find((other) => blocksMeet(other.subnet, subnet))
    if (twin) problems.push(`invalid subnet ${subnet}: it overlaps the subnet ${twin.subnet}`)
  }
  if (problems.length > 0) throw invalidParameter(`invalid network config:\n${problems.join('\n')}`)
}

function ipamProblems(
  config: NetworkCreateRequest['ipam']['config'][number],
  { enableIPv4, enableIPv6 }: Pick<NetworkCreateRequest, 'enableIPv4' | 'enableIPv6'>,
): string[] {
  const problems: string[] = []
  if (config.subnet === '') {
    if (config.ipRange !== '' || config.gateway !== '' || Object.keys(config.auxAddresses).length > 0) {
      problems.push('invalid config: an ip-range, gateway or auxiliary address needs the subnet that it is part of')
    }
    return problems
  }
  const parsed = parseIpBlock(config.subnet)
  if (!parsed) return [`invalid subnet ${config.subnet}: invalid CIDR block notation`]
  const { block: subnet, exact } = parsed
  if (subnet.family === 6 && !enableIPv6) return [`invalid subnet ${config.subnet}: IPv6 is not enabled for this network`]
  if (subnet.family === 4 && !enableIPv4) return [`invalid subnet ${config.subnet}: IPv4 is not enabled for this network`]
  if (!exact) problems.push(`invalid subnet ${config.subnet}: it should be ${formatIpBlock(subnet)}`)
  if (subnet.prefix === 0 || subnet.prefix > (subnet.family === 4 ? 31 : 127)) {
    problems.push(`invalid subnet ${config.subnet}: it must leave room for addresses`)
  }
  if (config.ipRange !== '') {
    const range = parseIpBlock(config.ipRange)
    if (!range) problems.push(`invalid ip-range ${config.ipRange}: invalid CIDR block notation`)
    else if (!range.exact) problems.push(`invalid ip-range ${config.ipRange}: it should be ${formatIpBlock(range.block)}`)
    else if (range.block.family === subnet.family && range.block.prefix < subnet.prefix) {
      problems.push(`invalid ip-range ${config.ipRange}: CIDR block is bigger than its parent subnet ${config.subnet}`)
    } else if (!blocksOverlap(subnet, range.block)) {
      problems.push(`invalid ip-range ${config.ipRange}: parent subnet ${config.subnet} doesn't contain ip-range`)
    }
  }
  const addresses = [['gateway', config.gateway], ...Object.values(config.auxAddresses).map((address) => ['auxiliary address', address])]
  for (const [what, address = ''] of addresses) {
    if (address === '') continue
    const one = parseIp(address)
    if (!one) problems.push(`invalid ${what} ${address}: invalid address`)
    else if (!blockHolds(subnet, one)) {
      problems.push(`invalid ${what} ${address}: parent subnet ${config.subnet} doesn't contain this address`)
    }
  }
  return problems
}

/** The address, when it lies in the block. */
export function blockContains(cidr: string, address: string): boolean {
  const parsed = parseIpBlock(cidr)
  const one = parseIp(address)
  return parsed !== undefined && one !== undefined && blockHolds(parsed.block, one)
}

function blocksMeet(a: string, b: string): boolean {
  const x = parseIpBlock(a)?.block
  const y = parseIpBlock(b)?.block
  return x !== undefined && y !== undefined && blocksOverlap(x, y)
}

export function sameBlock(a: string, b: string): boolean {
  const x = parseIpBlock(a)?.block
  const y = parseIpBlock(b)?.block
  return x !== undefined && y !== undefined && x.family === y.family && x.first === y.first && x.prefix === y.prefix
}

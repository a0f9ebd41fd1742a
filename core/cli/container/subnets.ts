import { BlockList, isIP } from 'node:net'
import type { IPAMConfig } from '../../schema/engine-api.js'
import { UsageError } from '../status.js'

interface Subnet {
  text: string
  block: BlockList
  family: 'ipv4' | 'ipv6'
}

function subnet(text: string): Subnet {
  const [address = '', bits = ''] = text.split('/')
  const version = isIP(address)
  if (version === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (version === 4 ? 32 : 128))
    throw new UsageError(`invalid subnet ${text}: invalid CIDR address: ${text}`)
  const block = new BlockList()
  const family = version === 4 ? 'ipv4' : 'ipv6'
  block.addSubnet(address, Number(bits), family)
  return { text, block, family }
}

const holds = ({ block, family }: Subnet, address: string): boolean =>
  (isIP(address) === 4) === (family === 'ipv4') && isIP(address) !== 0 && block.check(address, family)

/** Sorts ranges, gateways and auxiliary addresses to the subnet that holds them, as `network create` does before it asks the engine. */
export function subnetsOf(
  subnets: readonly string[],
  ranges: readonly string[],
  gateways: readonly string[],
  aux: Readonly<Record<string, string>>,
): IPAMConfig[] {
  if (subnets.length < ranges.length || subnets.length < gateways.length)
    throw new UsageError('every ip-range or gateway must have a corresponding subnet')
  const parsed = subnets.map(subnet)
  parsed.forEach((one, i) => {
    const other = parsed.slice(0, i).find((o) => holds(o, one.text.split('/')[0] as string) || holds(one, o.text.split('/')[0] as string))
    if (other) throw new UsageError('multiple overlapping subnet configuration is not supported')
  })
  const configs = new Map<Subnet, IPAMConfig>(parsed.map((one) => [one, { Subnet: one.text }]))
  const owner = (address: string, problem: string): IPAMConfig => {
    const found = parsed.find((one) => holds(one, address))
    if (!found) throw new UsageError(problem)
    return configs.get(found) as IPAMConfig
  }
  for (const range of ranges) {
    const config = owner(range.split('/')[0] as string, `no matching subnet for range ${range}`)
    if (config.IPRange)
      throw new UsageError(`cannot configure multiple ranges (${range}, ${config.IPRange}) on the same subnet (${config.Subnet})`)
    config.IPRange = range
  }
  for (const gateway of gateways) {
    const config = owner(gateway, `no matching subnet for gateway ${gateway}`)
    if (config.Gateway)
      throw new UsageError(`cannot configure multiple gateways (${gateway}, ${config.Gateway}) for the same subnet (${config.Subnet})`)
    config.Gateway = gateway
  }
  for (const [name, address] of Object.entries(aux)) {
    const config = owner(address, `no matching subnet for aux-address ${address}`)
    config.AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address }
  }
  return [...configs.values()]
}

/**
 * The driver's nftables table. Its rules never change while it runs: networks, isolation and published ports are elements of its sets and
 * maps, so that making and undoing them is one message each.
 */
import {
  ACCEPTED_MARK,
  addMark,
  addressBytes,
  cidrElements,
  cmp,
  ctState,
  ctStatusDnat,
  daddrIsLocal,
  dnat,
  dport,
  inNetwork,
  ip6Daddr,
  ip6Saddr,
  ipDaddr,
  ipSaddr,
  keyPart,
  lookup,
  masquerade,
  meta,
  NftBatch,
  type NftElement,
  parseCidrBytes,
  registerAt,
  verdict,
} from 'tsd-engine/native'
import type { PublishedPort } from 'tsd-engine/sdk'
import type { BridgeNetwork } from './options.js'

const LOOPBACK = Buffer.from([127, 0, 0, 0])

/** Engines with another default bridge live side by side. */
export function tableName(defaultBridge: string): string {
  return defaultBridge === 'tsd0' ? 'tsd' : `tsd-${defaultBridge}`
}

/** Each family has a table of the same name and shape. */
export type Family = 'ip' | 'ip6'
export const families: readonly Family[] = ['ip', 'ip6']

const addressType = { ip: 'ipv4_addr', ip6: 'ipv6_addr' } as const
const addressSize = { ip: 4, ip6: 16 } as const
const source = { ip: ipSaddr, ip6: ip6Saddr }
const destination = { ip: ipDaddr, ip6: ip6Daddr }

/** The whole table, empty of elements, in place of an older one. */
export function addTable(batch: NftBatch, family: Family): void {
  const address = addressType[family]
  const size = addressSize[family]
  const saddr = source[family]
  const daddr = destination[family]
  batch.addTable().deleteTable().addTable()
  batch
    .addSet({ name: 'bridges', key: ['ifname'] })
    .addSet({ name: 'internal', key: ['ifname'] })
    .addSet({ name: 'pairs', key: ['ifname', 'ifname'] })
    .addSet({ name: 'subnets', key: [address], interval: true })
    .addSet({ name: 'masqueraded', key: [address], interval: true })
    .addSet({ name: 'ports', key: ['inet_proto', 'inet_service'], data: [address, 'inet_service'] })
    .addSet({ name: 'hostports', key: [address, 'inet_proto', 'inet_service'], data: [address, 'inet_service'] })
  batch.addChain('published').addChain('allowed').addChain('inbound').addChain('outbound')
  if (family === 'ip') batch.addChain('raw', { type: 'filter', hook: 'prerouting', priority: -300 })
  batch
    .addChain('prerouting', { type: 'nat', hook: 'prerouting', priority: -100 })
    .addChain('output', { type: 'nat', hook: 'output', priority: -100 })
    .addChain('postrouting', { type: 'nat', hook: 'postrouting', priority: 100 })
    .addChain('forward', { type: 'filter', hook: 'forward', priority: -10 })

  const bridgeIn = [meta('iifname'), lookup('bridges')]
  const bridgeOut = [meta('oifname'), lookup('bridges')]
  // ::1 never leaves its host: the kernel has no route_localnet for IPv6.
  if (family === 'ip') {
    batch.addRule('raw', [...bridgeIn, ...inNetwork('daddr', LOOPBACK, 8), verdict('drop')], 'route_localnet is for the host alone')
  }

  batch.addRule('published', [
    daddr(),
    meta('l4proto', registerAt(size)),
    dport(registerAt(size + 4)),
    lookup('hostports', { into: 1 }),
    dnat(1, registerAt(size), family),
  ])
  batch.addRule('published', [meta('l4proto'), dport(registerAt(4)), lookup('ports', { into: 1 }), dnat(1, registerAt(size), family)])
  // A proxy listens there.
  if (family === 'ip6') batch.addRule('output', [ip6Daddr(), cmp('eq', addressBytes('::1')), verdict('return')])
  batch.addRule('prerouting', [...daddrIsLocal(), verdict({ jump: 'published' })])
  batch.addRule('output', [...daddrIsLocal(), verdict({ jump: 'published' })])

  if (family === 'ip') {
    batch.addRule('postrouting', [...bridgeOut, ...inNetwork('saddr', LOOPBACK, 8), masquerade()], 'from 127.0.0.1 to a published port')
  }
  batch.addRule(
    'postrouting',
    [...ctStatusDnat(), saddr(), lookup('subnets'), daddr(), lookup('subnets'), masquerade()],
    'container to published port',
  )
  batch.addRule('postrouting', [saddr(), lookup('masqueraded'), meta('oifname'), lookup('bridges', { inverted: true }), masquerade()])

  batch.addRule('allowed', [...addMark(ACCEPTED_MARK), verdict('accept')])
  batch.addRule('forward', [...bridgeOut, verdict({ goto: 'inbound' })])
  batch.addRule('forward', [...bridgeIn, verdict({ goto: 'outbound' })])
  batch.addRule('inbound', [meta('iifname'), meta('oifname', 2), lookup('pairs'), verdict({ goto: 'allowed' })], 'within one bridge')
  batch.addRule('inbound', [meta('oifname'), lookup('internal'), verdict('drop')])
  batch.addRule('inbound', [meta('iifname'), lookup('internal'), verdict('drop')])
  batch.addRule('inbound', [...ctState('established', 'related'), verdict({ goto: 'allowed' })])
  batch.addRule('inbound', [...ctStatusDnat(), verdict({ goto: 'allowed' })], 'published ports')
  batch.addRule('inbound', [verdict('drop')], 'nothing else reaches a container')
  batch.addRule('outbound', [meta('iifname'), lookup('internal'), verdict('drop')])
  batch.addRule('outbound', [verdict({ goto: 'allowed' })])
}

const subnetOf = (network: BridgeNetwork, family: Family): string => (family === 'ip' ? network.subnet : network.subnetIPv6)

/** Elements that a network has, by set. Its bridge stands in the tables of both families, so that nothing passes by the other one. */
export function networkElements(network: BridgeNetwork, family: Family): [string, NftElement[]][] {
  const name = keyPart('ifname', network.bridge)
  const elements: [string, NftElement[]][] = [['bridges', [{ key: name }]]]
  const subnet = subnetOf(network, family)
  const { bytes, prefix } = subnet === '' ? { bytes: undefined, prefix: 0 } : parseCidrBytes(subnet)
  if (bytes) elements.push(['subnets', cidrElements(bytes, prefix)])
  if (network.internal) elements.push(['internal', [{ key: name }]])
  if (network.icc) elements.push(['pairs', [{ key: Buffer.concat([name, name]) }]])
  if (bytes && network.masquerade && !network.internal) elements.push(['masqueraded', cidrElements(bytes, prefix)])
  return elements
}

const wild = { ip: '0.0.0.0', ip6: '::' } as const

/** Elements that publish ports of an endpoint in one family, by map. */
export function portElements(
  endpoint: { address: string; addressIPv6: string },
  ports: readonly PublishedPort[],
  family: Family,
): [string, NftElement[]][] {
  const address = family === 'ip' ? endpoint.address : endpoint.addressIPv6
  if (address === '') return []
  const plain = addressBytes(address.split('/')[0] ?? '')
  const everywhere: NftElement[] = []
  const specific: NftElement[] = []
  for (const port of ports) {
    if (port.hostIp === '::1' || (port.hostIp !== '' && port.hostIp.includes(':') !== (family === 'ip6'))) continue
    const key = [keyPart('inet_proto', port.protocol), keyPart('inet_service', port.hostPort)]
    const value = Buffer.concat([plain, keyPart('inet_service', port.containerPort)])
    if (port.hostIp === '' || port.hostIp === wild[family]) everywhere.push({ key: Buffer.concat(key), value })
    else specific.push({ key: Buffer.concat([addressBytes(port.hostIp), ...key]), value })
  }
  const elements: [string, NftElement[]][] = []
  if (everywhere.length > 0) elements.push(['ports', everywhere])
  if (specific.length > 0) elements.push(['hostports', specific])
  return elements
}

export function addAll(batch: NftBatch, elements: readonly [string, NftElement[]][]): NftBatch {
  for (const [set, list] of elements) batch.addElements(set, list)
  return batch
}

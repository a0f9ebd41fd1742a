/**
 * The driver's nftables table. Its rules never change while it runs: networks, isolation and published ports are elements of its sets and
 * maps, so that making and undoing them is one message each.
 */
import {
  ACCEPTED_MARK,
  addMark,
  addressBytes,
  cidrElements,
  ctState,
  ctStatusDnat,
  daddrIsLocal,
  dnat,
  dport,
  inNetwork,
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

/** The whole table, empty of elements, in place of an older one. */
export function addTable(batch: NftBatch): void {
  batch.addTable().deleteTable().addTable()
  batch
    .addSet({ name: 'bridges', key: ['ifname'] })
    .addSet({ name: 'internal', key: ['ifname'] })
    .addSet({ name: 'pairs', key: ['ifname', 'ifname'] })
    .addSet({ name: 'subnets', key: ['ipv4_addr'], interval: true })
    .addSet({ name: 'masqueraded', key: ['ipv4_addr'], interval: true })
    .addSet({ name: 'ports', key: ['inet_proto', 'inet_service'], data: ['ipv4_addr', 'inet_service'] })
    .addSet({ name: 'hostports', key: ['ipv4_addr', 'inet_proto', 'inet_service'], data: ['ipv4_addr', 'inet_service'] })
  batch
    .addChain('published')
    .addChain('allowed')
    .addChain('inbound')
    .addChain('outbound')
    .addChain('raw', { type: 'filter', hook: 'prerouting', priority: -300 })
    .addChain('prerouting', { type: 'nat', hook: 'prerouting', priority: -100 })
    .addChain('output', { type: 'nat', hook: 'output', priority: -100 })
    .addChain('postrouting', { type: 'nat', hook: 'postrouting', priority: 100 })
    .addChain('forward', { type: 'filter', hook: 'forward', priority: -10 })

  const bridgeIn = [meta('iifname'), lookup('bridges')]
  const bridgeOut = [meta('oifname'), lookup('bridges')]
  batch.addRule('raw', [...bridgeIn, ...inNetwork('daddr', LOOPBACK, 8), verdict('drop')], 'route_localnet is for the host alone')

  batch.addRule('published', [
    ipDaddr(),
    meta('l4proto', registerAt(4)),
    dport(registerAt(8)),
    lookup('hostports', { into: 1 }),
    dnat(1, registerAt(4)),
  ])
  batch.addRule('published', [meta('l4proto'), dport(registerAt(4)), lookup('ports', { into: 1 }), dnat(1, registerAt(4))])
  batch.addRule('prerouting', [...daddrIsLocal(), verdict({ jump: 'published' })])
  batch.addRule('output', [...daddrIsLocal(), verdict({ jump: 'published' })])

  batch.addRule('postrouting', [...bridgeOut, ...inNetwork('saddr', LOOPBACK, 8), masquerade()], 'from 127.0.0.1 to a published port')
  batch.addRule(
    'postrouting',
    [...ctStatusDnat(), ipSaddr(), lookup('subnets'), ipDaddr(), lookup('subnets'), masquerade()],
    'container to published port',
  )
  batch.addRule('postrouting', [ipSaddr(), lookup('masqueraded'), meta('oifname'), lookup('bridges', { inverted: true }), masquerade()])

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

/** Elements that a network has, by set. */
export function networkElements(network: BridgeNetwork): [string, NftElement[]][] {
  const name = keyPart('ifname', network.bridge)
  const { bytes, prefix } = parseCidrBytes(network.subnet)
  const elements: [string, NftElement[]][] = [
    ['bridges', [{ key: name }]],
    ['subnets', cidrElements(bytes, prefix)],
  ]
  if (network.internal) elements.push(['internal', [{ key: name }]])
  if (network.icc) elements.push(['pairs', [{ key: Buffer.concat([name, name]) }]])
  if (network.masquerade && !network.internal) elements.push(['masqueraded', cidrElements(bytes, prefix)])
  return elements
}

/** Elements that publish ports of an address, by map. */
export function portElements(address: string, ports: readonly PublishedPort[]): [string, NftElement[]][] {
  const plain = addressBytes(address.split('/')[0] ?? '')
  const wild: NftElement[] = []
  const specific: NftElement[] = []
  for (const port of ports) {
    const key = [keyPart('inet_proto', port.protocol), keyPart('inet_service', port.hostPort)]
    const value = Buffer.concat([plain, keyPart('inet_service', port.containerPort)])
    if (port.hostIp === '' || port.hostIp === '0.0.0.0') wild.push({ key: Buffer.concat(key), value })
    else specific.push({ key: Buffer.concat([addressBytes(port.hostIp), ...key]), value })
  }
  const elements: [string, NftElement[]][] = []
  if (wild.length > 0) elements.push(['ports', wild])
  if (specific.length > 0) elements.push(['hostports', specific])
  return elements
}

export function addAll(batch: NftBatch, elements: readonly [string, NftElement[]][]): NftBatch {
  for (const [set, list] of elements) batch.addElements(set, list)
  return batch
}

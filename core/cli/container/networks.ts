import type { EndpointSettings } from '../../schema/engine-api.js'
import type { Values } from '../flags.js'
import { splitCommas } from '../flags.js'
import { UsageError } from '../status.js'

export interface NetworkAttachment {
  target: string
  aliases: string[]
  links: string[]
  driverOpts: Record<string, string>
  ipv4: string
  ipv6: string
  linkLocal: string[]
  mac: string
  gwPriority: number
}

const attachment = (target: string): NetworkAttachment => ({
  target,
  aliases: [],
  links: [],
  driverOpts: {},
  ipv4: '',
  ipv6: '',
  linkLocal: [],
  mac: '',
  gwPriority: 0,
})

/** `mynet`, or `name=mynet,alias=a,ip=10.0.0.2,driver-opt=k=v`. */
export function parseNetwork(spec: string): NetworkAttachment {
  if (!/^\w[\w-]*=/.test(spec)) return attachment(spec)
  const found = attachment('')
  for (const field of splitCommas(spec)) {
    const equals = field.indexOf('=')
    if (equals < 1) throw new UsageError(`invalid field ${field}`)
    const key = field.slice(0, equals).trim().toLowerCase()
    const value = field.slice(equals + 1).trim()
    if (key === 'name') found.target = value
    else if (key === 'alias') found.aliases.push(value)
    else if (key === 'ip') found.ipv4 = value
    else if (key === 'ip6') found.ipv6 = value
    else if (key === 'mac-address') found.mac = value
    else if (key === 'link-local-ip') found.linkLocal.push(value)
    else if (key === 'driver-opt') {
      const cut = value.indexOf('=')
      if (cut < 1) throw new UsageError(`invalid key value pair format in driver options`)
      found.driverOpts[value.slice(0, cut).trim().toLowerCase()] = value.slice(cut + 1).trim()
    } else if (key === 'gw-priority') {
      if (!/^[+-]?\d+$/.test(value))
        throw new UsageError(`invalid gw-priority (${value}): strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`)
      found.gwPriority = Number(value)
    } else throw new UsageError(`invalid field key ${key}`)
  }
  if (found.target === '') throw new UsageError('network name/id is not specified')
  return found
}

const userDefined = (name: string): boolean => !['', 'default', 'bridge', 'host', 'none'].includes(name) && !name.startsWith('container:')

/** What the flags say of networks: the mode, and the endpoints to create. */
export function parseNetworks(values: Values): { mode: string; endpoints: Record<string, EndpointSettings> } {
  const attachments = [...values.list('network'), ...values.list('net')].map(parseNetwork)
  const explicit = attachments.length > 0
  if (!explicit) attachments.push(attachment('default'))
  const first = attachments[0] as NetworkAttachment
  const endpoints: Record<string, EndpointSettings> = {}
  attachments.forEach((network, i) => {
    if (i === 0) applyFlags(network, values)
    if (i > 0 && (!userDefined(first.target) || !userDefined(network.target)) && network.target !== first.target) {
      throw new UsageError('conflicting options: cannot attach both user-defined and non-user-defined network-modes')
    }
    if (endpoints[network.target]) throw new UsageError(`network ${JSON.stringify(network.target)} is specified multiple times`)
    const addressed = network.ipv4 !== '' || network.ipv6 !== '' || network.linkLocal.length > 0
    const detailed =
      addressed ||
      network.aliases.length > 0 ||
      network.mac !== '' ||
      Object.keys(network.driverOpts).length > 0 ||
      network.gwPriority !== 0
    // Docker names an endpoint for user networks, and for the implicit default; `host` and the like get one only with settings.
    if (userDefined(network.target) || detailed || !explicit) endpoints[network.target] = endpoint(network)
  })
  return { mode: first.target, endpoints }
}

function applyFlags(network: NetworkAttachment, values: Values): void {
  const aliases = [...values.list('network-alias'), ...values.list('net-alias')]
  const both = (option: string, alternative: string) =>
    new UsageError(`conflicting options: cannot specify both --${option} and per-network ${alternative}`)
  if (network.aliases.length > 0 && aliases.length > 0) throw both('network-alias', 'alias')
  if (network.ipv4 !== '' && values.has('ip')) throw both('ip', 'IPv4 address')
  if (network.ipv6 !== '' && values.has('ip6')) throw both('ip6', 'IPv6 address')
  if (network.mac !== '' && values.has('mac-address')) throw both('mac-address', 'MAC address')
  if (network.linkLocal.length > 0 && values.has('link-local-ip')) throw both('link-local-ip', 'link-local IP address')
  network.aliases.push(...aliases)
  if (userDefined(network.target)) network.links.push(...values.list('link'))
  network.ipv4 ||= values.string('ip')
  network.ipv6 ||= values.string('ip6')
  network.mac ||= values.string('mac-address')
  network.linkLocal.push(...values.list('link-local-ip'))
  if (network.aliases.length > 0 && !userDefined(network.target))
    throw new UsageError('network-scoped aliases are only supported for user-defined networks')
}

export function endpoint(network: NetworkAttachment): EndpointSettings {
  if (network.mac !== '' && !/^([0-9a-f]{2}([:-]))([0-9a-f]{2}\2){4}[0-9a-f]{2}$/i.test(network.mac))
    throw new UsageError(`${network.mac} is not a valid mac address`)
  const ipam = {
    ...(network.ipv4 ? { IPv4Address: network.ipv4 } : {}),
    ...(network.ipv6 ? { IPv6Address: network.ipv6 } : {}),
    ...(network.linkLocal.length > 0 ? { LinkLocalIPs: network.linkLocal } : {}),
  }
  return {
    IPAMConfig: Object.keys(ipam).length > 0 ? ipam : null,
    Links: network.links.length > 0 ? network.links : null,
    Aliases: network.aliases.length > 0 ? network.aliases : null,
    MacAddress: network.mac,
    DriverOpts: Object.keys(network.driverOpts).length > 0 ? network.driverOpts : null,
    GwPriority: network.gwPriority,
    NetworkID: '',
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  }
}

/** Which container a name means, seen from one container. As dockerd has it. */
import type { Endpoint, NetworkMember } from '../networks/index.js'

export type Family = 4 | 6

/** The members of networks, by name and address. */
export interface Directory {
  named(networkId: string, name: string): readonly NetworkMember[]
  addressed(networkId: string, address: string): NetworkMember | undefined
}

export interface Found {
  /** Some container goes by the name, be it without an address of the family. */
  known: boolean
  addresses: string[]
}

const nothing: Found = { known: false, addresses: [] }

const isUserNetwork = (endpoint: Endpoint): boolean => (endpoint.settings.DNSNames ?? null) !== null

/** `db:database`: this container says `database` to the container `db`. */
function linkedName(endpoint: Endpoint, alias: string): string | undefined {
  for (const link of endpoint.settings.Links ?? []) {
    const [target = '', given = ''] = link.split(':')
    const plain = target.replace(/^\//, '').toLowerCase()
    if ((given || plain).replace(/^.*\//, '').toLowerCase() === alias) return plain
  }
  return undefined
}

const addressOf = ({ settings }: Endpoint, family: Family): string => (family === 4 ? settings.IPAddress : settings.GlobalIPv6Address) ?? ''

function inNetwork(directory: Directory, endpoint: Endpoint, name: string, family: Family): Found {
  const members = directory.named(endpoint.networkId, name)
  if (members.length === 0) return nothing
  return { known: true, addresses: members.map((member) => addressOf(member.endpoint, family)).filter((address) => address !== '') }
}

/** A name may have dots in it, and end with the name of a network, which may have dots as well. */
function* readings(name: string): Generator<{ name: string; network: string | undefined }> {
  yield { name, network: undefined }
  for (let at = name.lastIndexOf('.'); at > 0; at = name.lastIndexOf('.', at - 1)) {
    yield { name: name.slice(0, at), network: name.slice(at + 1) }
  }
}

/** Case does not count, nor does a dot at the end. */
export function findName(directory: Directory, endpoints: readonly Endpoint[], asked: string, family: Family): Found {
  const whole = asked.replace(/\.$/, '').toLowerCase()
  if (whole === '') return nothing
  const own = endpoints.filter(isUserNetwork)
  let known = false
  for (const { name, network } of readings(whole)) {
    const searched = own.filter((endpoint) => network === undefined || endpoint.networkName.toLowerCase() === network)
    for (const byLink of [true, false]) {
      for (const endpoint of searched) {
        const linked = linkedName(endpoint, name)
        if (byLink ? linked === undefined : linked !== undefined) continue
        const found = inNetwork(directory, endpoint, linked ?? name, family)
        if (found.addresses.length > 0) return found
        known ||= found.known
      }
    }
  }
  return { known, addresses: [] }
}

/** The address in a name of in-addr.arpa or ip6.arpa. */
export function reversedAddress(asked: string): string | undefined {
  const name = asked.replace(/\.$/, '').toLowerCase()
  if (name.endsWith('.in-addr.arpa')) {
    const parts = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse()
    return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256) ? parts.join('.') : undefined
  }
  if (!name.endsWith('.ip6.arpa')) return undefined
  const digits = name.slice(0, -'.ip6.arpa'.length).split('.').reverse()
  if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined
  return (digits.join('').match(/.{4}/g) ?? []).join(':')
}

/** `container.network` of an address in one of the networks. */
export function findAddress(directory: Directory, endpoints: readonly Endpoint[], address: string): string | undefined {
  for (const endpoint of endpoints.filter(isUserNetwork)) {
    const member = directory.addressed(endpoint.networkId, address)
    if (member) return `${member.containerName}.${endpoint.networkName}`
  }
  return undefined
}

import type { Endpoint, NetworkMember } from './contract.js'

interface Listing {
  byName: Map<string, NetworkMember[]>
  byAddress: Map<string, NetworkMember>
}

/** Written out and in small letters, so that two spellings of an address are one. */
function plainAddress(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail] = address.toLowerCase().split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const left = groups(head)
  const right = groups(tail ?? '')
  const zeros = tail === undefined ? [] : new Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  return [...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(':')
}

const addressesOf = ({ settings }: Endpoint): string[] =>
  [settings.IPAddress ?? '', settings.GlobalIPv6Address ?? ''].filter((address) => address !== '').map(plainAddress)

/** Who goes by which name and address in which network. */
export class Directory {
  readonly #networks = new Map<string, Listing>()

  add(member: NetworkMember): void {
    const { endpoint } = member
    const names = endpoint.settings.DNSNames ?? []
    if (names.length === 0) return
    let listing = this.#networks.get(endpoint.networkId)
    if (!listing) this.#networks.set(endpoint.networkId, (listing = { byName: new Map(), byAddress: new Map() }))
    for (const name of new Set(names.map((one) => one.toLowerCase()))) {
      const members = listing.byName.get(name)
      if (members) members.push(member)
      else listing.byName.set(name, [member])
    }
    for (const address of addressesOf(endpoint)) listing.byAddress.set(address, member)
  }

  remove(networkId: string, endpointId: string): void {
    const listing = this.#networks.get(networkId)
    if (!listing) return
    for (const [name, members] of listing.byName) {
      const rest = members.filter(({ endpoint }) => endpoint.endpointId !== endpointId)
      if (rest.length === 0) listing.byName.delete(name)
      else if (rest.length !== members.length) listing.byName.set(name, rest)
    }
    for (const [address, { endpoint }] of listing.byAddress) if (endpoint.endpointId === endpointId) listing.byAddress.delete(address)
    if (listing.byName.size === 0) this.#networks.delete(networkId)
  }

  named(networkId: string, name: string): readonly NetworkMember[] {
    return this.#networks.get(networkId)?.byName.get(name) ?? []
  }

  addressed(networkId: string, address: string): NetworkMember | undefined {
    return this.#networks.get(networkId)?.byAddress.get(plainAddress(address))
  }
}

import { promises as fs } from 'node:fs'
import {
  addAddress,
  addBridge,
  deleteAddress,
  getLink,
  interfaceIndex,
  listAddresses,
  MessageWriter,
  NetlinkError,
  parseCidrBytes,
  requestRoute,
  setLink,
} from 'tsd-engine/native'
import { conflict, formatIp, type Logger, notImplemented, systemError } from 'tsd-engine/sdk'
import type { Helper } from './helper.js'
import type { BridgeNetwork } from './options.js'
import type { BridgeEndpoint, BridgeState } from './state.js'

async function setSysctl(key: string, value: string): Promise<void> {
  const file = `/proc/sys/${key}`
  if ((await fs.readFile(file, 'utf8')).trim() !== value) await fs.writeFile(file, value)
}

/** The bridge with its address, up. */
export async function ensureBridge(network: BridgeNetwork): Promise<void> {
  let link = await getLink(network.bridge)
  if (!link) {
    const w = new MessageWriter()
    // An address of its own, or the bridge would change it with its ports.
    addBridge(w, network.bridge, { mac: macOf(network.networkId, 2), ...(network.mtu ? { mtu: network.mtu } : {}) })
    await requestRoute(w, ['EEXIST'])
    link = await getLink(network.bridge)
  }
  if (!link) throw systemError(`bridge ${network.bridge} of network ${network.name} vanished while it was being made`)
  if (link.kind !== 'bridge') {
    throw conflict(
      `network ${network.name} cannot use ${network.bridge}: a link of that name exists and is ${link.kind || 'a device'}, not a bridge`,
    )
  }
  const wanted = [network.gateway, network.gatewayIPv6].filter((gateway) => gateway !== '').map(parseCidrBytes)
  if (network.gatewayIPv6 !== '') await prepareIPv6(network.bridge)
  const w = new MessageWriter()
  const present = new Set<unknown>()
  for (const address of await listAddresses()) {
    if (address.index !== link.index || isLinkLocal(address)) continue
    const same = wanted.find(
      ({ family, bytes, prefix }) => family === address.family && bytes.equals(address.address) && prefix === address.prefix,
    )
    if (same) present.add(same)
    else if (network.owned) deleteAddress(w, link.index, cidrOf(address))
  }
  // Usable at once: nobody else has an address in a network that we made.
  for (const one of wanted)
    if (!present.has(one)) addAddress(w, link.index, cidrOf({ ...one, address: one.bytes }), { nodad: one.family === 6 })
  if (!link.up || (network.mtu && network.mtu !== link.mtu)) {
    setLink(w, link.index, { up: true, ...(network.mtu && network.mtu !== link.mtu ? { mtu: network.mtu } : {}) })
  }
  await requestRoute(w)
  if (network.gateway !== '') {
    await setSysctl(`net/ipv4/conf/${network.bridge}/route_localnet`, '1')
    await setSysctl('net/ipv4/ip_forward', '1')
  }
  if (network.gatewayIPv6 !== '') {
    await setSysctl('net/ipv6/conf/default/forwarding', '1')
    await setSysctl('net/ipv6/conf/all/forwarding', '1')
  }
}

async function prepareIPv6(bridge: string): Promise<void> {
  try {
    await setSysctl(`net/ipv6/conf/${bridge}/disable_ipv6`, '0')
    // A host that cannot use its link-local address yet cannot look for the containers that it forwards to.
    await setSysctl(`net/ipv6/conf/${bridge}/accept_dad`, '0')
    // Containers are no routers to their host.
    await setSysctl(`net/ipv6/conf/${bridge}/accept_ra`, '0')
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') throw notImplemented('this kernel has no IPv6: create the network without it')
    throw error
  }
}

const isLinkLocal = ({ family, address }: { family: number; address: Buffer }): boolean =>
  family === 6 && address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80

const cidrOf = ({ family, address, prefix }: { family: 4 | 6; address: Buffer; prefix: number }): string =>
  `${formatIp({ family, value: BigInt(`0x${address.toString('hex')}`) })}/${prefix}`

/** A unicast, locally administered MAC from an id. */
export function macOf(id: string, at = 0): string {
  const bytes = Buffer.from(id.slice(at, at + 12).padEnd(12, '0'), 'hex')
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 2
  return (bytes.toString('hex').match(/../g) ?? []).join(':')
}

/** Docker's rule: 02:42 and the IPv4 address; without one, of what is never given twice. */
export function macOfEndpoint(address: string, endpointId: string): string {
  if (address === '') return macOf(endpointId, 24)
  const { bytes } = parseCidrBytes(address)
  return `02:42:${(bytes.toString('hex').match(/../g) ?? []).join(':')}`
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref())

/** Sees links off that have been left. A veth goes with its sandbox by itself; one that stays is deleted by a helper. */
export class LinkReaper {
  #stopped = false

  constructor(
    private readonly state: BridgeState,
    private readonly helper: Helper,
    private readonly logger: Logger,
  ) {}

  stop(): void {
    this.#stopped = true
  }

  /** Waits up to about half a second for the sandbox to end, without holding anything up. */
  async watch(endpoint: BridgeEndpoint): Promise<void> {
    try {
      for (let wait = 10; wait <= 320 && !this.#stopped; wait *= 2) {
        if (interfaceIndex(endpoint.link) === 0) return this.state.leaving.delete(endpoint.endpointId)
        await pause(wait)
      }
      if (!this.#stopped) await this.remove(endpoint)
    } catch (error) {
      // The record stays: the next life of the driver tries again.
      this.logger.warn('a link outlives its endpoint', { link: endpoint.link, endpoint: endpoint.endpointId, error: String(error) })
    }
  }

  /** Deletes the link now, if it still is the one that was made. */
  async remove(endpoint: BridgeEndpoint): Promise<void> {
    const link = interfaceIndex(endpoint.link) === 0 ? undefined : await getLink(endpoint.link)
    // -1: its sandbox is being torn down, and takes it along.
    if (link?.kind === 'veth' && link.mac === endpoint.linkMac && link.peerNamespace !== -1) {
      await this.helper.deleteLink(link.index, link.name)
    }
    this.state.leaving.delete(endpoint.endpointId)
  }
}

export async function removeBridge(network: BridgeNetwork, helper: Helper): Promise<void> {
  const link = await getLink(network.bridge)
  if (link?.kind === 'bridge') await helper.deleteLink(link.index, link.name)
}

export function isMissing(error: unknown): boolean {
  return error instanceof NetlinkError && error.code === 'ENOENT'
}

export function isUnsupported(error: unknown): boolean {
  return error instanceof NetlinkError && (error.code === 'EINVAL' || error.code === 'ENOTSUP' || error.code === 'EOPNOTSUPP')
}

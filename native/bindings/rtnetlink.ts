/** Links, addresses and routes: messages of rtnetlink and what its dumps say. */
import { addressBytes, macBytes, parseCidrBytes } from './inet.js'
import {
  attributesOf,
  MessageWriter,
  NETLINK_ROUTE,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  type NetlinkMessage,
  textOf,
  u32Of,
} from './netlink.js'
import { dump } from './netlink-client.js'

const RTM_NEWLINK = 16
const RTM_DELLINK = 17
const RTM_GETLINK = 18
const RTM_SETLINK = 19
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_GETADDR = 22
const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const RTM_GETROUTE = 26

const AF_UNSPEC = 0
const AF_INET = 2
const AF_BRIDGE = 7
const AF_INET6 = 10

const IFF_UP = 1

const IFLA_ADDRESS = 1
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_MASTER = 10
const IFLA_PROTINFO = 12
const IFLA_LINKINFO = 18
const IFLA_NET_NS_PID = 19
const IFLA_NET_NS_FD = 28
const IFLA_LINK_NETNSID = 37
const IFLA_NEW_IFINDEX = 49
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const VETH_INFO_PEER = 1
const IFLA_BRPORT_MODE = 4
const IFLA_BRPORT_ISOLATED = 33

const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_BROADCAST = 4
const IFA_FLAGS = 8
const IFA_F_NODAD = 2

const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_TABLE = 15
const RT_TABLE_MAIN = 254
const RTPROT_BOOT = 3
const RT_SCOPE_UNIVERSE = 0
const RT_SCOPE_LINK = 253
const RTN_UNICAST = 1

/** Where a link goes: the namespace of the process being made (its pid is patched in), or of an fd (patched in). */
export type NamespaceRef = 'pid' | 'fd'

export interface VethOptions {
  name: string
  index: number
  mac?: string
  mtu?: number
  /** ifindex of the bridge. */
  master?: number
  peerName: string
  peerIndex: number
  peerMac?: string
  namespace: NamespaceRef
}

function linkHeader(w: MessageWriter, family: number, index: number, flags = 0, change = 0): void {
  w.u8(family).u8(0).u16(0).u32(index).u32(flags).u32(change)
}

/** The pair in one message: host end up and on its bridge, peer born in its namespace. Answers the offset to patch (pid or fd). */
export function addVeth(w: MessageWriter, o: VethOptions): number {
  let patch = 0
  w.begin(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, `create veth ${o.name}`)
  linkHeader(w, AF_UNSPEC, o.index, IFF_UP, IFF_UP)
  w.attrText(IFLA_IFNAME, o.name)
  if (o.mac) w.attr(IFLA_ADDRESS, macBytes(o.mac))
  if (o.mtu) w.attrU32(IFLA_MTU, o.mtu)
  if (o.master) w.attrU32(IFLA_MASTER, o.master)
  w.nest(IFLA_LINKINFO, () => {
    w.attrText(IFLA_INFO_KIND, 'veth').nest(IFLA_INFO_DATA, () => {
      w.nest(VETH_INFO_PEER, () => {
        linkHeader(w, AF_UNSPEC, o.peerIndex)
        w.attrText(IFLA_IFNAME, o.peerName)
        if (o.peerMac) w.attr(IFLA_ADDRESS, macBytes(o.peerMac))
        if (o.mtu) w.attrU32(IFLA_MTU, o.mtu)
        patch = w.attrU32(o.namespace === 'pid' ? IFLA_NET_NS_PID : IFLA_NET_NS_FD, 0)
      })
    })
  })
  w.end()
  return patch
}

export function addBridge(w: MessageWriter, name: string, options: { mac?: string; mtu?: number } = {}): void {
  w.begin(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, `create bridge ${name}`)
  linkHeader(w, AF_UNSPEC, 0)
  w.attrText(IFLA_IFNAME, name)
  if (options.mac) w.attr(IFLA_ADDRESS, macBytes(options.mac))
  if (options.mtu) w.attrU32(IFLA_MTU, options.mtu)
  w.nest(IFLA_LINKINFO, () => w.attrText(IFLA_INFO_KIND, 'bridge'))
  w.end()
}

export interface LinkChange {
  up?: boolean
  mtu?: number
  mac?: string
  master?: number
  rename?: string
}

/** Changes an existing link, found by index, or by name. */
export function setLink(w: MessageWriter, link: number | string, change: LinkChange): void {
  w.begin(RTM_NEWLINK, NLM_F_REQUEST, `set ${typeof link === 'string' ? link : `link ${link}`}${change.up ? ' up' : ''}`)
  linkHeader(w, AF_UNSPEC, typeof link === 'number' ? link : 0, change.up ? IFF_UP : 0, change.up === undefined ? 0 : IFF_UP)
  if (typeof link === 'string') w.attrText(IFLA_IFNAME, link)
  else if (change.rename) w.attrText(IFLA_IFNAME, change.rename)
  if (change.mac) w.attr(IFLA_ADDRESS, macBytes(change.mac))
  if (change.mtu) w.attrU32(IFLA_MTU, change.mtu)
  if (change.master !== undefined) w.attrU32(IFLA_MASTER, change.master)
  w.end()
}

/** Moves a link into another namespace under a new name, keeping its index. Answers the offset to patch. */
export function moveLink(w: MessageWriter, index: number, newName: string, namespace: NamespaceRef): number {
  w.begin(RTM_NEWLINK, NLM_F_REQUEST, `move link ${index} as ${newName}`)
  linkHeader(w, AF_UNSPEC, index)
  w.attrText(IFLA_IFNAME, newName)
  w.attrU32(IFLA_NEW_IFINDEX, index)
  const patch = w.attrU32(namespace === 'pid' ? IFLA_NET_NS_PID : IFLA_NET_NS_FD, 0)
  w.end()
  return patch
}

/** Hairpin and isolation of a bridge port. */
export function setBridgePort(w: MessageWriter, index: number, options: { hairpin?: boolean; isolated?: boolean }): void {
  w.begin(RTM_SETLINK, NLM_F_REQUEST, `set bridge port ${index}`)
  linkHeader(w, AF_BRIDGE, index)
  w.nest(IFLA_PROTINFO, () => {
    if (options.hairpin !== undefined) w.attrU8(IFLA_BRPORT_MODE, options.hairpin ? 1 : 0)
    if (options.isolated !== undefined) w.attrU8(IFLA_BRPORT_ISOLATED, options.isolated ? 1 : 0)
  })
  w.end()
}

/** For helpers only: deleting a link blocks the sender for tens of milliseconds. */
export function deleteLink(w: MessageWriter, index: number): void {
  w.begin(RTM_DELLINK, NLM_F_REQUEST, `delete link ${index}`)
  linkHeader(w, AF_UNSPEC, index)
  w.end()
}

function addressMessage(w: MessageWriter, type: number, flags: number, verb: string, index: number, cidr: string, nodad: boolean): void {
  const { family, bytes, prefix } = parseCidrBytes(cidr)
  w.begin(type, NLM_F_REQUEST | flags, `${verb} address ${cidr}`)
  w.u8(family === 4 ? AF_INET : AF_INET6)
    .u8(prefix)
    .u8(0)
    .u8(0)
    .u32(index)
  w.attr(IFA_LOCAL, bytes).attr(IFA_ADDRESS, bytes)
  if (family === 4 && prefix < 31) {
    const broadcast = Buffer.alloc(4)
    broadcast.writeUInt32BE((bytes.readUInt32BE(0) | (0xffffffff >>> prefix)) >>> 0)
    w.attr(IFA_BROADCAST, broadcast)
  }
  if (nodad) w.attrU32(IFA_FLAGS, IFA_F_NODAD)
  w.end()
}

export function addAddress(w: MessageWriter, index: number, cidr: string, options: { nodad?: boolean } = {}): void {
  addressMessage(w, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, 'add', index, cidr, options.nodad === true)
}

export function deleteAddress(w: MessageWriter, index: number, cidr: string): void {
  addressMessage(w, RTM_DELADDR, 0, 'delete', index, cidr, false)
}

export interface RouteOptions {
  index: number
  /** CIDR or `default`. */
  destination: string
  gateway?: string
  scope?: 'link' | 'global'
  /** Take the place of a route to the same destination. */
  replace?: boolean
}

function routeMessage(w: MessageWriter, type: number, flags: number, verb: string, o: RouteOptions): void {
  const gateway = o.gateway ? addressBytes(o.gateway) : undefined
  const target = o.destination === 'default' ? undefined : parseCidrBytes(o.destination)
  const v6 = target ? target.family === 6 : gateway?.length === 16
  const scope = o.scope === 'link' || (!gateway && o.scope !== 'global' && !v6) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE
  w.begin(type, NLM_F_REQUEST | flags, `${verb} route ${o.destination}${o.gateway ? ` via ${o.gateway}` : ''}`)
  w.u8(v6 ? AF_INET6 : AF_INET)
    .u8(target?.prefix ?? 0)
    .u8(0)
    .u8(0)
  w.u8(RT_TABLE_MAIN).u8(RTPROT_BOOT).u8(scope).u8(RTN_UNICAST).u32(0)
  if (target) w.attr(RTA_DST, target.bytes)
  if (gateway) w.attr(RTA_GATEWAY, gateway)
  w.attrU32(RTA_OIF, o.index)
  w.end()
}

export function addRoute(w: MessageWriter, options: RouteOptions): void {
  routeMessage(w, RTM_NEWROUTE, NLM_F_CREATE | (options.replace ? NLM_F_REPLACE : NLM_F_EXCL), 'add', options)
}

export function deleteRoute(w: MessageWriter, options: RouteOptions): void {
  routeMessage(w, RTM_DELROUTE, 0, 'delete', options)
}

export interface LinkInfo {
  index: number
  name: string
  up: boolean
  mtu: number
  mac: string
  master: number
  /** `bridge`, `veth` ...; empty for hardware. */
  kind: string
  /**
   * Id of the namespace of the other end; -1 when that namespace is being destroyed, undefined when the other end is in this namespace
   * or the link has none.
   */
  peerNamespace: number | undefined
}

const macText = (value: Buffer | undefined): string => (value?.length === 6 ? (value.toString('hex').match(/../g) ?? []).join(':') : '')

function linkOf(message: NetlinkMessage): LinkInfo | undefined {
  if (message.type !== RTM_NEWLINK || message.payload.length < 16) return undefined
  const attributes = attributesOf(message.payload, 16)
  const info = attributes.get(IFLA_LINKINFO)
  const namespace = attributes.get(IFLA_LINK_NETNSID)
  return {
    index: message.payload.readInt32LE(4),
    name: textOf(attributes.get(IFLA_IFNAME)),
    up: (message.payload.readUInt32LE(8) & IFF_UP) !== 0,
    mtu: u32Of(attributes.get(IFLA_MTU)) ?? 0,
    mac: macText(attributes.get(IFLA_ADDRESS)),
    master: u32Of(attributes.get(IFLA_MASTER)) ?? 0,
    kind: info ? textOf(attributesOf(info).get(IFLA_INFO_KIND)) : '',
    peerNamespace: namespace && namespace.length >= 4 ? namespace.readInt32LE(0) : undefined,
  }
}

export async function listLinks(): Promise<LinkInfo[]> {
  const w = new MessageWriter().begin(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 'list links')
  linkHeader(w, AF_UNSPEC, 0)
  return (await dump(NETLINK_ROUTE, w)).flatMap((message) => linkOf(message) ?? [])
}

/** undefined when there is no such link. */
export async function getLink(name: string): Promise<LinkInfo | undefined> {
  const w = new MessageWriter().begin(RTM_GETLINK, NLM_F_REQUEST, `get link ${name}`)
  linkHeader(w, AF_UNSPEC, 0)
  w.attrText(IFLA_IFNAME, name)
  try {
    return (await dump(NETLINK_ROUTE, w)).flatMap((message) => linkOf(message) ?? [])[0]
  } catch (error) {
    if ((error as { code?: string }).code === 'ENODEV') return undefined
    throw error
  }
}

export interface AddressInfo {
  index: number
  family: 4 | 6
  address: Buffer
  prefix: number
}

export async function listAddresses(): Promise<AddressInfo[]> {
  const w = new MessageWriter().begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 'list addresses')
  w.u8(AF_UNSPEC).u8(0).u8(0).u8(0).u32(0)
  return (await dump(NETLINK_ROUTE, w)).flatMap(({ type, payload }) => {
    if (type !== RTM_NEWADDR || payload.length < 8) return []
    const attributes = attributesOf(payload, 8)
    const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS)
    const family = payload[0] === AF_INET ? 4 : 6
    if (address?.length !== (family === 4 ? 4 : 16)) return []
    return [{ index: payload.readUInt32LE(4), family, address, prefix: payload.readUInt8(1) } as AddressInfo]
  })
}

export interface RouteInfo {
  family: 4 | 6
  destination: Buffer
  prefix: number
  table: number
  index: number
  gateway: Buffer | undefined
}

/** Routes of every table but the local one. */
export async function listRoutes(): Promise<RouteInfo[]> {
  const w = new MessageWriter().begin(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, 'list routes')
  w.u8(AF_UNSPEC).u8(0).u8(0).u8(0).u32(0).u32(0)
  return (await dump(NETLINK_ROUTE, w)).flatMap(({ type, payload }) => {
    if (type !== RTM_NEWROUTE || payload.length < 12) return []
    const attributes = attributesOf(payload, 12)
    const table = u32Of(attributes.get(RTA_TABLE)) ?? payload.readUInt8(4)
    const family = payload[0] === AF_INET ? 4 : payload[0] === AF_INET6 ? 6 : 0
    const size = family === 4 ? 4 : 16
    const destination = attributes.get(RTA_DST) ?? Buffer.alloc(size)
    if (family === 0 || table === 255 || destination.length !== size) return []
    const index = u32Of(attributes.get(RTA_OIF)) ?? 0
    return [{ family, destination, prefix: payload.readUInt8(1), table, index, gateway: attributes.get(RTA_GATEWAY) } as RouteInfo]
  })
}

/** nftables over netlink: batches that change, dumps that tell. */
import { addressBytes } from './inet.js'
import {
  attributeList,
  attributesOf,
  MessageWriter,
  NETLINK_NETFILTER,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  textOf,
  u32beOf,
} from './netlink.js'
import { dump } from './netlink-client.js'
import { type Expression, interfaceName, type Verdict, writeValue, writeVerdict } from './nft-expressions.js'

export const nftFamilies = { inet: 1, ip: 2, bridge: 7, ip6: 10 } as const
export type NftFamily = keyof typeof nftFamilies

const SUBSYSTEM = 10 << 8
const NEWTABLE = SUBSYSTEM | 0
const GETTABLE = SUBSYSTEM | 1
const DELTABLE = SUBSYSTEM | 2
const NEWCHAIN = SUBSYSTEM | 3
const GETCHAIN = SUBSYSTEM | 4
const DELCHAIN = SUBSYSTEM | 5
const NEWRULE = SUBSYSTEM | 6
const DELRULE = SUBSYSTEM | 8
const NEWSET = SUBSYSTEM | 9
const GETSET = SUBSYSTEM | 10
const NEWSETELEM = SUBSYSTEM | 12
const GETSETELEM = SUBSYSTEM | 13
const DELSETELEM = SUBSYSTEM | 14
const DESTROYSETELEM = SUBSYSTEM | 30
const BATCH_BEGIN = 16
const BATCH_END = 17

const SET_INTERVAL = 4
const SET_MAP = 8
const ELEM_INTERVAL_END = 1
const DATA_TYPE_VERDICT = 0xffffff00

/** Numbers that nft uses to name the parts of a key, and their sizes in a key (always whole words). */
const types = {
  ipv4_addr: { id: 7, size: 4 },
  ipv6_addr: { id: 8, size: 16 },
  inet_proto: { id: 12, size: 4 },
  inet_service: { id: 13, size: 4 },
  mark: { id: 19, size: 4 },
  ifname: { id: 41, size: 16 },
} as const
export type NftType = keyof typeof types

const protocols = { tcp: 6, udp: 17, sctp: 132 } as const

/** One part of a key as the kernel holds it. */
export function keyPart(type: NftType, value: string | number): Buffer {
  const bytes = Buffer.alloc(types[type].size)
  switch (type) {
    case 'ipv4_addr':
    case 'ipv6_addr':
      return addressBytes(String(value))
    case 'inet_proto':
      bytes[0] = protocols[value as keyof typeof protocols] ?? Number(value)
      return bytes
    case 'inet_service':
      bytes.writeUInt16BE(Number(value))
      return bytes
    case 'mark':
      bytes.writeUInt32LE(Number(value))
      return bytes
    case 'ifname':
      return interfaceName(String(value))
  }
}

export interface NftElement {
  key: Uint8Array
  /** Value of a map's element. */
  value?: Uint8Array
  verdict?: Verdict
  /** First address behind an interval that began before it. */
  intervalEnd?: boolean
}

const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const

export interface NftChain {
  type?: 'filter' | 'nat' | 'route'
  hook?: keyof typeof hooks
  priority?: number
  policy?: 'accept' | 'drop'
}

export interface NftSet {
  name: string
  key: readonly NftType[]
  /** Makes it a map. */
  data?: readonly NftType[] | 'verdict'
  interval?: boolean
}

const typeId = (parts: readonly NftType[]): number => parts.reduce((id, part) => (id << 6) | types[part].id, 0)
const typeSize = (parts: readonly NftType[]): number =>
  parts.length === 1 && parts[0] === 'inet_proto'
    ? 1
    : parts.length === 1 && parts[0] === 'inet_service'
      ? 2
      : parts.reduce((size, part) => size + types[part].size, 0)

/** The most elements in one message: its nested list has a 16 bit length. */
const ELEMENTS_PER_MESSAGE = 400

/** Changes to one table, carried out together or not at all. */
export class NftBatch {
  readonly #writer = new MessageWriter()
  readonly #family: number
  readonly #table: string
  #sets = 0
  #ended = false

  constructor(family: NftFamily, table: string) {
    this.#family = nftFamilies[family]
    this.#table = table
    this.#header(BATCH_BEGIN, 0, 'begin of batch', 0, 10)
  }

  #header(type: number, flags: number, name: string, family = this.#family, resource = 0): MessageWriter {
    return this.#writer
      .begin(type, NLM_F_REQUEST | flags, name)
      .u8(family)
      .u8(0)
      .u16be(resource)
  }

  addTable(): this {
    this.#header(NEWTABLE, NLM_F_CREATE, `add table ${this.#table}`).attrText(1, this.#table).attrU32be(2, 0)
    return this
  }

  deleteTable(): this {
    this.#header(DELTABLE, 0, `delete table ${this.#table}`).attrText(1, this.#table)
    return this
  }

  addChain(name: string, chain: NftChain = {}): this {
    const w = this.#header(NEWCHAIN, NLM_F_CREATE, `add chain ${this.#table} ${name}`).attrText(1, this.#table).attrText(3, name)
    if (chain.hook) {
      const hook = hooks[chain.hook]
      w.nest(4, () => w.attrU32be(1, hook).attrU32be(2, chain.priority ?? 0))
      w.attrU32be(5, chain.policy === 'drop' ? 0 : 1)
      w.attrText(7, chain.type ?? 'filter')
    }
    return this
  }

  deleteChain(name: string): this {
    this.#header(DELCHAIN, 0, `delete chain ${this.#table} ${name}`).attrText(1, this.#table).attrText(3, name)
    return this
  }

  /** Removes every rule of a chain. */
  flushChain(name: string): this {
    this.#header(DELRULE, 0, `flush chain ${this.#table} ${name}`).attrText(1, this.#table).attrText(2, name)
    return this
  }

  addRule(chain: string, expressions: readonly Expression[], comment = ''): this {
    const w = this.#header(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, `add rule ${this.#table} ${chain} ${comment}`.trimEnd())
    w.attrText(1, this.#table).attrText(2, chain)
    w.nest(4, () => expressions.forEach((write) => write(w)))
    if (comment !== '') {
      const text = Buffer.from(`${comment}\0`).subarray(0, 255)
      w.attr(7, Buffer.concat([Buffer.from([0, text.length]), text]))
    }
    return this
  }

  addSet(set: NftSet): this {
    const flags = (set.interval ? SET_INTERVAL : 0) | (set.data ? SET_MAP : 0)
    const w = this.#header(NEWSET, NLM_F_CREATE, `add set ${this.#table} ${set.name}`).attrText(1, this.#table).attrText(2, set.name)
    w.attrU32be(3, flags).attrU32be(4, typeId(set.key)).attrU32be(5, typeSize(set.key))
    if (set.data === 'verdict') w.attrU32be(6, DATA_TYPE_VERDICT).attrU32be(7, 0)
    else if (set.data) w.attrU32be(6, typeId(set.data)).attrU32be(7, typeSize(set.data))
    w.attrU32be(10, ++this.#sets)
    // nft itself reads from here that a name is not a number; the kernel does not look.
    if (set.key.length === 1 && set.key[0] === 'ifname') w.attr(13, Buffer.from([0, 4, 1, 0, 0, 0]))
    return this
  }

  addElements(set: string, elements: readonly NftElement[]): this {
    return this.#elements(NEWSETELEM, NLM_F_CREATE, 'add', set, elements)
  }

  deleteElements(set: string, elements: readonly NftElement[]): this {
    return this.#elements(DELSETELEM, 0, 'delete', set, elements)
  }

  /** Deletes those that are there; the others are no error. Linux 6.3. */
  destroyElements(set: string, elements: readonly NftElement[]): this {
    return this.#elements(DESTROYSETELEM, 0, 'destroy', set, elements)
  }

  #elements(type: number, flags: number, verb: string, set: string, all: readonly NftElement[]): this {
    for (let at = 0; at < all.length; at += ELEMENTS_PER_MESSAGE) {
      const w = this.#header(type, flags, `${verb} elements ${this.#table} ${set}`).attrText(1, this.#table).attrText(2, set)
      w.nest(3, () => {
        for (const element of all.slice(at, at + ELEMENTS_PER_MESSAGE)) {
          w.nest(1, () => {
            if (element.intervalEnd) w.attrU32be(3, ELEM_INTERVAL_END)
            writeValue(w, 1, element.key)
            const decision = element.verdict
            if (element.value) writeValue(w, 2, element.value)
            else if (decision) w.nest(2, () => writeVerdict(w, decision))
          })
        }
      })
    }
    return this
  }

  /** What the messages of the batch do, in order. */
  get names(): readonly string[] {
    return this.#writer.names
  }

  bytes(): Buffer {
    if (!this.#ended) this.#header(BATCH_END, 0, 'end of batch', 0, 10)
    this.#ended = true
    return this.#writer.bytes()
  }
}

/** The two elements of an interval set that a CIDR takes. */
export function cidrElements(address: Uint8Array, prefix: number): NftElement[] {
  const bits = address.length * 8
  const size = 1n << BigInt(bits - prefix)
  const start = (BigInt(`0x${Buffer.from(address).toString('hex')}`) / size) * size
  const key = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(bits / 4, '0'), 'hex')
  const elements: NftElement[] = [{ key: key(start) }]
  if (start + size < 1n << BigInt(bits)) elements.push({ key: key(start + size), intervalEnd: true })
  return elements
}

const familyName = (family: number | undefined): NftFamily | undefined =>
  (Object.keys(nftFamilies) as NftFamily[]).find((name) => nftFamilies[name] === family)

function dumpRequest(type: number, family: NftFamily | undefined, name: string): MessageWriter {
  return new MessageWriter()
    .begin(type, NLM_F_REQUEST | NLM_F_DUMP, name)
    .u8(family ? nftFamilies[family] : 0)
    .u8(0)
    .u16be(0)
}

export async function listTables(): Promise<{ family: NftFamily; name: string }[]> {
  return (await dump(NETLINK_NETFILTER, dumpRequest(GETTABLE, undefined, 'list tables'))).flatMap(({ type, payload }) => {
    const family = familyName(payload[0])
    return type === NEWTABLE && family ? [{ family, name: textOf(attributesOf(payload, 4).get(1)) }] : []
  })
}

export interface ChainInfo {
  family: NftFamily
  table: string
  name: string
  hook: number | undefined
  policy: 'accept' | 'drop' | undefined
}

export async function listChains(only?: NftFamily): Promise<ChainInfo[]> {
  return (await dump(NETLINK_NETFILTER, dumpRequest(GETCHAIN, only, 'list chains'))).flatMap(({ type, payload }) => {
    const family = familyName(payload[0])
    if (type !== NEWCHAIN || !family) return []
    const attributes = attributesOf(payload, 4)
    const hook = attributes.get(4)
    const policy = u32beOf(attributes.get(5))
    return [
      {
        family,
        table: textOf(attributes.get(1)),
        name: textOf(attributes.get(3)),
        hook: hook ? u32beOf(attributesOf(hook).get(1)) : undefined,
        policy: policy === undefined ? undefined : policy === 0 ? 'drop' : 'accept',
      } satisfies ChainInfo,
    ]
  })
}

export async function listSets(family: NftFamily, table: string): Promise<string[]> {
  const w = dumpRequest(GETSET, family, `list sets of ${table}`).attrText(1, table)
  return (await dump(NETLINK_NETFILTER, w)).flatMap(({ type, payload }) =>
    type === NEWSET ? [textOf(attributesOf(payload, 4).get(2))] : [],
  )
}

export async function listElements(family: NftFamily, table: string, set: string): Promise<NftElement[]> {
  const w = dumpRequest(GETSETELEM, family, `list elements of ${table} ${set}`).attrText(1, table).attrText(2, set)
  const elements: NftElement[] = []
  for (const { type, payload } of await dump(NETLINK_NETFILTER, w)) {
    const list = type === NEWSETELEM ? attributesOf(payload, 4).get(3) : undefined
    for (const [, element] of list ? attributeList(list) : []) {
      const attributes = attributesOf(element)
      const key = attributes.get(1)
      const bytes = key ? attributesOf(key).get(1) : undefined
      const data = attributes.get(2)
      const value = data ? attributesOf(data).get(1) : undefined
      if (bytes) elements.push({ key: bytes, ...(value ? { value } : {}), intervalEnd: ((u32beOf(attributes.get(3)) ?? 0) & 1) !== 0 })
    }
  }
  return elements
}

/** nftables expressions, as nft itself would emit them for the rule text given in each comment. */
import type { MessageWriter } from './netlink.js'

export type Expression = (w: MessageWriter) => void

/** First register, and the one after n bytes of it: parts of a concatenated key stand behind each other. */
const REG_1 = 1
const REG32_00 = 8

export function registerAt(bytes: number): number {
  return bytes === 0 ? REG_1 : bytes % 16 === 0 ? REG_1 + bytes / 16 : REG32_00 + bytes / 4
}

const DATA_VALUE = 1
const DATA_VERDICT = 2

export type Verdict = 'accept' | 'drop' | 'return' | 'continue' | { jump: string } | { goto: string }

function expression(name: string, data: (w: MessageWriter) => void): Expression {
  return (w) => {
    w.nest(1, () => {
      w.attrText(1, name)
      w.nest(2, () => data(w))
    })
  }
}

export function writeVerdict(w: MessageWriter, verdict: Verdict): void {
  w.nest(DATA_VERDICT, () => {
    const codes = { drop: 0, accept: 1, continue: -1, return: -5 }
    if (typeof verdict === 'string') w.attrU32be(1, codes[verdict])
    else if ('jump' in verdict) w.attrU32be(1, -3).attrText(2, verdict.jump)
    else w.attrU32be(1, -4).attrText(2, verdict.goto)
  })
}

export function writeValue(w: MessageWriter, type: number, value: Uint8Array): void {
  w.nest(type, () => w.attr(DATA_VALUE, value))
}

const metaKeys = { mark: 3, iif: 4, oif: 5, iifname: 6, oifname: 7, nfproto: 15, l4proto: 16, ibrname: 17, obrname: 18 } as const

/** `meta KEY`, loaded to a register. */
export function meta(key: keyof typeof metaKeys, register = REG_1): Expression {
  return expression('meta', (w) => w.attrU32be(1, register).attrU32be(2, metaKeys[key]))
}

/** `meta KEY set`, from a register. */
export function setMeta(key: 'mark', register = REG_1): Expression {
  return expression('meta', (w) => w.attrU32be(2, metaKeys[key]).attrU32be(3, register))
}

const bases = { link: 0, network: 1, transport: 2 } as const

export function payload(base: keyof typeof bases, offset: number, length: number, register = REG_1): Expression {
  return expression('payload', (w) => w.attrU32be(1, register).attrU32be(2, bases[base]).attrU32be(3, offset).attrU32be(4, length))
}

export const ipSaddr = (register = REG_1): Expression => payload('network', 12, 4, register)
export const ipDaddr = (register = REG_1): Expression => payload('network', 16, 4, register)
export const ip6Saddr = (register = REG_1): Expression => payload('network', 8, 16, register)
export const ip6Daddr = (register = REG_1): Expression => payload('network', 24, 16, register)
/** `th dport` */
export const dport = (register = REG_1): Expression => payload('transport', 2, 2, register)

const operators = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const

export function cmp(operator: keyof typeof operators, value: Uint8Array, register = REG_1): Expression {
  return expression('cmp', (w) => {
    w.attrU32be(1, register).attrU32be(2, operators[operator])
    writeValue(w, 3, value)
  })
}

/** register = (register & mask) ^ xor */
export function bitwise(mask: Uint8Array, xor: Uint8Array = Buffer.alloc(mask.length), register = REG_1): Expression {
  return expression('bitwise', (w) => {
    w.attrU32be(1, register).attrU32be(2, register).attrU32be(3, mask.length)
    writeValue(w, 4, mask)
    writeValue(w, 5, xor)
  })
}

/** `@set`, or `!= @set` when inverted; with `into` the map's value is loaded there (0: the verdict). */
export function lookup(set: string, options: { register?: number; into?: number; inverted?: boolean } = {}): Expression {
  return expression('lookup', (w) => {
    w.attrText(1, set).attrU32be(2, options.register ?? REG_1)
    if (options.into !== undefined) w.attrU32be(3, options.into)
    if (options.inverted) w.attrU32be(5, 1)
  })
}

/** `fib daddr type`, loaded as a route type. */
export function fibDaddrType(register = REG_1): Expression {
  return expression('fib', (w) => w.attrU32be(1, register).attrU32be(2, 3).attrU32be(3, 2))
}

export function verdict(value: Verdict): Expression {
  return expression('immediate', (w) => {
    w.attrU32be(1, 0).nest(2, () => writeVerdict(w, value))
  })
}

export function immediate(value: Uint8Array, register = REG_1): Expression {
  return expression('immediate', (w) => {
    w.attrU32be(1, register)
    writeValue(w, 2, value)
  })
}

const natFamilies = { ip: 2, ip6: 10 } as const

/** `dnat ip to ADDRESS . PORT` or `dnat ip6 to`, both from registers. */
export function dnat(addressRegister: number, portRegister?: number, family: keyof typeof natFamilies = 'ip'): Expression {
  return expression('nat', (w) => {
    w.attrU32be(1, 1).attrU32be(2, natFamilies[family]).attrU32be(3, addressRegister)
    if (portRegister !== undefined) w.attrU32be(5, portRegister)
  })
}

export function snat(addressRegister: number): Expression {
  return expression('nat', (w) => w.attrU32be(1, 0).attrU32be(2, natFamilies.ip).attrU32be(3, addressRegister))
}

export const masquerade = (): Expression => expression('masq', () => undefined)

/** `redirect to :PORT`, the port from a register. */
export function redirect(portRegister: number): Expression {
  return expression('redir', (w) => w.attrU32be(1, portRegister))
}

const ctKeys = { state: 0, status: 2, mark: 3 } as const

export function ct(key: keyof typeof ctKeys, register = REG_1): Expression {
  return expression('ct', (w) => w.attrU32be(1, register).attrU32be(2, ctKeys[key]))
}

export const counter = (): Expression => expression('counter', () => undefined)

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

const ctStates = { invalid: 1, established: 2, related: 4, new: 8 } as const

/** `ct state a,b` */
export function ctState(...states: (keyof typeof ctStates)[]): Expression[] {
  const mask = states.reduce((bits, state) => bits | ctStates[state], 0)
  return [ct('state'), bitwise(u32(mask)), cmp('neq', u32(0))]
}

/** `ct status dnat` */
export function ctStatusDnat(): Expression[] {
  return [ct('status'), bitwise(u32(0x20)), cmp('neq', u32(0))]
}

/** `meta mark set meta mark or BITS` */
export function addMark(bits: number): Expression[] {
  return [meta('mark'), bitwise(u32(~bits), u32(bits)), setMeta('mark')]
}

/** `fib daddr type local` */
export function daddrIsLocal(): Expression[] {
  return [fibDaddrType(), cmp('eq', u32(2))]
}

/** `ip saddr CIDR` or `ip daddr CIDR` */
export function inNetwork(side: 'saddr' | 'daddr', address: Uint8Array, prefix: number): Expression[] {
  const load = side === 'saddr' ? ipSaddr() : ipDaddr()
  if (prefix === 32) return [load, cmp('eq', address)]
  const mask = Buffer.alloc(4)
  mask.writeUInt32BE(prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0)
  return [load, bitwise(mask), cmp('eq', Buffer.from(address.map((byte, i) => byte & (mask[i] ?? 0))))]
}

/** An interface name as sets and comparisons hold it. */
export function interfaceName(name: string): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.write(name, 0, 15, 'utf8')
  return bytes
}

/** `iifname X` or `oifname X` */
export function interfaceIs(side: 'iifname' | 'oifname', name: string): Expression[] {
  return [meta(side), cmp('eq', interfaceName(name))]
}

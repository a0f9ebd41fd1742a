/** Turns the network steps of a join into plan ops for the C helper. */
import type { NetOp } from '../core/base/net-op.js'
import { randomBytes } from '../core/base/random.js'
import { MessageWriter, messagesOf, NETLINK_NETFILTER, NETLINK_ROUTE } from './bindings/netlink.js'
import { interfaceExists, interfaceIndex } from './bindings/netlink-client.js'
import { addAddress, addRoute, addVeth, moveLink, setBridgePort, setLink } from './bindings/rtnetlink.js'
import type { Op } from './shim/plan.js'

/** The sandbox: the network namespace of the child that the plan makes, or one held in a slot (openNs). */
export type NetTarget = { kind: 'child' } | { kind: 'slot'; slot: number }

export type NetPlanOp = Op<'netlink'> | Op<'write'>

export interface CompiledNetOps {
  /** In the host's namespace: the parent phase for a child target, the host phase of a helper for a slot. */
  host: NetPlanOp[]
  /** Inside the sandbox. */
  container: NetPlanOp[]
}

const LOOPBACK_INDEX = 1
const FIRST_HOST_INDEX = 0x10000000
const ENOENT = 2

/** A number that no link of the host has. High ones, so that the kernel's own counting never meets them. */
export function freeHostIndex(): number {
  for (;;) {
    const index = FIRST_HOST_INDEX + (randomBytes(4).readUInt32LE(0) % (0x7fffffff - FIRST_HOST_INDEX))
    if (!interfaceExists(index)) return index
  }
}

/** The number of a veth's end inside: fixed by its name, clear of what a kernel puts into each new namespace. */
export function sandboxIndex(name: string): number {
  const digits = /(\d{1,5})$/.exec(name)?.[1]
  let hash = 0
  for (const byte of Buffer.from(name.slice(0, name.length - (digits?.length ?? 0)))) hash = (hash * 31 + byte) & 0x3ff
  return name.startsWith('eth') && digits ? 100 + Number(digits) : 0x200000 + hash * 0x20000 + Number(digits ?? 0x1ffff)
}

function sysctl(key: string, value: string): Op<'write'> {
  const path = key.includes('/') ? key : key.replaceAll('.', '/')
  if (path.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw new TypeError(`sysctl ${JSON.stringify(key)} is not a name below /proc/sys`)
  }
  // A kernel without IPv6 has no such keys, and needs none.
  const ignore = path.startsWith('net/ipv6/') ? { ignore: [ENOENT] } : {}
  return { op: 'write', path: `/proc/sys/${path}`, data: value, ...ignore }
}

/** Collects neighbouring rtnetlink messages into one op. */
class Collector {
  readonly ops: NetPlanOp[] = []
  #writer = new MessageWriter()
  #patches: number[] = []

  constructor(private readonly target: NetTarget) {}

  get writer(): MessageWriter {
    return this.#writer
  }

  patch(offset: number): void {
    if (this.target.kind === 'child') this.#patches.push(offset)
    else this.#patches.push(offset, this.target.slot)
  }

  other(op: NetPlanOp): void {
    this.flush()
    this.ops.push(op)
  }

  flush(): NetPlanOp[] {
    if (this.#writer.count > 0) {
      const patches = this.#patches.length === 0 ? {} : this.target.kind === 'child' ? { pidAt: this.#patches } : { slotAt: this.#patches }
      this.ops.push({ op: 'netlink', protocol: NETLINK_ROUTE, messages: this.#writer.bytes(), names: this.#writer.names, ...patches })
      this.#writer = new MessageWriter()
      this.#patches = []
    }
    return this.ops
  }
}

interface Side {
  collector: Collector
  index(name: string): number
  /** Links made inside the sandbox, for the host's side. */
  inside: Map<string, number> | undefined
  namespace: 'pid' | 'fd'
}

function compileOp(op: NetOp, side: Side): void {
  const { collector } = side
  const w = collector.writer
  switch (op.op) {
    case 'veth': {
      if (!side.inside) throw new TypeError('a veth op stands among the host ops of a join')
      const index = freeHostIndex()
      const peerIndex = sandboxIndex(op.peerName)
      side.inside.set(op.peerName, peerIndex)
      const master = op.master === undefined ? undefined : interfaceIndex(op.master)
      if (master === 0) throw Object.assign(new Error(`bridge ${op.master} does not exist`), { code: 'ENODEV' })
      collector.patch(
        addVeth(w, {
          name: op.name,
          index,
          peerName: op.peerName,
          peerIndex,
          namespace: side.namespace,
          ...(op.mac ? { mac: op.mac } : {}),
          ...(op.mtu ? { mtu: op.mtu } : {}),
          ...(op.peerMac ? { peerMac: op.peerMac } : {}),
          ...(master ? { master } : {}),
        }),
      )
      if (op.hairpin || op.isolated) {
        setBridgePort(w, index, { ...(op.hairpin ? { hairpin: true } : {}), ...(op.isolated ? { isolated: true } : {}) })
      }
      return
    }
    case 'move': {
      if (!side.inside) throw new TypeError('a move op stands among the host ops of a join')
      const index = side.index(op.name)
      side.inside.set(op.newName, index)
      collector.patch(moveLink(w, index, op.newName, side.namespace))
      return
    }
    case 'up':
      return setLink(w, side.index(op.link), { up: true, ...(op.mtu ? { mtu: op.mtu } : {}), ...(op.mac ? { mac: op.mac } : {}) })
    case 'address':
      return addAddress(w, side.index(op.link), op.address, { nodad: op.nodad === true })
    case 'route':
      return addRoute(w, {
        index: side.index(op.link),
        destination: op.destination,
        ...(op.gateway ? { gateway: op.gateway } : {}),
        ...(op.scope ? { scope: op.scope } : {}),
        ...(op.replace ? { replace: true } : {}),
      })
    case 'sysctl':
      return collector.other(sysctl(op.key, op.value))
    case 'nft': {
      const messages = Buffer.from(op.batch, 'base64')
      const names = [...messagesOf(messages)].map(() => op.describe)
      return collector.other({ op: 'netlink', protocol: NETLINK_NETFILTER, messages, names })
    }
  }
}

/**
 * Host steps of any number of joins, then their container steps. Links inside are known by the host steps that make them; `lo` always is.
 * Many messages of one kind become one op.
 */
export function compileNetOps(plan: { host: readonly NetOp[]; container: readonly NetOp[] }, target: NetTarget): CompiledNetOps {
  const inside = new Map<string, number>([['lo', LOOPBACK_INDEX]])
  const namespace = target.kind === 'child' ? 'pid' : 'fd'
  const host: Side = {
    collector: new Collector(target),
    inside,
    namespace,
    index(name) {
      const index = interfaceIndex(name)
      if (index === 0) throw Object.assign(new Error(`link ${name} does not exist on the host`), { code: 'ENODEV' })
      return index
    },
  }
  for (const op of plan.host) compileOp(op, host)
  const container: Side = {
    collector: new Collector(target),
    inside: undefined,
    namespace,
    index: (name) => inside.get(name) ?? sandboxIndex(name),
  }
  let loopbackUp = false
  for (const op of plan.container) {
    // Every join asks for it.
    const loopback = op.op === 'up' && op.link === 'lo'
    if (!loopback || !loopbackUp) compileOp(op, container)
    loopbackUp ||= loopback
  }
  return { host: host.collector.flush(), container: container.collector.flush() }
}

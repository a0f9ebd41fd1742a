import { closeSync, constants, openSync } from 'node:fs'
import type { NetOp } from '../sdk/kinds/network.js'
import {
  boundSocket,
  cmp,
  outgoingSocket,
  dnat,
  dport,
  immediate,
  inNetwork,
  keyPart,
  meta,
  NftBatch,
  registerAt,
  type SocketKind,
} from '../../native/index.js'

/** Where a container's resolv.conf points: an address of the loopback that no program binds by accident. */
const ADDRESS = '127.0.0.11'
const TABLE = 'tsd-names'

interface Ports {
  udp: number
  tcp: number
}

type Target = { pid: number } | { path: string }

class HeldNamespace {
  #fd: number | undefined

  constructor(target: Target | undefined) {
    if (target) this.#fd = openSync('pid' in target ? `/proc/${target.pid}/ns/net` : target.path, constants.O_RDONLY)
  }

  listen(ports: Ports): Ports {
    const udp = boundSocket(this.#fd, 'udp', ADDRESS, ports.udp)
    try {
      return { udp, tcp: boundSocket(this.#fd, 'tcp', ADDRESS, ports.tcp) }
    } catch (error) {
      closeSync(udp)
      throw error
    }
  }

  outgoing(kind: SocketKind, address: string, port: number): number {
    return outgoingSocket(this.#fd, kind, address, port)
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

/** Sockets in the namespaces of containers, made by the daemon's own thread in a few system calls. */
export class KernelNamespaceSockets {
  /** Nothing listens on port 53: it stays free for the container. The table is made whole each time, so that the steps can be repeated. */
  redirect(ports: Ports): NetOp[] {
    const batch = new NftBatch('ip', TABLE).addTable().deleteTable().addTable()
    batch.addChain('output', { type: 'nat', hook: 'output', priority: -100 })
    const address = Buffer.from(ADDRESS.split('.').map(Number))
    for (const kind of ['udp', 'tcp'] as const) {
      batch.addRule('output', [
        ...inNetwork('daddr', address, 32),
        meta('l4proto'),
        cmp('eq', keyPart('inet_proto', kind).subarray(0, 1)),
        dport(),
        cmp('eq', keyPart('inet_service', 53).subarray(0, 2)),
        immediate(address),
        immediate(keyPart('inet_service', ports[kind]).subarray(0, 2), registerAt(4)),
        dnat(1, registerAt(4)),
      ])
    }
    return [{ op: 'nft', batch: batch.bytes().toString('base64'), describe: `lead ${ADDRESS}:53 to the resolver` }]
  }

  hold(target: Target | undefined): HeldNamespace {
    return new HeldNamespace(target)
  }
}

import path from 'node:path'
import type { NetOp } from '../sdk/kinds/network.js'
import type { Spawner } from '../sdk/ports.js'
import { compileNetOps, deleteLink, encodePlan, MessageWriter, NETLINK_ROUTE, sandboxIndex, type HostOp } from '../../native/index.js'

const CLONE_NEWNET = 0x40000000
const MNT_DETACH = 2
const ENOENT = 2
const EINVAL = 22
const ENODEV = 19
const deadline = 10_000

/** Slots of the plans below. */
const host = 1
const sandbox = 0

type Target = { pid: number } | { path: string }
interface Steps {
  host: NetOp[]
  container: NetOp[]
}

const pathOf = (target: Target): string => ('pid' in target ? `/proc/${target.pid}/ns/net` : target.path)

/** Network namespaces through helpers: every step runs outside the daemon, with a deadline. */
export class HelperNetworkNamespaces {
  constructor(private readonly spawner: Spawner) {}

  async create(target: string, steps: Steps): Promise<void> {
    const compiled = compileNetOps(steps, { kind: 'slot', slot: sandbox })
    await this.run('make network namespace', [
      { op: 'mkdir', path: path.dirname(target), mode: 0o755, parents: true },
      { op: 'openNs', slot: host, path: '/proc/self/ns/net' },
      { op: 'unshare', flags: CLONE_NEWNET },
      { op: 'bindNs', path: target, type: 'net' },
      { op: 'openNs', slot: sandbox, path: target },
      { op: 'setNs', slot: host, flags: CLONE_NEWNET },
      ...compiled.host,
      { op: 'setNs', slot: sandbox, flags: CLONE_NEWNET },
      ...compiled.container,
    ])
  }

  async remove(target: string): Promise<void> {
    await this.run('remove network namespace', [
      { op: 'umount', path: target, flags: MNT_DETACH, ignore: [ENOENT, EINVAL] },
      { op: 'unlink', path: target, ignore: [ENOENT] },
    ])
  }

  async apply(target: Target, steps: Steps): Promise<void> {
    const compiled = compileNetOps(steps, { kind: 'slot', slot: sandbox })
    await this.run('join network', [
      { op: 'openNs', slot: sandbox, path: pathOf(target) },
      ...compiled.host,
      { op: 'setNs', slot: sandbox, flags: CLONE_NEWNET },
      ...compiled.container,
    ])
  }

  async unlink(target: Target, links: string[]): Promise<void> {
    const writer = new MessageWriter()
    for (const link of links) deleteLink(writer, sandboxIndex(link))
    await this.run('leave network', [
      { op: 'openNs', slot: sandbox, path: pathOf(target) },
      { op: 'setNs', slot: sandbox, flags: CLONE_NEWNET },
      { op: 'netlink', protocol: NETLINK_ROUTE, messages: writer.bytes(), names: writer.names, ignore: [ENODEV] },
    ])
  }

  private async run(name: string, ops: HostOp[]): Promise<void> {
    await this.spawner.run(encodePlan({ host: ops }), { deadline, name })
  }
}

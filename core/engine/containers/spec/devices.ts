import fs from 'node:fs/promises'
import path from 'node:path'
import type { HostConfig } from '../../../schema/engine-api.js'
import { invalidParameter, messageOf } from '../../../sdk/errors.js'
import type { OciDevice, OciDeviceRule } from '../../../sdk/oci.js'
import type { HostDevices } from './input.js'

type Node = HostDevices['nodes'][number]

const S_IFMT = 0o170000
const S_IFCHR = 0o020000
const S_IFBLK = 0o060000

const majorOf = (dev: number): number => Math.floor(dev / 256) % 4096
const minorOf = (dev: number): number => (dev % 256) + Math.floor(dev / 0x100000) * 256

async function nodeAt(hostPath: string, containerPath: string, access: string): Promise<Node | undefined> {
  const stat = await fs.stat(hostPath)
  const format = stat.mode & S_IFMT
  if (format !== S_IFCHR && format !== S_IFBLK) return undefined
  return {
    type: format === S_IFBLK ? 'b' : 'c',
    path: containerPath,
    major: majorOf(stat.rdev),
    minor: minorOf(stat.rdev),
    fileMode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    access,
  }
}

/** Every device node below a directory; what a container makes for itself is left out. */
async function walk(hostDir: string, containerDir: string, access: string, found: Node[]): Promise<void> {
  for (const entry of await fs.readdir(hostDir, { withFileTypes: true })) {
    const host = path.join(hostDir, entry.name)
    const inside = path.join(containerDir, entry.name)
    if (entry.isDirectory()) {
      if (!['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev'].includes(entry.name)) await walk(host, inside, access, found)
    } else if (entry.name !== 'console' && (entry.isCharacterDevice() || entry.isBlockDevice())) {
      // Devices come and go while we look.
      const node = await nodeAt(host, inside, access).catch(() => undefined)
      if (node) found.push(node)
    }
  }
}

const gathering = (hostPath: string, why: string) =>
  invalidParameter(`error gathering device information while adding custom device "${hostPath}": ${why}`)

/** Reads from the host what HostConfig's device paths mean. */
export async function resolveDevices(host: HostConfig): Promise<HostDevices> {
  const nodes: Node[] = []
  if (host.Privileged) await walk('/dev', '/dev', 'rwm', nodes)
  else
    for (const { PathOnHost = '', PathInContainer, CgroupPermissions } of host.Devices ?? []) {
      const inside = PathInContainer || PathOnHost
      const access = CgroupPermissions || 'rwm'
      const before = nodes.length
      try {
        const node = await nodeAt(PathOnHost, inside, access)
        if (node) nodes.push(node)
        else await walk(await fs.realpath(PathOnHost), inside, access, nodes)
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code
        throw gathering(
          PathOnHost,
          code === 'ENOENT' ? 'no such file or directory' : code === 'ENOTDIR' ? 'not a device node' : messageOf(error),
        )
      }
      if (nodes.length === before) throw gathering(PathOnHost, 'not a device node')
    }

  const block: HostDevices['block'] = {}
  const paths = [
    host.BlkioWeightDevice,
    host.BlkioDeviceReadBps,
    host.BlkioDeviceWriteBps,
    host.BlkioDeviceReadIOps,
    host.BlkioDeviceWriteIOps,
  ]
  for (const wanted of paths.flatMap((list) => list ?? [])) {
    const device = wanted.Path ?? ''
    const node = await nodeAt(device, device, '').catch(() => undefined)
    if (node?.type === 'b' && node.major !== undefined && node.minor !== undefined) block[device] = { major: node.major, minor: node.minor }
  }
  return { nodes, block }
}

export const noDevices: HostDevices = { nodes: [], block: {} }

/** Nodes to make besides the runtime's own (null, zero, full, random, urandom, tty). */
export function buildDevices({ nodes }: HostDevices): OciDevice[] {
  return nodes.map(({ access: _access, ...device }) => device)
}

const ruleSyntax = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/

export function parseDeviceRule(rule: string): OciDeviceRule {
  const match = ruleSyntax.exec(rule)
  if (!match) throw invalidParameter(`invalid device cgroup rule format: '${rule}'`)
  const [, type, major, minor, access] = match
  return {
    allow: true,
    type: type as 'a' | 'b' | 'c',
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
    ...(access ? { access } : {}),
  }
}

const DEFAULT_RULES: OciDeviceRule[] = [
  { allow: false, access: 'rwm' },
  // Making a node is harmless without the right to open it.
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...(
    [
      [1, 3],
      [1, 5],
      [1, 7],
      [1, 8],
      [1, 9],
      [5, 0],
      [5, 1],
      [5, 2],
      // tun: whoever has NET_ADMIN makes the node itself, as under runc.
      [10, 200],
    ] as const
  ).map(([major, minor]): OciDeviceRule => ({ allow: true, type: 'c', major, minor, access: 'rwm' })),
  { allow: true, type: 'c', major: 136, access: 'rwm' },
]

/** The device cgroup, as rules in order. */
export function deviceRules(host: HostConfig, { nodes }: HostDevices): OciDeviceRule[] {
  if (host.Privileged) return [{ allow: true, access: 'rwm' }]
  return [
    ...DEFAULT_RULES,
    ...nodes.map(({ type, major, minor, access }): OciDeviceRule => ({
      allow: true,
      type: type === 'b' ? 'b' : 'c',
      ...(major === undefined ? {} : { major }),
      ...(minor === undefined ? {} : { minor }),
      access,
    })),
    ...(host.DeviceCgroupRules ?? []).map(parseDeviceRule),
  ]
}

import path from 'node:path'
import type { CgroupLayout, Op } from 'tsd-engine/native'
import { invalidParameter, type MountInstruction, type OciDevice, type OciMount, type OciSpec } from 'tsd-engine/sdk'
import type { CgroupPaths } from './cgroups.js'
import { MOUNT_ATTR, MS, parseMountOptions, type MountOptions } from './options.js'

export type MountOp = Op<'fsmount' | 'openTree' | 'mountAttr' | 'moveMount' | 'mountIn' | 'mkdirIn' | 'symlinkIn' | 'mknodIn' | 'close'>

/** Slots of a plan: 0 is the root, 1 serves one mount after the other, higher ones hold what the host phase opened. */
export const ROOT_SLOT = 0
const MOUNT_SLOT = 1
export const FIRST_FREE_SLOT = 2
const LAST_SLOT = 55

function refuse(options: MountOptions, destination: string): void {
  if (options.refused.length > 0)
    throw invalidParameter(`mount ${destination}: option ${options.refused.join(', ')} is not supported by the native exec driver`)
}

function attributeOps(options: MountOptions, slot: number): MountOp[] {
  const ops: MountOp[] = []
  if (options.set || options.clear) ops.push({ op: 'mountAttr', slot, set: options.set, clear: options.clear & ~options.set })
  if (options.recursiveSet || options.recursiveClear)
    ops.push({ op: 'mountAttr', slot, set: options.recursiveSet, clear: options.recursiveClear & ~options.recursiveSet, recursive: true })
  return ops
}

function attributesOf(options: MountOptions): number {
  return options.set & ~MOUNT_ATTR.ATIME & ~MOUNT_ATTR.NODIRATIME
}

/** The root, as detached mounts placed over `at` one upon the other: the topmost is in ROOT_SLOT. */
export function rootOps(rootfs: readonly MountInstruction[], rootPath: string, at: string): MountOp[] {
  if (rootfs.length === 0) {
    return [
      { op: 'openTree', slot: ROOT_SLOT, path: rootPath, recursive: true },
      { op: 'moveMount', slot: ROOT_SLOT, path: at, propagation: MS.PRIVATE | MS.REC },
    ]
  }
  return rootfs.flatMap((instruction): MountOp[] => {
    const options = parseMountOptions(instruction.options)
    refuse(options, '/')
    const place: MountOp = { op: 'moveMount', slot: ROOT_SLOT, path: at, propagation: options.propagation || MS.PRIVATE }
    if (instruction.type === 'bind' || options.bind)
      return [
        { op: 'openTree', slot: ROOT_SLOT, path: instruction.source, recursive: options.recursive },
        ...attributeOps(options, ROOT_SLOT),
        place,
      ]
    return [
      {
        op: 'fsmount',
        slot: ROOT_SLOT,
        fstype: instruction.type,
        source: instruction.source,
        // A read-only superblock also for file systems that would write on their own.
        options: options.flags & MS.RDONLY ? [...options.data, 'ro'] : options.data,
        attrs: attributesOf(options),
      },
      place,
    ]
  })
}

function bindOps(mount: OciMount, options: MountOptions, shared: SharedBinds): MountOp[] {
  if (!mount.source || !path.isAbsolute(mount.source))
    throw invalidParameter(`mount ${mount.destination}: the source of a bind mount must be an absolute path, not "${mount.source ?? ''}"`)
  const propagation = options.propagation || MS.PRIVATE | MS.REC
  // Seen from the container's mount namespace the host's mounts are slaves already: a peer can only be cloned before it is made.
  const slot = propagation & MS.SHARED ? shared.open(mount.source, options.recursive) : MOUNT_SLOT
  return [
    ...(slot === MOUNT_SLOT ? [{ op: 'openTree', slot, path: mount.source, recursive: options.recursive } as const] : []),
    ...attributeOps(options, slot),
    { op: 'moveMount', slot, path: mount.destination, root: ROOT_SLOT, create: 'like', propagation },
    { op: 'close', slot },
  ]
}

/** Sources of shared binds, opened in the host phase. */
export class SharedBinds {
  readonly ops: Op<'openTree'>[] = []
  #next: number

  constructor(firstSlot: number) {
    this.#next = firstSlot
  }

  open(source: string, recursive: boolean): number {
    const slot = this.#next++
    if (slot > LAST_SLOT) throw invalidParameter('too many mounts with shared propagation')
    this.ops.push({ op: 'openTree', slot, path: source, recursive })
    return slot
  }
}

const PROC_FILES = new Set(
  ['cpuinfo', 'diskstats', 'meminfo', 'stat', 'swaps', 'uptime', 'loadavg', 'slabinfo', 'net/dev', 'sys/kernel/ns_last_pid'].map(
    (name) => `/proc/${name}`,
  ),
)

/** The destination, clean. What is mounted over /proc would decide what the launcher itself believes. */
function checkDestination(mount: OciMount): string {
  const { destination } = mount
  if (!destination.startsWith('/') || destination.split('/').includes('..'))
    throw invalidParameter(`invalid mount destination "${destination}": it must be absolute, without ..`)
  const clean = destination === '/' ? destination : path.posix.normalize(destination).replace(/\/$/, '')
  const proc = mount.type === 'proc' || (mount.source !== undefined && path.posix.normalize(mount.source) === '/proc')
  if ((clean === '/proc' && !proc) || (clean.startsWith('/proc/') && !PROC_FILES.has(clean)))
    throw invalidParameter(`"${destination}" cannot be mounted because it is inside /proc`)
  return clean
}

export interface CgroupView {
  layout: CgroupLayout
  paths: CgroupPaths
  /** The container has a cgroup namespace of its own. */
  own: boolean
}

function cgroupOps(mount: OciMount, options: MountOptions, view: CgroupView | undefined): MountOp[] {
  if (!view) return []
  const at = mount.destination
  const flags = options.flags | MS.NOSUID | MS.NOEXEC | MS.NODEV
  if (view.layout.version === 2) {
    if (view.own) return [{ op: 'mountIn', root: ROOT_SLOT, path: at, fstype: 'cgroup2', source: 'cgroup', flags, create: 'dir' }]
    return [{ op: 'mountIn', root: ROOT_SLOT, path: at, source: view.layout.dir, flags: flags | MS.BIND | MS.REC, create: 'dir' }]
  }
  const writable = flags & ~MS.RDONLY
  const ops: MountOp[] = [
    { op: 'mountIn', root: ROOT_SLOT, path: at, fstype: 'tmpfs', source: 'tmpfs', flags: writable, data: 'mode=755', create: 'dir' },
  ]
  view.layout.hierarchies.forEach(({ name, controllers }, index) => {
    const target = `${at}/${name}`
    if (view.own) {
      const data = controllers.map((controller) => (controller.startsWith('name=') ? `none,${controller}` : controller)).join(',')
      ops.push({ op: 'mountIn', root: ROOT_SLOT, path: target, fstype: 'cgroup', source: 'cgroup', flags, data, create: 'dir' })
    } else
      ops.push({
        op: 'mountIn',
        root: ROOT_SLOT,
        path: target,
        source: view.paths.dirs[index] ?? '',
        flags: flags | MS.BIND,
        create: 'dir',
      })
    if (controllers.length > 1)
      for (const controller of controllers)
        if (controller !== name) ops.push({ op: 'symlinkIn', root: ROOT_SLOT, path: `${at}/${controller}`, target: name })
  })
  if (options.flags & MS.RDONLY)
    ops.push({ op: 'mountIn', root: ROOT_SLOT, path: at, fstype: 'tmpfs', source: 'tmpfs', flags: flags | MS.REMOUNT, data: 'mode=755' })
  return ops
}

const VIRTUAL = new Set([
  'proc',
  'sysfs',
  'tmpfs',
  'devpts',
  'mqueue',
  'cgroup',
  'cgroup2',
  'bpf',
  'debugfs',
  'tracefs',
  'securityfs',
  'hugetlbfs',
  'ramfs',
  'binfmt_misc',
])

export function mountOps(mounts: readonly OciMount[], view: CgroupView | undefined, shared: SharedBinds): MountOp[] {
  return mounts.flatMap((asked): MountOp[] => {
    const mount = { ...asked, destination: checkDestination(asked) }
    const options = parseMountOptions(mount.options)
    refuse(options, mount.destination)
    const type = mount.type ?? (options.bind ? 'bind' : '')
    if (type === 'bind' || type === 'none' || options.bind) return bindOps(mount, options, shared)
    if (type === 'cgroup' || type === 'cgroup2') return cgroupOps(mount, options, view)
    if (VIRTUAL.has(type))
      return [
        {
          op: 'mountIn',
          root: ROOT_SLOT,
          path: mount.destination,
          fstype: type,
          source: mount.source ?? type,
          flags: options.flags,
          data: options.data.join(','),
          create: 'dir',
          propagation: options.propagation,
        },
      ]
    // A real file system: made detached, so that its source is the host's path.
    return [
      { op: 'fsmount', slot: MOUNT_SLOT, fstype: type, source: mount.source ?? type, options: options.data, attrs: attributesOf(options) },
      {
        op: 'moveMount',
        slot: MOUNT_SLOT,
        path: mount.destination,
        root: ROOT_SLOT,
        create: 'dir',
        propagation: options.propagation || MS.PRIVATE,
      },
      { op: 'close', slot: MOUNT_SLOT },
    ]
  })
}

const S_IF: Record<OciDevice['type'], number> = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 }

function deviceOp(device: OciDevice): MountOp {
  return {
    op: 'mknodIn',
    root: ROOT_SLOT,
    path: device.path,
    mode: S_IF[device.type] | (device.fileMode ?? 0o666),
    major: device.major ?? 0,
    minor: device.minor ?? 0,
    uid: device.uid ?? 0,
    gid: device.gid ?? 0,
  }
}

const DEFAULT_DEVICES = (
  [
    ['null', 3],
    ['zero', 5],
    ['full', 7],
    ['random', 8],
    ['urandom', 9],
  ] as const
)
  .map(([name, minor]): OciDevice => ({ type: 'c', path: `/dev/${name}`, major: 1, minor }))
  .concat({ type: 'c', path: '/dev/tty', major: 5, minor: 0 })

const LINKS: [string, string][] = [
  ['/dev/fd', '/proc/self/fd'],
  ['/dev/stdin', '/proc/self/fd/0'],
  ['/dev/stdout', '/proc/self/fd/1'],
  ['/dev/stderr', '/proc/self/fd/2'],
  ['/dev/core', '/proc/kcore'],
  ['/dev/ptmx', 'pts/ptmx'],
]

const fixedDeviceOps: MountOp[] = [
  ...DEFAULT_DEVICES.map(deviceOp),
  ...LINKS.map(([at, target]): MountOp => ({ op: 'symlinkIn', root: ROOT_SLOT, path: at, target })),
]

/** Nothing is made in a /dev that is the host's own. */
export function deviceOps(spec: OciSpec): MountOp[] {
  if (spec.mounts.some((mount) => mount.destination === '/dev' && mount.type === 'bind')) return []
  const custom = (spec.linux.devices ?? []).filter((device) => !DEFAULT_DEVICES.some((known) => known.path === device.path))
  const links = new Set(LINKS.map(([at]) => at))
  return [...fixedDeviceOps, ...custom.filter((device) => !links.has(device.path)).map(deviceOp)]
}

import path from 'node:path'
import { compileNetOps, type CgroupLayout, type ChildOp, type HostOp, type Op, type ParentOp, type Plan } from 'tsd-engine/native'
import { invalidParameter, type ContainerBundle, type OciMount, type OciProcess, type OciSpec } from 'tsd-engine/sdk'
import { cgroupPathsOf, checkCgroupsPath, writesV1, writesV2, type CgroupPaths, type CgroupWrite } from './cgroups.js'
import { deviceOps, FIRST_FREE_SLOT, mountOps, ROOT_SLOT, rootOps, SharedBinds } from './mounts.js'
import { MS } from './options.js'
import { processOps } from './process.js'
import type { SeccompFilter } from './seccomp.js'
import type { StoredContainer } from './state.js'

export const CLONE: Record<OciSpec['linux']['namespaces'][number]['type'], number> = {
  mount: 0x00020000,
  cgroup: 0x02000000,
  uts: 0x04000000,
  ipc: 0x08000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
  time: 0x00000080,
}

const ENOENT = 2
const EEXIST = 17
const EOPNOTSUPP = 95

export interface ComposeInput {
  bundle: ContainerBundle
  filter: SeccompFilter | undefined
  layout: CgroupLayout | undefined
  /** Existing directory over which the root is placed, in the container's mount namespace alone. */
  at: string
  /** Where the shim writes the pid of init. */
  pidFile: string
  /** Where `stored` is written before anything else happens. */
  stateFile: string
  stored: StoredContainer
  park: boolean
}

export interface Composed {
  plan: Plan
  cgroups: CgroupPaths | undefined
}

export function cgroupWriteOps(paths: CgroupPaths, writes: readonly CgroupWrite[]): Op<'write'>[] {
  return writes
    .map(({ controller, file, value, optional }) => {
      const dir = paths.byController[controller]
      if (dir === undefined) {
        if (optional) return undefined
        throw invalidParameter(`cannot set ${file}: the machine has no ${controller} cgroup controller`)
      }
      return { op: 'write' as const, path: `${dir}/${file}`, data: value, ...(optional ? { ignore: [ENOENT, EOPNOTSUPP] } : {}) }
    })
    .filter((op) => op !== undefined)
}

const CGROUP_SLOT = 60

function sysctlOps(spec: OciSpec): Op<'write'>[] {
  return Object.entries(spec.linux.sysctl ?? {}).map(([key, value]) => {
    const name = key.includes('/') ? key : key.replaceAll('.', '/')
    if (name.split('/').some((part) => part === '' || part === '..')) throw invalidParameter(`invalid sysctl "${key}"`)
    return { op: 'write', path: `/proc/sys/${name}`, data: value }
  })
}

/** Namespaces to make with the child, and those to join: by slot. */
function namespaceOps(spec: OciSpec): { flags: number; host: HostOp[]; join: ChildOp[]; slots: number } {
  let flags = 0
  let slot = FIRST_FREE_SLOT
  const host: HostOp[] = []
  const join: ChildOp[] = []
  for (const { type, path } of spec.linux.namespaces) {
    if (type === 'user' || type === 'time') throw invalidParameter(`${type} namespaces are not supported by the native exec driver`)
    if (path === undefined) {
      // The cgroup namespace is made once the process is in its cgroup: its root is where it stands then.
      if (type !== 'cgroup') flags |= CLONE[type]
      continue
    }
    host.push({ op: 'openNs', slot, path })
    if (type === 'pid') host.push({ op: 'setNs', slot, flags: CLONE.pid })
    else join.push({ op: 'setNs', slot, flags: CLONE[type] })
    slot++
  }
  if (!(flags & CLONE.mount)) throw invalidParameter('a container needs a mount namespace of its own')
  return { flags, host, join, slots: slot }
}

/** Ops for the process of a container or an exec that end its plan. */
export function finalOps(process: OciProcess, filter: SeccompFilter | undefined, options: { park: boolean; makeCwd: boolean }): ChildOp[] {
  const { park, makeCwd } = options
  return [
    ...processOps(process, filter, makeCwd),
    ...(park ? [{ op: 'park' } as const] : []),
    { op: 'exec', argv: process.args, env: process.env ?? [] },
  ]
}

export function cgroupOps(paths: CgroupPaths, spec: OciSpec): Op<'mkdir' | 'write'>[] {
  const resources = spec.linux.resources ?? {}
  const writes = paths.version === 2 ? writesV2(resources) : writesV1(resources)
  return [
    ...paths.dirs.map((path): Op<'mkdir'> => ({ op: 'mkdir', path, mode: 0o755, ignore: [EEXIST] })),
    ...cgroupWriteOps(paths, writes),
  ]
}

/** What shows the container its cgroups waits for them; nothing else does, unless it lies below. */
function splitMounts(mounts: readonly OciMount[]): { early: OciMount[]; late: OciMount[] } {
  const cgroup = mounts.find(({ type }) => type === 'cgroup' || type === 'cgroup2')
  if (!cgroup) return { early: [...mounts], late: [] }
  const below = (mount: OciMount) => mount === cgroup || mount.destination.startsWith(`${cgroup.destination}/`)
  return { early: mounts.filter((mount) => !below(mount)), late: mounts.filter(below) }
}

/** One plan that makes a container, from nothing to exec. */
export function composeContainer(input: ComposeInput): Composed {
  const { bundle, layout } = input
  const { spec } = bundle
  const namespaces = namespaceOps(spec)
  const ownCgroup = spec.linux.namespaces.some(({ type, path }) => type === 'cgroup' && path === undefined)
  const cgroups = layout && spec.linux.cgroupsPath ? cgroupPathsOf(layout, checkCgroupsPath(spec.linux.cgroupsPath)) : undefined
  const memory = cgroups?.byController[cgroups.version === 2 ? 'cgroup' : 'memory']
  const newNetwork = (namespaces.flags & CLONE.network) !== 0
  const network = newNetwork
    ? compileNetOps(bundle.network ?? { host: [], container: [{ op: 'up', link: 'lo' }] }, { kind: 'child' })
    : undefined
  if (!newNetwork && bundle.network && bundle.network.host.length + bundle.network.container.length > 0)
    throw invalidParameter(`container ${bundle.id}: network steps were given, but the container has no network namespace of its own`)
  const shared = new SharedBinds(namespaces.slots)
  const view = layout && cgroups ? { layout, paths: cgroups, own: ownCgroup } : undefined
  const v2 = cgroups?.version === 2
  // v1: the shim makes the cgroups while the child mounts; v2 is born in its group.
  const { early, late } = v2 ? { early: spec.mounts, late: [] } : splitMounts(spec.mounts)
  const mounts = mountOps(early, view, shared)
  const cgroupMounts = mountOps(late, view, shared)
  const cgroupSetup = cgroups ? cgroupOps(cgroups, spec) : []

  const host: HostOp[] = [
    {
      op: 'write',
      path: input.stateFile,
      data: JSON.stringify(cgroups ? { ...input.stored, cgroups } : input.stored),
      create: true,
      mode: 0o600,
    },
    ...(v2 ? cgroupSetup : []),
    // O_RDONLY | O_DIRECTORY
    ...(v2 ? [{ op: 'openPath', slot: CGROUP_SLOT, path: cgroups.dirs[0] ?? '', flags: 0o200000 } as const] : []),
    ...namespaces.host,
    ...shared.ops,
  ]
  const parent: ParentOp[] = [
    { op: 'writePid', path: input.pidFile, create: true },
    ...(v2 || !cgroups ? [] : [...cgroupSetup, { op: 'milestone' } as const]),
    ...(network?.host ?? []),
  ]
  const masks = maskOps(spec)
  const child: ChildOp[] = [
    ...namespaces.join,
    ...(ownCgroup && v2 ? [{ op: 'unshare', flags: CLONE.cgroup } as const] : []),
    // Nothing that is mounted here may reach the host.
    { op: 'propagation', path: '/', flags: MS.SLAVE | MS.REC },
    ...rootOps(bundle.rootfs, path.resolve(bundle.bundle, spec.root.path), input.at),
    ...mounts,
    ...deviceOps(spec),
    ...(cgroups && !v2
      ? [{ op: 'waitMilestone' } as const, { op: 'cgroupJoin', paths: cgroups.dirs.map((dir) => `${dir}/tasks`) } as const]
      : []),
    ...(ownCgroup && !v2 ? [{ op: 'unshare', flags: CLONE.cgroup } as const] : []),
    ...cgroupMounts,
    { op: 'pivot', root: ROOT_SLOT },
    ...(spec.hostname ? [{ op: 'sethostname', name: spec.hostname } as const] : []),
    ...(spec.domainname ? [{ op: 'setdomainname', name: spec.domainname } as const] : []),
    ...masks.early,
    // The links are there by then.
    { op: 'waitParent' },
    ...(network?.container ?? []),
    ...sysctlOps(spec),
    ...(spec.process.terminal ? [{ op: 'console', mountAt: '/dev/console' } as const] : []),
    ...(spec.linux.readonlyPaths ?? []).map((path) => ({ op: 'readonlyPath', path }) as const),
    ...masks.late,
    ...finalRoot(spec),
    ...finalOps(spec.process, input.filter, { park: input.park, makeCwd: true }),
  ]
  return {
    cgroups,
    plan: {
      ...(memory ? { setup: [{ op: 'watchOom', path: memory, version: v2 ? 'v2' : 'v1' }] } : {}),
      host,
      clone: [{ op: 'clone', flags: namespaces.flags, ...(v2 ? { cgroup: CGROUP_SLOT } : {}) }],
      parent,
      child,
    },
  }
}

/** What hides nothing below /proc/sys needs not wait for the network, whose settings are written there. */
function maskOps(spec: OciSpec): { early: ChildOp[]; late: ChildOp[] } {
  const settings = '/proc/sys'
  const touches = (masked: string) =>
    settings.startsWith(masked.endsWith('/') ? masked : `${masked}/`) || `${masked}/`.startsWith(`${settings}/`)
  const paths = (spec.linux.maskedPaths ?? []).map((masked) => path.posix.normalize(masked))
  const ops = (list: string[]) => list.map((masked) => ({ op: 'maskPath', path: masked }) as const)
  return { early: ops(paths.filter((masked) => !touches(masked))), late: ops(paths.filter(touches)) }
}

const propagations: Record<string, number> = { private: MS.PRIVATE, shared: MS.SHARED, slave: MS.SLAVE, unbindable: MS.UNBINDABLE }

function finalRoot(spec: OciSpec): ChildOp[] {
  const ops: ChildOp[] = []
  const wanted = spec.linux.rootfsPropagation
  if (wanted) {
    const recursive = wanted.startsWith('r') && propagations[wanted] === undefined
    const flag = propagations[recursive ? wanted.slice(1) : wanted]
    if (flag === undefined) throw invalidParameter(`unknown rootfs propagation "${wanted}"`)
    ops.push({ op: 'propagation', path: '/', flags: flag | (recursive ? MS.REC : 0) })
  }
  // A working directory that is missing must be made before the root is closed.
  if (spec.root.readonly) ops.push({ op: 'chdir', path: spec.process.cwd || '/', create: true }, { op: 'remountReadonly', path: '/' })
  return ops
}

export interface ExecInput {
  pid: number
  /** Namespaces of the container that are not the host's. */
  namespaces: readonly string[]
  cgroups: CgroupPaths | undefined
  process: OciProcess
  filter: SeccompFilter | undefined
  pidFile: string
}

const NAMESPACE_FILES: Record<string, string> = { mount: 'mnt', network: 'net', pid: 'pid', ipc: 'ipc', uts: 'uts', cgroup: 'cgroup' }

/** One plan that runs another process in a container. */
export function composeExec(input: ExecInput): Plan {
  const host: HostOp[] = []
  const join: ChildOp[] = []
  let slot = FIRST_FREE_SLOT
  // The mount namespace comes last: after it, paths are the container's.
  const order = [...input.namespaces].sort((a, b) => Number(a === 'mount') - Number(b === 'mount'))
  for (const type of order) {
    const file = NAMESPACE_FILES[type]
    if (!file) continue
    const flags = CLONE[type as keyof typeof CLONE]
    host.push({ op: 'openNs', slot, path: `/proc/${input.pid}/ns/${file}` })
    if (type === 'pid') host.push({ op: 'setNs', slot, flags })
    else join.push({ op: 'setNs', slot, flags })
    slot++
  }
  const { cgroups } = input
  const v2 = cgroups?.version === 2
  if (v2) host.push({ op: 'openPath', slot: CGROUP_SLOT, path: cgroups.dirs[0] ?? '', flags: 0o200000 })
  return {
    host,
    clone: [{ op: 'clone', ...(v2 ? { cgroup: CGROUP_SLOT } : {}) }],
    parent: [{ op: 'writePid', path: input.pidFile, create: true }],
    child: [
      ...(cgroups && !v2 ? [{ op: 'cgroupJoin', paths: cgroups.dirs.map((dir) => `${dir}/tasks`) } as const] : []),
      ...join,
      ...(input.process.terminal ? [{ op: 'console' } as const] : []),
      ...finalOps(input.process, input.filter, { park: false, makeCwd: false }),
    ],
  }
}

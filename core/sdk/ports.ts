import type { Readable } from 'node:stream'
import type { MountInstruction } from './kinds/graph.js'
import type { ShimFile, ShimSpec, StartedProcess } from './process.js'

export type { ShimFile, ShimSpec }

export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

export interface HelperOptions {
  /** Milliseconds until the helper is killed and the call fails with DeadlineExceeded. */
  deadline: number
  /** For messages and traces. */
  name: string
  signal?: AbortSignal
}

/** Runs plans (see tsd-engine/native, `plan`) through the zygote: nothing blocks the event loop. */
export interface Spawner {
  /**
   * Forks a shim that carries out the plan. Resolves once the process is exec'd, or parked when the plan has a park op.
   * A failing op rejects with an error naming the op, its subject and the errno.
   */
  launch(shim: ShimSpec, plan: Uint8Array): Promise<StartedProcess>
  /** Releases a parked process; resolves once it is exec'd. */
  resume(shimId: string): Promise<void>
  /** Carries out a plan without a container (host ops only) and answers what its ops wrote to their output. */
  run(plan: Uint8Array, options: HelperOptions): Promise<{ output: Uint8Array }>
}

/** Mounts on the host, for those that need a host path. Every call runs in a helper with a deadline and is safe to repeat. */
export interface Mounter {
  mount(instructions: MountInstruction[], target: string): Promise<void>
  /** Unmounting what is not mounted is success. */
  unmount(target: string, options?: { lazy?: boolean }): Promise<void>
  /** True when `target` is a mount point. */
  mounted(target: string): Promise<boolean>
}

export type WhiteoutFormat =
  /** Character device 0/0 and `trusted.overlay.opaque`. */
  | 'overlay'
  /** AUFS names are applied by deleting what they name. */
  | 'apply'
  /** No whiteouts occur; AUFS names are refused. */
  | 'none'

export interface UnpackOptions {
  /** Directory, the root of every path of the archive. Nothing outside is touched. */
  root: string
  whiteouts: WhiteoutFormat
  /** Refuse archives that unpack to more than this many bytes or entries. */
  maxBytes?: number
  maxEntries?: number
  /** Everything is on disk before the call answers. */
  sync?: boolean
  signal?: AbortSignal
}

export interface PackOptions {
  root: string
  /** `overlay`: whiteouts on disk become AUFS names in the archive. */
  whiteouts: 'overlay' | 'none'
  /** When given, only what differs from this older tree is packed, deletions as AUFS whiteouts. */
  base?: string
  /** Of `changes` alone: root is an overlay upper directory and these are its lower directories, topmost first. */
  lowers?: string[]
  signal?: AbortSignal
}

/** Tar in and out of directories, in a worker process chrooted into the root. */
export interface Archiver {
  /** Consumes an uncompressed tar stream; hostile entries are refused or contained. */
  unpack(tar: Readable, options: UnpackOptions): Promise<{ size: number; entries: number }>
  pack(options: PackOptions): Readable
  /** Differences between two trees, without their content. */
  changes(options: PackOptions): Promise<{ path: string; kind: 'modify' | 'add' | 'delete' }[]>
  /** Recursive copy that keeps owners, modes, times, xattrs, hard links and devices; `into` must be empty or absent. */
  copy(from: string, into: string): Promise<void>
  /** Recursive delete off the loop. */
  remove(path: string): Promise<void>
  /** Bytes used by a tree (hard links counted once). */
  size(path: string): Promise<number>
}

/** What a driver is given. A bundled driver gets exactly what a third party's gets. */
export interface DriverContext {
  /** Name of the driver. */
  name: string
  /** Survives reboots; the driver's own: `<data-root>/<driver>` for graph, `<data-root>/<kind>s/<driver>` for the others. Exists. */
  dataDir: string
  /** Destroyed by a reboot; the driver's own. Exists. */
  runDir: string
  /** Options from config, validated against the manifest's schema. */
  options: Record<string, unknown>
  logger: Logger
  spawner: Spawner
  mounter: Mounter
  archiver: Archiver
  /** Facts that several kinds need. */
  daemon: DaemonFacts
}

export interface DaemonFacts {
  dataRoot: string
  execRoot: string
  /** Name of the default bridge, `tsd0`. */
  bridge: string
  /** Cgroup parent, `/tsd`. */
  cgroupParent: string
  name: string
}

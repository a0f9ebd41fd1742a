import type { MountInstruction } from './graph.js'
import type { NetOp } from './network.js'
import type { OciProcess, OciResources, OciSeccomp, OciSpec } from '../oci.js'
import type { ShimSpec, StartedProcess } from '../process.js'

/** One container, complete: what an exec driver needs to run it. */
export interface ContainerBundle {
  /** 64 hex for the engine's containers; `[a-zA-Z0-9_.-]{1,128}` in general. */
  id: string
  /** Directory of the bundle; `config.json` is written there only for drivers without `run`. */
  bundle: string
  /** OCI runtime spec 1.x. For drivers with `run` the network namespace of `network` has no path: the driver makes it. */
  spec: OciSpec
  /** How to make the root file system, topmost last. Empty: `spec.root.path` is already mounted. */
  rootfs: MountInstruction[]
  /** Steps for a new network namespace made by the driver (`run` only). */
  network?: { host: NetOp[]; container: NetOp[] }
  /** The stdio keeper that must own the container's init. */
  shim: ShimSpec
}

export type { StartedProcess }

export type ContainerStatus = 'created' | 'running' | 'paused' | 'stopped'

export interface ContainerState {
  status: ContainerStatus
  pid: number
}

export interface ExecFeatures {
  /** OCI runtime spec versions, e.g. `1.0.2-dev`. */
  ociVersionMin: string
  ociVersionMax: string
  /** Shown by `docker info` as the runtime's version. */
  version: string
  capabilities: { pause: boolean; update: boolean; exec: boolean; stats: boolean; checkpoint: boolean }
}

/** Raw counters; times in nanoseconds, sizes in bytes. Absent groups are not accounted by the machine. */
export interface ContainerStats {
  cpu?: {
    total: number
    user: number
    system: number
    perCpu?: number[]
    periods?: number
    throttledPeriods?: number
    throttledTime?: number
  }
  memory?: { usage: number; maxUsage?: number; limit: number; stats: Record<string, number>; failcnt?: number }
  pids?: { current: number; limit: number }
  blkio?: { op: string; major: number; minor: number; value: number; kind: 'bytes' | 'operations' }[]
}

/**
 * Runs processes. Contract: the OCI runtime spec in a bundle; `create` makes the namespaces and parks init before exec, `start` releases it.
 * `run`, where a driver has it, is create, network and start in one step and resolves once the process is exec'd.
 * Calls are idempotent by id. State is rebuilt from ctx.runDir and the OS after any crash.
 * The engine's shim owns stdio and reports the exit; an exec driver touches neither logs nor attach.
 */
export interface ExecDriver {
  features(): Promise<ExecFeatures>
  create(container: ContainerBundle): Promise<StartedProcess>
  start(id: string): Promise<void>
  run?(container: ContainerBundle): Promise<StartedProcess>
  /** A seccomp profile that will be needed soon: a hint, so that no start waits for its compilation. */
  warm?(seccomp: OciSeccomp): Promise<void>
  /** Starts another process in a running container; its shim reports its exit. */
  exec(id: string, execId: string, process: OciProcess, shim: ShimSpec): Promise<StartedProcess>
  /** Signal number to init, or to every process of the container. A container that is gone: NotFound. */
  kill(id: string, signal: number, options?: { all?: boolean }): Promise<void>
  pause(id: string): Promise<void>
  resume(id: string): Promise<void>
  update(id: string, resources: OciResources): Promise<void>
  /** Host pids of every process in the container. */
  processes(id: string): Promise<number[]>
  stats(id: string): Promise<ContainerStats>
  state(id: string): Promise<ContainerState | undefined>
  /** Kills what is left and removes cgroups and state. Deleting what is not there is success. */
  delete(id: string): Promise<void>
  /** Every container the driver still knows of: what reconcile compares. */
  list(): Promise<string[]>
}

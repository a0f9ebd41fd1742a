import type { ContainerConfig, HostConfig } from '../../../schema/engine-api.js'
import type { OciDevice } from '../../../sdk/oci.js'
import type { SeccompProfile } from './seccomp-default.js'

/** A volume, bind or tmpfs of a container whose source is known. */
export interface ResolvedMount {
  type: 'bind' | 'volume' | 'tmpfs'
  /** Host path; empty for tmpfs. */
  source: string
  /** Absolute, clean path inside the container. */
  destination: string
  readonly: boolean
  /** `rprivate` when empty. */
  propagation?: string
  nonRecursive?: boolean
  readonlyNonRecursive?: boolean
  /** Fail instead of leaving submounts writable where the kernel cannot make them read-only. */
  readonlyForceRecursive?: boolean
  /** tmpfs: mount options such as `size=64m`, `mode=1777`. */
  options?: string[]
}

/** Where a joined namespace lives, e.g. `/proc/123/ns/ipc`. */
export interface NamespacePaths {
  pid?: string
  ipc?: string
  uts?: string
  network?: string
}

/** Device nodes and block device numbers that the host configuration refers to: see devices.ts `resolveDevices`. */
export interface HostDevices {
  /** Nodes to make in the container, with the access they are given. */
  nodes: (OciDevice & { access: string })[]
  /** Path to device number, for blkio limits. */
  block: Record<string, { major: number; minor: number }>
}

/** What the machine offers. Read once: see facts.ts. */
export interface HostFacts {
  cgroupVersion: 1 | 2
  /** Capabilities that the daemon itself holds. */
  capabilities: string[]
  /** Go's name: `amd64`, `arm64` ... */
  architecture: string
  /** major, minor. */
  kernel: [number, number]
  cpus: number
  /** Lists as `0-3`. */
  cpusetCpus: string
  cpusetMems: string
  apparmor: boolean
  swapLimit: boolean
  oomControl: boolean
  blockWeight: boolean
  cpuRealtime: boolean
  hugepageSizes: string[]
}

/** The part of the daemon's settings that shapes a container. Satisfied by EngineConfig. */
export interface SpecDefaults {
  cgroupParent: string
  defaultUlimits: Record<string, { soft: number; hard: number }>
  defaultShmSize: number
  noNewPrivileges: boolean
  /** Whether containers that do not say get an init. */
  init: boolean
  /** Host path of the static program that is it: run as `PROGRAM -- COMMAND...`. */
  initPath: string
}

export interface SpecInput {
  id: string
  /** Image and request already merged (merge.ts). */
  config: ContainerConfig
  hostConfig: HostConfig
  hostname: string
  domainname: string
  /** Parents before children is not needed: they are sorted. */
  mounts: ResolvedMount[]
  /** Host paths of the files that the engine writes; absent ones are not mounted. */
  files: { hosts?: string; hostname?: string; resolvConf?: string }
  join: NamespacePaths
  /** Host directory mounted at /dev/shm: for `shareable` and `container:` ipc modes. */
  shmPath?: string
  devices: HostDevices
  facts: HostFacts
  daemon: SpecDefaults
  /** The daemon's own seccomp profile; undefined: built in; null: unconfined. */
  seccompProfile?: SeccompProfile | null
  /** Path of the mounted root, for drivers that do not mount it themselves. */
  rootPath: string
}

/** The part of the OCI runtime specification (1.x, Linux) that tsd composes and its exec drivers honour. */
export interface OciUser {
  uid: number
  gid: number
  umask?: number
  additionalGids?: number[]
  /**
   * `user[:group]`, names or numbers, looked up in the container's own /etc/passwd and /etc/group when the process starts; when it is set
   * (also to the empty string, which is root) it decides uid, gid, groups and the default of HOME.
   */
  username?: string
  /** Names or numbers of more groups, looked up with `username`. */
  additionalGroups?: string[]
}

export interface OciCapabilities {
  bounding?: string[]
  effective?: string[]
  inheritable?: string[]
  permitted?: string[]
  ambient?: string[]
}

export interface OciRlimit {
  /** `RLIMIT_NOFILE` ... */
  type: string
  soft: number
  hard: number
}

export interface OciProcess {
  terminal?: boolean
  consoleSize?: { height: number; width: number }
  user: OciUser
  args: string[]
  env?: string[]
  cwd: string
  capabilities?: OciCapabilities
  rlimits?: OciRlimit[]
  noNewPrivileges?: boolean
  apparmorProfile?: string
  selinuxLabel?: string
  oomScoreAdj?: number
  scheduler?: { policy: string; nice?: number; priority?: number }
}

export interface OciMount {
  destination: string
  type?: string
  source?: string
  options?: string[]
}

export type OciNamespaceType = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time'

export interface OciDevice {
  type: 'c' | 'b' | 'u' | 'p'
  path: string
  major?: number
  minor?: number
  fileMode?: number
  uid?: number
  gid?: number
}

export interface OciDeviceRule {
  allow: boolean
  type?: 'a' | 'b' | 'c'
  major?: number
  minor?: number
  access?: string
}

export interface OciThrottleDevice {
  major: number
  minor: number
  rate: number
}

export interface OciResources {
  devices?: OciDeviceRule[]
  memory?: {
    limit?: number
    reservation?: number
    swap?: number
    kernel?: number
    kernelTCP?: number
    swappiness?: number
    disableOOMKiller?: boolean
  }
  cpu?: {
    shares?: number
    quota?: number
    period?: number
    realtimeRuntime?: number
    realtimePeriod?: number
    cpus?: string
    mems?: string
  }
  pids?: { limit: number }
  blockIO?: {
    weight?: number
    weightDevice?: { major: number; minor: number; weight: number }[]
    throttleReadBpsDevice?: OciThrottleDevice[]
    throttleWriteBpsDevice?: OciThrottleDevice[]
    throttleReadIOPSDevice?: OciThrottleDevice[]
    throttleWriteIOPSDevice?: OciThrottleDevice[]
  }
  hugepageLimits?: { pageSize: string; limit: number }[]
  unified?: Record<string, string>
}

export interface OciSeccompArg {
  index: number
  value: number
  valueTwo?: number
  op: string
}

export interface OciSeccomp {
  defaultAction: string
  defaultErrnoRet?: number
  architectures?: string[]
  flags?: string[]
  syscalls?: { names: string[]; action: string; errnoRet?: number; args?: OciSeccompArg[] }[]
}

export interface OciLinux {
  uidMappings?: { containerID: number; hostID: number; size: number }[]
  gidMappings?: { containerID: number; hostID: number; size: number }[]
  sysctl?: Record<string, string>
  resources?: OciResources
  cgroupsPath?: string
  namespaces: { type: OciNamespaceType; path?: string }[]
  devices?: OciDevice[]
  seccomp?: OciSeccomp
  rootfsPropagation?: string
  maskedPaths?: string[]
  readonlyPaths?: string[]
  mountLabel?: string
}

export interface OciSpec {
  ociVersion: string
  process: OciProcess
  root: { path: string; readonly?: boolean }
  hostname?: string
  domainname?: string
  mounts: OciMount[]
  linux: OciLinux
  annotations?: Record<string, string>
}

import type { ContainerConfig, EndpointSettings, HostConfig } from '../../schema/engine-api.js'

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead'

/** Where a container's mount comes from, after image volumes, --volumes-from, -v and --mount were merged. */
export interface MountPointRecord {
  type: 'bind' | 'volume' | 'tmpfs'
  /** Volume name. */
  name: string
  driver: string
  /** Host path; of a volume the one last seen, for inspect: each start asks anew. */
  source: string
  destination: string
  /** Mode as given by the user (`ro,z`). */
  mode: string
  writable: boolean
  propagation: string
  recursive: boolean
  /** Read-only for the submounts too. */
  readonlyRecursive: boolean
  readonlyNonRecursive: boolean
  noCopy: boolean
  /** What a volume that has to be made first is made with (`--mount volume-label, volume-opt`). */
  volumeLabels?: Record<string, string>
  volumeOptions?: Record<string, string>
  /** A missing bind source is made, as -v does and --mount does not. */
  createSource: boolean
  tmpfsOptions: string[]
  /** Removed together with the container when asked (`rm -v`, `--rm`). */
  anonymous: boolean
}

export interface HealthRecord {
  status: 'starting' | 'healthy' | 'unhealthy'
  failingStreak: number
  /** The last five. */
  log: { Start: string; End: string; ExitCode: number; Output: string }[]
}

export interface ContainerStateRecord {
  status: ContainerStatus
  pid: number
  startTime: string
  exitCode: number
  oomKilled: boolean
  error: string
  startedAt: string
  finishedAt: string
  /** Of a container that is probed. */
  health?: HealthRecord
  /** Of the last run's log, for want of disk space. */
  logBytesDropped?: number
}

/** What is kept of a container in the metadata store. */
export interface ContainerRecord {
  version: 1
  id: string
  name: string
  created: string
  /** Reference as given by the user. */
  image: string
  imageId: string
  topLayer: string | undefined
  graphDriver: string
  runtime: string
  config: ContainerConfig
  hostConfig: HostConfig
  /** By network name: what the user asked for, completed while running. */
  networks: Record<string, EndpointSettings>
  mounts: MountPointRecord[]
  logConfig: { Type: string; Config: Record<string, string> }
  state: ContainerStateRecord
  restartCount: number
  /** A stop or kill was asked for: no restart policy applies any more. */
  manuallyStopped: boolean
  hasBeenStarted: boolean
  /** How often it was started: makes holders that are never reused. */
  starts: number
}

export const zeroTime = '0001-01-01T00:00:00Z'

export const initialState = (): ContainerStateRecord => ({
  status: 'created',
  pid: 0,
  startTime: '',
  exitCode: 0,
  oomKilled: false,
  error: '',
  startedAt: zeroTime,
  finishedAt: zeroTime,
})

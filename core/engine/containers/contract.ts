import type { Readable } from 'node:stream'
import type { PathStat } from '../ports/index.js'
import type {
  ContainerConfig,
  ContainerCreateBody,
  ContainerInspectResponse,
  ContainerStatsResponse,
  ContainerSummary,
  Resources,
  RestartPolicy,
  ContainerWaitExitError,
} from '../../schema/engine-api.js'
import type { ExecConfig } from '../../schema/engine-api.js'
import type { ExecDriver } from '../../sdk/kinds/exec.js'
import type { LogEntry } from '../../sdk/kinds/log.js'
import type { OciProcess } from '../../sdk/oci.js'

export interface ListOptions {
  all: boolean
  limit: number
  size: boolean
  /** Unknown keys: InvalidParameter. */
  filters: Record<string, string[]>
}

export interface WaitResult {
  StatusCode: number
  Error?: ContainerWaitExitError
}

/** A client's end of a process's stdio. */
export interface StdioClient {
  /** Resolves when more may be written. */
  output(source: 'stdout' | 'stderr', data: Uint8Array): Promise<void> | void
  /** The stream is over; for hijacked connections: end the writable side. */
  end(): void
}

export interface AttachOptions {
  stdin: boolean
  stdout: boolean
  stderr: boolean
  /** Replays the log first. */
  logs: boolean
  /** Stays connected; false with logs: replay only. */
  stream: boolean
  /** Docker's syntax (`ctrl-p,ctrl-q`); undefined: the daemon's default. */
  detachKeys?: string
}

export interface StdioSession {
  tty: boolean
  /** Bytes from the client. Resolves when more may be sent. Answers false once the detach keys were typed. */
  input(data: Uint8Array): Promise<boolean>
  /** The client half-closed its side. */
  inputEnd(): void
  /** The client is gone. */
  detach(): void
}

export interface LogsOptions {
  stdout: boolean
  stderr: boolean
  follow: boolean
  since?: bigint
  until?: bigint
  tail?: number
  signal: AbortSignal
}

/** A running container, as another process in it needs it. */
export interface ExecTarget {
  id: string
  driver: ExecDriver
  driverName: string
  /** Of this run: an exec ends with it. */
  ended: Promise<void>
  process(config: ExecConfig): OciProcess
  /** Publishes `exec_create: cmd` and the like. */
  publish(action: string, attributes: Record<string, string>): void
  /** Shown by container inspect. */
  addExec(id: string): void
  dropExec(id: string): void
}

/** What a client sends to be unpacked in a container. */
export interface ArchiveWrite {
  path: string
  /** Plain, or compressed as image archives may be. Consumed, or destroyed. */
  tar: Readable
  /** A directory is not replaced by anything else, nor anything else by a directory. */
  keepKinds: boolean
  /** All becomes the property of the container's user. */
  toUser: boolean
  signal: AbortSignal
}

export type UpdateRequest = Resources & { RestartPolicy?: RestartPolicy }

export interface CommitOptions {
  repo: string
  tag: string
  author: string
  comment: string
  /** The container stands still while its files are read. */
  pause: boolean
  /** Dockerfile instructions. */
  instructions: string[]
  /** Goes over the container's own. */
  config: ContainerConfig | undefined
  signal: AbortSignal
}

export interface Containers {
  /** 409 unless the container runs and is not paused. */
  execTarget(reference: string): ExecTarget
  create(name: string | undefined, body: ContainerCreateBody, platform?: string): Promise<{ Id: string; Warnings: string[] }>
  /** NotModified when it runs already. Resolves once the process is exec'd. */
  start(reference: string, options: { detachKeys?: string }): Promise<void>
  list(options: ListOptions): Promise<ContainerSummary[]>
  inspect(reference: string, options: { size: boolean }): Promise<ContainerInspectResponse>
  /** NotModified when it is stopped already. `timeout` seconds; -1: for ever. */
  stop(reference: string, options: { signal?: string; timeout?: number }): Promise<void>
  restart(reference: string, options: { signal?: string; timeout?: number }): Promise<void>
  kill(reference: string, signal: string | undefined): Promise<void>
  pause(reference: string): Promise<void>
  unpause(reference: string): Promise<void>
  rename(reference: string, name: string): Promise<void>
  resize(reference: string, height: number, width: number): Promise<void>
  top(reference: string, psArgs: string): Promise<{ Titles: string[]; Processes: string[][] }>
  remove(reference: string, options: { force: boolean; volumes: boolean; link: boolean }): Promise<void>
  /** Resolves at once for a valid request; `result` follows the condition. */
  wait(reference: string, condition: 'not-running' | 'next-exit' | 'removed', signal: AbortSignal): Promise<{ result: Promise<WaitResult> }>
  /** Resolves once the client is wired in; output may come before. */
  attach(reference: string, options: AttachOptions, client: StdioClient): Promise<StdioSession>
  /** True when the container has a terminal: decides raw or multiplexed framing before attach. */
  hasTty(reference: string): Promise<boolean>
  logs(reference: string, options: LogsOptions): Promise<{ tty: boolean; entries: AsyncIterable<LogEntry[]> }>
  /** The same as bytes for the client, framed unless there is a terminal: without times and attributes, and many times faster. */
  logFrames(reference: string, options: LogsOptions): Promise<{ tty: boolean; frames: AsyncIterable<Uint8Array> }>
  /** One path, as it is or as links before its last part lead. */
  statPath(reference: string, path: string, signal: AbortSignal): Promise<PathStat>
  /** The tar must be read or destroyed: the container's files are held until then. */
  readArchive(reference: string, path: string, signal: AbortSignal): Promise<{ stat: PathStat; tar: Readable }>
  writeArchive(reference: string, write: ArchiveWrite): Promise<void>
  changes(reference: string): Promise<{ Path: string; Kind: 0 | 1 | 2 }[]>
  /** The root file system as a tar, what is mounted in it left out. As readArchive. */
  export(reference: string, signal: AbortSignal): Promise<Readable>
  commit(reference: string, options: CommitOptions): Promise<{ Id: string }>
  /** All containers with their sizes, for `system df`. */
  usage(): Promise<ContainerSummary[]>
  update(reference: string, request: UpdateRequest): Promise<{ Warnings: string[] }>
  stats(reference: string, options: { oneShot: boolean; signal: AbortSignal }): Promise<ContainerStatsResponse>
  /** A record a second. Throws at once when there is no such container. */
  streamStats(reference: string, signal: AbortSignal): AsyncIterable<ContainerStatsResponse>
  prune(filters: Record<string, string[]>): Promise<{ ContainersDeleted: string[]; SpaceReclaimed: number }>
  connectNetwork(network: string, reference: string, settings: Record<string, unknown>): Promise<void>
  disconnectNetwork(network: string, reference: string, force: boolean): Promise<void>
  ids(): string[]
  /** True while the container has a process. */
  isLive(id: string): boolean
  /** At boot, after the drivers are up: adopts what lives, records what ended, applies --rm, releases what nobody owns. */
  restore(): Promise<void>
  /** At boot, after restore: starts what its restart policy wants running. */
  applyRestartPolicies(): Promise<void>
  /** A clean stop without live restore: ends every container. */
  stopAll(timeoutSeconds: number): Promise<void>
  counts(): { total: number; running: number; paused: number; stopped: number }
}
export const Containers = Symbol.for('tsd.Containers')

// What the engine's nouns need of the outside. Implemented by core/kernel and core/platform, bound in core/daemon/wiring.ts.
import type { Duplex, Readable } from 'node:stream'
import type { NetOp } from '../../sdk/kinds/network.js'

export type { Kind, KindMap } from '../../sdk/driver.js'
export type { DriverSummary, DriverVerdict, Lease, LedgerEntry, LedgerResource } from '../../sdk/registry.js'
export { Drivers, RunLedger } from '../../sdk/registry.js'

export type StoreOperation = { put: string; value: unknown } | { del: string }

/** JSON documents under keys like `container/<id>`. */
export interface MetadataStore {
  get<T>(key: string): Promise<T | undefined>
  /** All documents whose key starts with the prefix, in key order. */
  list<T>(prefix: string): Promise<{ key: string; value: T }[]>
  /** Atomic. With sync it is on disk when the promise resolves. */
  batch(operations: StoreOperation[], options: { sync: boolean }): Promise<void>
}
export const MetadataStore = Symbol.for('tsd.MetadataStore')

export interface ShimExit {
  code: number
  /** 0 when the process exited by itself. */
  signal: number
  oom: boolean
  /** RFC 3339 with nanoseconds. */
  time: string
}

/** The daemon's connection to one shim. */
export interface ShimConnection {
  readonly id: string
  readonly pid: number
  /** Field 22 of its /proc/PID/stat. */
  readonly startTime: string
  /** Resolves once, also for a shim that was killed (code 137, signal 9). */
  readonly exited: Promise<ShimExit>
  /** Set as soon as the exit is known. */
  readonly exit: ShimExit | undefined
  /** Starts or stops the stream of output to `onOutput`. */
  stream(on: boolean): void
  /** Return value: a promise to wait for (back-pressure), or nothing. */
  onOutput: ((source: 'stdout' | 'stderr', data: Buffer) => Promise<void> | void) | undefined
  /** All output has been delivered and the process is gone. */
  readonly ended: Promise<void>
  /** Its mounts are gone too: what was mounted may be mounted again. */
  readonly released: Promise<void>
  /** Out of memory kills seen while running. */
  onOom: (() => void) | undefined
  writeStdin(data: Uint8Array): Promise<void>
  closeStdin(): void
  resize(height: number, width: number): void
  /** To the process itself. */
  signal(signal: number): void
  /** Dropped log bytes because the disk was full. */
  readonly droppedLogBytes: number
  /** Lets the shim end; its directory can be removed afterwards. */
  close(): void
}

export interface Shims {
  /** Of a shim launched or attached in this life of the daemon. */
  get(id: string): ShimConnection | undefined
  /** Finds a shim made by an earlier daemon. `exit` is filled from the record when the process is gone already; undefined: neither shim nor record exists. */
  attach(id: string, dir: string): Promise<ShimConnection | { exit: ShimExit } | undefined>
}
export const Shims = Symbol.for('tsd.Shims')

/** Network namespaces on the host and the steps taken in them, for drivers that do not fold them into a start. */
export interface NetworkNamespaces {
  /** Makes a namespace bound at `path` and carries out the join's steps. */
  create(path: string, plan: { host: NetOp[]; container: NetOp[] }): Promise<void>
  /** Removing what is not there is success. */
  remove(path: string): Promise<void>
  /** Carries out a join's steps on a namespace that lives. */
  apply(target: { pid: number } | { path: string }, plan: { host: NetOp[]; container: NetOp[] }): Promise<void>
  /** Removes links inside a namespace by name. */
  unlink(target: { pid: number } | { path: string }, links: string[]): Promise<void>
}
export const NetworkNamespaces = Symbol.for('tsd.NetworkNamespaces')

/** A mount namespace, named by a process in it. */
export interface FilePlace {
  pid: number
  startTime: string
  /** Where something is mounted that is to be seen. Other mounts are not there: what they hide is. */
  mounts: string[]
}

/** What a client learns of a path before it copies. */
export interface PathStat {
  name: string
  size: number
  /** Go's os.FileMode. */
  mode: number
  mtime: string
  /** Of a symbolic link, followed to its end. */
  linkTarget: string
}

export interface WriteRules {
  /** A directory is not replaced by anything else, nor anything else by a directory. */
  keepKinds: boolean
  /** `user[:group]` of the container that becomes the owner of all. */
  owner?: string
  readonlyRoot: boolean
  mounts: { destination: string; writable: boolean }[]
}

/** Code of an error: the process whose files were asked for has ended. */
export const placeGone = 'PLACE_GONE'

/** Files of a container, reached through the mount namespace of its process. */
export interface ContainerFiles {
  stat(place: FilePlace, path: string): Promise<PathStat>
  /** Resolves once the file is found; its archive may still end in an error. */
  read(place: FilePlace, path: string, signal: AbortSignal): Promise<{ stat: PathStat; tar: Readable }>
  /** The whole root, what is mounted in it left out. */
  export(place: FilePlace, signal: AbortSignal): Promise<Readable>
  write(place: FilePlace, path: string, tar: Readable, rules: WriteRules, signal: AbortSignal): Promise<void>
}
export const ContainerFiles = Symbol.for('tsd.ContainerFiles')

export type SandboxTarget = { pid: number } | { path: string }

/** Ports of a name server: its sockets stand in the sandbox that asks. */
export interface NameServerPorts {
  udp: number
  tcp: number
}

/** Sockets of the daemon that stand in the network namespace of a sandbox. */
export interface NamespaceSockets {
  /** Steps that lead what a sandbox asks of 127.0.0.11:53 to these ports of it. May be repeated, with other ports too. */
  redirect(ports: NameServerPorts): NetOp[]
  /** Holds a namespace for sockets to come; undefined: the daemon's own. It lives on until it is closed, and all sockets in it. */
  hold(target: SandboxTarget | undefined): HeldSandbox
}
export interface HeldSandbox {
  /** Bound fds at 127.0.0.11. A port that is taken: an error with the code EADDRINUSE. */
  listen(ports: NameServerPorts): { udp: number; tcp: number }
  /** An fd for a peer: of udp not connected yet, of tcp on its way. */
  outgoing(kind: 'udp' | 'tcp', address: string, port: number): number
  close(): void
}
export const NamespaceSockets = Symbol.for('tsd.NamespaceSockets')

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** RFC 3339 with nanoseconds, UTC, as Docker prints times. */
  timestamp(): string
  /** The same as a number, since the epoch. */
  nanoseconds(): bigint
}
export const Clock = Symbol.for('tsd.Clock')

export const Logger = Symbol.for('tsd.Logger')
export const Spawner = Symbol.for('tsd.Spawner')
export const Mounter = Symbol.for('tsd.Mounter')
export const Archiver = Symbol.for('tsd.Archiver')
export type { Logger as LoggerPort, Spawner as SpawnerPort, Mounter as MounterPort, Archiver as ArchiverPort } from '../../sdk/ports.js'

export const Trees = Symbol.for('tsd.Trees')
export type { GatheredItem, Located, TreeDirectory, Trees as TreesPort } from '../../sdk/trees.js'

/** Files fetched over http and https. */
export interface Downloads {
  /** Writes what a URL answers to a new file. More than `limit` bytes, and answers other than 200, are errors. */
  fetch(
    url: string,
    file: string,
    options: { limit: number; signal: AbortSignal },
  ): Promise<{ digest: string; size: number; lastModified: Date | undefined }>
}
export const Downloads = Symbol.for('tsd.Downloads')
/** Unpacks Zstandard. NotImplemented, with the way out, on a machine that cannot. */
export interface Zstd {
  decompress(source: AsyncIterable<Uint8Array>): AsyncIterable<Buffer>
}
export const Zstd = Symbol.for('tsd.Zstd')

/** A bidirectional client stream, hijacked from HTTP. */
export type ClientStream = Duplex

/** The daemon's settings, after files, flags and defaults were merged and checked. Docker's key names in camel case. */
export interface EngineConfig {
  dataRoot: string
  execRoot: string
  hosts: string[]
  group: string
  labels: string[]
  debug: boolean
  liveRestore: boolean
  /** Seconds. */
  shutdownTimeout: number
  mtu: number
  bip: string
  defaultBridge: string
  dns: string[]
  dnsSearch: string[]
  dnsOptions: string[]
  logDriver: string
  logOpts: Record<string, string>
  defaultRuntime: string
  /** Name to OCI runtime path and arguments. */
  runtimes: Record<string, { path: string; args: string[] }>
  cgroupParent: string
  defaultUlimits: Record<string, { soft: number; hard: number }>
  defaultShmSize: number
  /** Path of a JSON profile, `builtin` or `unconfined`. */
  seccompProfile: string
  noNewPrivileges: boolean
  /** Whether containers that do not say get an init, and the host path of that program. */
  init: boolean
  initPath: string
  storageDriver: string
  storageOpts: string[]
  /** URLs without a slash at the end. */
  registryMirrors: string[]
  /** HOST, HOST:PORT or CIDR. */
  insecureRegistries: string[]
  registryCerts: string
  maxConcurrentDownloads: number
  maxConcurrentUploads: number
  maxDownloadAttempts: number
}
export const EngineConfig = Symbol.for('tsd.EngineConfig')

// What the daemon and its archive worker say to each other: frames of one type byte, a length and a payload, both ways.
import type { WhiteoutFormat } from '../../sdk/ports.js'
import type { ErrorCategory } from '../../sdk/errors.js'
import type { GatherOptions } from '../../sdk/trees.js'

export type Job =
  | { kind: 'unpack'; root: string; whiteouts: WhiteoutFormat; maxBytes: number; maxEntries: number; sync: boolean }
  | { kind: 'pack'; root: string; whiteouts: 'overlay' | 'none'; base?: string }
  | { kind: 'changes'; root: string; whiteouts: 'overlay' | 'none'; base?: string; lowers?: string[] }
  | { kind: 'copy'; from: string; into: string }
  | { kind: 'remove'; path: string }
  | { kind: 'size'; path: string }
  | { kind: 'locate'; root: string; path: string }
  | { kind: 'match'; root: string; patterns: string[] }
  | { kind: 'read'; root: string; path: string; limit: number }
  | { kind: 'gather'; root: string; options: GatherOptions }
  | { kind: 'digest'; root: string; options: GatherOptions }
  | { kind: 'stat-in'; place: Place; path: string }
  | { kind: 'pack-in'; place: Place; path: string }
  | { kind: 'export-in'; place: Place }
  | ({ kind: 'unpack-in'; place: Place; path: string } & UnpackRules)

/** The mount namespace of a process. */
export interface Place {
  pid: number
  startTime: string
  /** Where something is mounted that is to be seen. Other mounts are not there: what they hide is. */
  mounts: string[]
}

export interface UnpackRules {
  /** A directory is not replaced by anything else, nor anything else by a directory. */
  keepKinds: boolean
  /** `user[:group]`, looked up inside, that becomes the owner of all. */
  owner?: string
  readonlyRoot: boolean
  mounts: { destination: string; writable: boolean }[]
}

/** What `stat-in` answers, and `pack-in` as a line before its archive. Names are latin1: one character per byte. */
export interface ResourceStat {
  name: string
  size: number
  /** Go's os.FileMode. */
  mode: number
  mtimeSec: number
  mtimeNsec: number
  /** Where a symbolic link leads in the end. */
  linkTarget: string
}

export interface Failure {
  category: ErrorCategory
  message: string
  code?: string
}

/** To the worker: a job, its input, the end of its input, or the failure of its input. From the worker: output, the answer, or a failure. */
export const frame = { job: 1, data: 2, end: 3, abort: 4, answer: 5, failure: 6 } as const

/** Code of a failure: the process whose files were asked for has ended. */
export const PLACE_GONE = 'PLACE_GONE'

export const HEADER = 5
export const CHUNK = 1 << 16

export function header(type: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER)
  bytes.writeUInt8(type, 0)
  bytes.writeUInt32LE(length, 1)
  return bytes
}

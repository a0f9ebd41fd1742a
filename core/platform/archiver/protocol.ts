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

export interface Failure {
  category: ErrorCategory
  message: string
  code?: string
}

/** To the worker: a job, its input, the end of its input, or the failure of its input. From the worker: output, the answer, or a failure. */
export const frame = { job: 1, data: 2, end: 3, abort: 4, answer: 5, failure: 6 } as const

export const HEADER = 5
export const CHUNK = 1 << 16

export function header(type: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER)
  bytes.writeUInt8(type, 0)
  bytes.writeUInt32LE(length, 1)
  return bytes
}

import type { Readable } from 'node:stream'

/** One step, ready to be looked up or done. */
export interface Work {
  /** What history says of it. */
  createdBy: string
  /** What its result depends on besides parent, configuration and `createdBy`. */
  also: readonly string[]
  /** Makes the layer; undefined: none. Absent: there is nothing to make. */
  run?: () => Promise<Readable | undefined>
}

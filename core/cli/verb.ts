import type { Engine } from './engine.js'
import type { Flag, Values } from './flags.js'

export interface Invocation {
  values: Values
  args: string[]
  engine: Engine
}

/** One command of the CLI. A verb is a client of the engine's API and nothing else. */
export interface Verb {
  /** All words: `volume create`. */
  name: string
  /** What follows the name in the usage line. */
  usage: string
  summary: string
  /** Every name it answers to, where there is more than one. */
  aliases?: string[]
  flags: readonly Flag[]
  /** Least and most arguments. */
  args: readonly [number, number]
  /** False: the first argument ends the flags (the rest belongs to the container). */
  interspersed?: boolean
  /** All words are handed over unread: the command reads its own flags. */
  passThrough?: boolean
  /** Status of a failure that has none of its own; Docker's run answers 125. */
  failure?: number
  /** Failures print the verb's help hint, as Docker's run and create do. */
  hint?: boolean
  notes?: string
  run(invocation: Invocation): Promise<number | void>
}

import type { ImageRuntimeConfig } from '../images/index.js'
import type { StageArguments } from './arguments.js'
import type { Command } from './dockerfile/instruction.js'
import { expandWord } from './dockerfile/words.js'

/** Where a stage stands between two steps. */
export interface StageState {
  index: number
  /** Undefined: nothing was made on `scratch` yet. */
  image: string | undefined
  config: ImageRuntimeConfig
  author: string
  arguments: StageArguments
  /** CMD was said in this stage: a new ENTRYPOINT does not take it back. */
  commandSaid: boolean
  escape: string
}

export const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export const shellOf = ({ config }: StageState): string[] => config.Shell ?? ['/bin/sh', '-c']

export const argvOf = (state: StageState, command: Command): string[] =>
  'exec' in command ? command.exec : [...shellOf(state), command.shell]

/** A word with the variables that this stage sees. */
export function expand(state: StageState, text: string): string {
  return expandWord(text, state.arguments.variables(state.config.Env), state.escape)
}

/** What history says of a step that runs nothing. */
export const notRun = (state: StageState, comment: string): string => [...shellOf(state), `#(nop) ${comment}`].join(' ')

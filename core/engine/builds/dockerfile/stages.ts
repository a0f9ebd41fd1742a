// The whole file: arguments before the first FROM, then stages.
import { invalidParameter } from '../../../sdk/errors.js'
import { parseInstruction } from './instruction.js'
import type { Instruction, Step } from './instruction.js'
import { readSource, syntaxError } from './source.js'

export interface Stage {
  index: number
  /** Empty: it has none. */
  name: string
  from: Step & Instruction & { kind: 'from' }
  steps: Step[]
  /** What progress counts its FROM as, from 1. */
  number: number
}

export interface Dockerfile {
  escape: string
  /** ARGs before the first FROM. */
  global: (Step & { kind: 'arg' })[]
  stages: Stage[]
  /** Everything that progress counts. */
  total: number
}

export function parseDockerfile(text: string): Dockerfile {
  const { escape, lines } = readSource(text)
  if (lines.length === 0) throw invalidParameter('failed to parse Dockerfile: file with no instructions')
  const global: Dockerfile['global'] = []
  const stages: Stage[] = []
  let number = 0
  for (const line of lines) {
    const step = parseInstruction(line, escape)
    number++
    const stage = stages.at(-1)
    if (step.kind === 'from') stages.push({ index: stages.length, name: step.stage, from: step, steps: [], number })
    else if (stage !== undefined) stage.steps.push(step)
    else if (step.kind === 'arg') global.push(step)
    else throw syntaxError(line.number, 'no build stage in current context')
  }
  if (stages.length === 0) throw invalidParameter('no build stage in current context')
  return { escape, global, stages, total: number }
}

/** A stage by its name. The last of a name counts, and only those before `before`. */
export function namedStage(stages: readonly Stage[], name: string, before: number): Stage | undefined {
  return stages
    .slice(0, before)
    .filter((stage) => stage.name !== '' && stage.name === name.toLowerCase())
    .at(-1)
}

/** A stage by its name or number; undefined for what is neither. Only those before `before` count. */
export function findStage(stages: readonly Stage[], name: string, before: number): Stage | undefined {
  return namedStage(stages, name, before) ?? (/^\d{1,4}$/.test(name) ? stages.slice(0, before)[Number(name)] : undefined)
}

/** Cut off after the stage that is asked for. */
export function upToTarget(file: Dockerfile, target: string): Dockerfile {
  if (target === '') return file
  const stage = findStage(file.stages, target, file.stages.length)
  if (stage === undefined) throw invalidParameter(`failed to reach build target ${target} in Dockerfile`)
  return { ...file, stages: file.stages.slice(0, stage.index + 1), total: stage.number + stage.steps.length }
}

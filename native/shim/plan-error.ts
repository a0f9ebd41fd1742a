import { errnoName, errnoText } from '../bindings/errno.js'
import type { PayloadReader } from './frame-reader.js'
import { phaseNames, type Phase } from './plan.js'

/** An op of a plan that failed. */
export class PlanError extends Error {
  readonly code: string

  constructor(
    readonly phase: Phase,
    /** Position within its phase. */
    readonly index: number,
    readonly op: string,
    readonly errno: number,
    readonly subject: string,
    readonly detail: string,
  ) {
    super(describe(op, errno, subject, detail))
    this.name = 'PlanError'
    this.code = errnoName(errno)
  }
}

function describe(op: string, errno: number, subject: string, detail: string): string {
  const text = errnoText(errno)
  switch (op) {
    case 'exec': {
      const name = JSON.stringify(subject)
      if (detail === 'not-found') return `exec: ${name}: executable file not found in $PATH`
      if (detail === 'stat') return `exec: ${name}: stat ${subject}: ${text}`
      if (detail === 'is-directory') return `exec: ${name}: is a directory`
      return `exec: ${name}: ${text}`
    }
    case 'chdir':
      return `chdir to cwd (${JSON.stringify(subject)}) set in config.json failed: ${text}`
    case 'userName':
      return detail === '' ? `${subject}: ${text}` : detail
    case 'run':
      return `${subject} failed: ${detail === '' ? text : detail}`
    default:
      return `${op}${subject === '' ? '' : ` ${subject}`}: ${text} (${errnoName(errno)})${detail === '' ? '' : `: ${detail}`}`
  }
}

export function readPlanError(reader: PayloadReader): PlanError {
  const phase = phaseNames[reader.u32()] ?? 'host'
  const index = reader.u32()
  reader.u32()
  const errno = reader.u32()
  return new PlanError(phase, index, reader.string(), errno, reader.string(), reader.string())
}

import { invalidParameter, isTsdError, systemError, type TsdError } from '../../sdk/errors.js'

/** The failure of a start as clients expect it: 127 command not found, 126 not executable, 128 the rest. */
export function startError(error: unknown): { error: TsdError; exitCode: number } {
  const failure = isTsdError(error) ? error : systemError(error instanceof Error ? error.message : String(error), { cause: error })
  const wrap = (make: typeof systemError): TsdError =>
    make(`failed to create task for container: ${failure.message}`, { cause: failure, code: failure.code })
  if (/executable file not found|no such file or directory/.test(failure.message) && /exec: /.test(failure.message))
    return { error: wrap(invalidParameter), exitCode: 127 }
  if (/permission denied|is a directory|exec format error/.test(failure.message) && /exec: /.test(failure.message))
    return { error: wrap(invalidParameter), exitCode: 126 }
  return { error: failure, exitCode: 128 }
}

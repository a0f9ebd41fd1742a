import { closeSync } from 'node:fs'
import { pidfdOpen, pidfdSendSignal } from 'tsd-engine/native'
import type { StartedProcess } from 'tsd-engine/sdk'
import { startTimeOf } from './state.js'

/** False when the process is gone. The pidfd keeps the pid from being reused between the check and the signal. */
export function signalProcess(process: StartedProcess, signal: number): boolean {
  let pidfd: number
  try {
    pidfd = pidfdOpen(process.pid)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
  try {
    if (startTimeOf(process.pid) !== process.startTime) return false
    pidfdSendSignal(pidfd, signal)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  } finally {
    closeSync(pidfd)
  }
}

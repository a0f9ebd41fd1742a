import type { HostConfig } from '../../schema/engine-api.js'

const firstDelayMs = 100
const longestDelayMs = 60_000
/** A container that ran this long has recovered: its delay starts anew. */
const recoveredMs = 10_000

export interface RestartQuestion {
  hostConfig: HostConfig
  exitCode: number
  restartCount: number
  manuallyStopped: boolean
}

export function shouldRestart({ hostConfig, exitCode, restartCount, manuallyStopped }: RestartQuestion): boolean {
  if (manuallyStopped) return false
  const { Name = '', MaximumRetryCount = 0 } = hostConfig.RestartPolicy ?? {}
  if (Name === 'always' || Name === 'unless-stopped') return true
  if (Name === 'on-failure') return exitCode !== 0 && (MaximumRetryCount === 0 || restartCount < MaximumRetryCount)
  return false
}

/** At boot, for a container that was not running when the machine or the daemon went down: `always` starts even what was stopped by hand. */
export function startsAtBoot(hostConfig: HostConfig, manuallyStopped: boolean): boolean {
  const name = hostConfig.RestartPolicy?.Name ?? ''
  return name === 'always' || (name === 'unless-stopped' && !manuallyStopped)
}

export function nextDelay(previousMs: number, ranMs: number): number {
  if (previousMs === 0 || ranMs >= recoveredMs) return firstDelayMs
  return Math.min(previousMs * 2, longestDelayMs)
}

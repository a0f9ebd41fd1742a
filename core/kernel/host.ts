import type { DriverInstance, Kind, ProbeResult } from '../sdk/driver.js'
import { deadlineExceeded } from '../sdk/errors.js'
import type { DriverContext } from '../sdk/ports.js'

/** A driver as its host offers it, before and after it was made. */
export interface HostedDriver<K extends Kind = Kind> {
  probe(ctx: DriverContext): Promise<ProbeResult>
  create(ctx: DriverContext): Promise<DriverInstance<K>>
}

/** Where a plugin's code runs. */
export interface PluginHost {
  readonly type: 'in-process' | 'process' | 'http'
  /** The driver called `name` in the plugin's manifest. */
  driver<K extends Kind>(kind: K, name: string): Promise<HostedDriver<K>>
  /** Shown by `driver inspect`. */
  inspect(): Record<string, unknown>
  dispose(): Promise<void>
}

/** Rejects with the culprit's name when `work` takes too long. What it does afterwards is ignored. */
export async function withDeadline<T>(work: Promise<T>, milliseconds: number, culprit: string, act: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(deadlineExceeded(`${culprit} did not finish ${act} within ${milliseconds / 1000} s`)), milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
    work.catch(() => undefined)
  }
}

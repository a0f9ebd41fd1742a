import type { LogEntry, LogFrameOptions, LogInfo, LogReadOptions, LogSink } from '../../sdk/kinds/log.js'

/** Chooses and uses log drivers for containers. */
export interface Logs {
  /** Fills defaults from config, checks the options with the driver; answers what to persist. */
  validate(
    logConfig: { Type?: string; Config?: Record<string, string> | null } | undefined,
  ): Promise<{ Type: string; Config: Record<string, string> }>
  /** Idempotent per container: asked again for containers that a restarted daemon finds running. */
  start(driver: string, info: LogInfo): Promise<LogSink>
  stop(driver: string, info: LogInfo): Promise<void>
  /** Refuses by name when the driver cannot read. */
  read(driver: string, info: LogInfo, options: LogReadOptions): Promise<AsyncIterable<LogEntry[]>>
  /**
   * The same as ready bytes, in Docker's frames or bare: several times faster than entries, which the caller wants only for timestamps and details.
   * Works with every driver that can read.
   */
  readFrames(driver: string, info: LogInfo, options: LogFrameOptions): Promise<AsyncIterable<Uint8Array>>
  remove(driver: string, info: LogInfo): Promise<void>
  /** At boot: a driver that has something left to do for containers that ended goes on with it. Nobody waits for that. */
  wake(drivers: Iterable<string>): void
}
export const Logs = Symbol.for('tsd.Logs')

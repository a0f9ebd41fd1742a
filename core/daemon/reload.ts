import { engineView } from './boot.js'
import type { EngineConfig } from '../engine/ports/index.js'
import type { DriverManager } from '../kernel/manager.js'
import { diffConfig, loadConfig, reloadConfig, toKernelSettings, type DaemonConfig, type LoadOptions } from '../platform/config.js'
import type { Settings } from '../platform/config-schema.js'
import type { DaemonLogger, LogLevel } from '../platform/logger.js'
import { messageOf } from '../sdk/errors.js'

/** What SIGHUP changes. */
export interface Reloadable {
  /** The engine's own object: everything that reads it sees the new values. */
  config: EngineConfig
  drivers: Pick<DriverManager, 'reload' | 'defaultName'>
  logger: DaemonLogger
  /** Told of what was applied. */
  applied(config: EngineConfig): void
}

export function logLevel(settings: Settings): LogLevel {
  return settings.debug ? 'debug' : (settings['log-level'] as LogLevel)
}

/** Reads the configuration again as it was read at the start: the same file, the same flags. */
export class Reloader {
  private running = Promise.resolve()

  constructor(
    private readonly source: LoadOptions,
    private current: DaemonConfig,
    private readonly target: Reloadable,
  ) {}

  /** One after the other. A configuration that cannot be used changes nothing. */
  reload(): Promise<void> {
    this.running = this.running.then(() =>
      this.once().catch((error: unknown) => this.target.logger.error(`the configuration was not reloaded: ${messageOf(error)}`)),
    )
    return this.running
  }

  private async once(): Promise<void> {
    const { config, drivers, logger } = this.target
    const next = await loadConfig(this.source)
    const { reload, restart } = diffConfig(this.current.settings, next.settings)
    const settings = reloadConfig(this.current.settings, next.settings)
    const sources = { ...this.current.sources }
    for (const key of reload) {
      const source = next.sources[key]
      if (source === undefined) delete sources[key]
      else sources[key] = source
    }
    drivers.reload(toKernelSettings(settings, sources))
    Object.assign(config, engineView(settings, drivers))
    logger.level = logLevel(settings)
    this.current = { settings, sources }
    logger.info('configuration reloaded', {
      applied: reload.join(' ') || 'nothing',
      ...(restart.length > 0 ? { 'needs a restart': restart.join(' ') } : {}),
    })
    this.target.applied(config)
  }
}

import { inject, injectable } from 'tsyringe'
import { parseBinarySize } from '../../base/sizes.js'
import { invalidParameter, isTsdError, messageOf, notImplemented } from '../../sdk/errors.js'
import type { LogDriver, LogEntry, LogFrameOptions, LogInfo, LogReadOptions, LogSink } from '../../sdk/kinds/log.js'
import { Drivers, EngineConfig, Logger, type Lease, type LoggerPort } from '../ports/index.js'
import type { Logs } from './contract.js'
import { framesOf } from './frames.js'

/** How often a driver may do what the writer leaves to it. */
const maintenanceInterval = 30_000

/** Options that Docker understands for every log driver, and which the driver does not see. */
const common = ['mode', 'max-buffer-size']

type ReadableDriver = LogDriver & Required<Pick<LogDriver, 'read'>>

@injectable()
export class LogsService implements Logs {
  private readonly running = new Map<string, { driver: string; info: LogInfo }>()
  private timer: NodeJS.Timeout | undefined

  constructor(
    @inject(Drivers) private readonly drivers: Drivers,
    @inject(EngineConfig) private readonly config: EngineConfig,
    @inject(Logger) private readonly logger: LoggerPort,
  ) {}

  async validate(
    logConfig: { Type?: string; Config?: Record<string, string> | null } | undefined,
  ): Promise<{ Type: string; Config: Record<string, string> }> {
    const given = logConfig?.Type ?? ''
    const type = given === '' ? this.config.logDriver : given
    const options = { ...(type === this.config.logDriver ? this.config.logOpts : {}), ...logConfig?.Config }
    checkCommon(options)
    await this.with(type, 'log options', (driver) => driver.validate(ownOptions(options)))
    return { Type: type, Config: options }
  }

  async start(driver: string, info: LogInfo): Promise<LogSink> {
    const sink = await this.with(driver, `log of ${info.containerId}`, (d) => d.start(withOwnOptions(info)))
    if (sink.type === 'file' && sink.compress) {
      this.running.set(info.containerId, { driver, info })
      this.timer ??= setInterval(() => void this.maintain(), maintenanceInterval).unref()
    }
    return sink
  }

  async stop(driver: string, info: LogInfo): Promise<void> {
    this.running.delete(info.containerId)
    if (this.running.size === 0) {
      clearInterval(this.timer)
      this.timer = undefined
    }
    await this.with(driver, `log of ${info.containerId}`, (d) => d.stop(withOwnOptions(info)))
  }

  async read(driver: string, info: LogInfo, options: LogReadOptions): Promise<AsyncIterable<LogEntry[]>> {
    const lease = await this.readable(driver, info)
    return leased(lease, (d) => d.read(withOwnOptions(info), options), options.signal)
  }

  async readFrames(driver: string, info: LogInfo, options: LogFrameOptions): Promise<AsyncIterable<Uint8Array>> {
    const lease = await this.readable(driver, info)
    const own = withOwnOptions(info)
    return leased<Uint8Array>(lease, (d) => d.readFrames?.(own, options) ?? framesOf(d.read(own, options), options), options.signal)
  }

  async remove(driver: string, info: LogInfo): Promise<void> {
    this.running.delete(info.containerId)
    await this.with(driver, `log of ${info.containerId}`, async (d) => d.remove?.(withOwnOptions(info)))
  }

  wake(drivers: Iterable<string>): void {
    for (const driver of new Set(drivers)) {
      this.with(driver, 'boot', async () => undefined).catch((error: unknown) =>
        this.logger.warn('a log driver of existing containers cannot be used', { driver, error: messageOf(error) }),
      )
    }
  }

  private async readable(driver: string, info: LogInfo): Promise<Lease<ReadableDriver>> {
    const lease = await this.lease(driver, `reading the log of ${info.containerId}`)
    if (canRead(lease)) return lease
    lease.release()
    throw notImplemented('configured logging driver does not support reading', { plugin: driver })
  }

  private async maintain(): Promise<void> {
    for (const { driver, info } of [...this.running.values()]) {
      try {
        await this.with(driver, `log of ${info.containerId}`, async (d) => d.maintain?.(withOwnOptions(info)))
      } catch (error) {
        this.logger.warn('the log driver could not tidy up', { driver, container: info.containerId, error: messageOf(error) })
      }
    }
  }

  private async lease(driver: string, holder: string): Promise<Lease<LogDriver>> {
    try {
      return await this.drivers.lease('log', driver, holder)
    } catch (error) {
      if (!isTsdError(error) || error.category !== 'NotFound') throw error
      const context = `logger: no log driver named '${driver}' is registered`
      const reason = messageOf(error)
      throw invalidParameter(reason.startsWith(context) ? reason : `${context}: ${reason}`, { cause: error })
    }
  }

  private async with<T>(name: string, holder: string, use: (driver: LogDriver) => Promise<T>): Promise<T> {
    const lease = await this.lease(name, holder)
    try {
      return await use(lease.driver)
    } finally {
      lease.release()
    }
  }
}

function canRead(lease: Lease<LogDriver>): lease is Lease<ReadableDriver> {
  return lease.driver.read !== undefined
}

/** The lease lasts as long as somebody reads, or may still begin to. */
function leased<T>(
  lease: Lease<ReadableDriver>,
  open: (driver: ReadableDriver) => AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const release = (): void => lease.release()
  let items: AsyncIterable<T>
  try {
    items = open(lease.driver)
  } catch (error) {
    release()
    throw error
  }
  signal.addEventListener('abort', release, { once: true })
  return releasing(items, () => {
    signal.removeEventListener('abort', release)
    release()
  })
}

async function* releasing<T>(items: AsyncIterable<T>, release: () => void): AsyncGenerator<T> {
  try {
    yield* items
  } finally {
    release()
  }
}

function checkCommon(options: Record<string, string>): void {
  const { mode = '', 'max-buffer-size': bufferSize } = options
  if (mode !== '' && mode !== 'blocking' && mode !== 'non-blocking') throw invalidParameter(`logger: logging mode not supported: ${mode}`)
  if (bufferSize === undefined) return
  if (mode !== 'non-blocking') throw invalidParameter(`logger: max-buffer-size option is only supported with 'mode=non-blocking'`)
  try {
    parseBinarySize(bufferSize)
  } catch (error) {
    throw invalidParameter(`error parsing option max-buffer-size: ${messageOf(error)}`, { cause: error })
  }
}

function ownOptions(config: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !common.includes(key)))
}

function withOwnOptions(info: LogInfo): LogInfo {
  return { ...info, config: ownOptions(info.config) }
}

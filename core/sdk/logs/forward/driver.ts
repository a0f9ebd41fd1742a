import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { KeyedLock } from '../../../base/keyed-lock.js'
import { messageOf, notImplemented, systemError } from '../../errors.js'
import type { LogDriver, LogEntry, LogInfo, LogReadOptions, LogSink } from '../../kinds/log.js'
import type { DriverContext } from '../../ports.js'
import { readFrameEntries } from '../frame-log.js'
import { checkKnown, flagOption } from '../options.js'
import { RotatedLogs, rotationOptions, type RotationOptions } from '../rotation.js'
import { Courier } from './courier.js'
import type { ForwardProtocol, Sender } from './protocol.js'
import { ForwardRecords, type ForwardRecord } from './records.js'

/** Docker's defaults of the cache. */
const cacheDefaults: RotationOptions = { maxSize: 20 * 1024 * 1024, maxFile: 5, compress: true }
const cacheOptions = ['cache-disabled', 'cache-max-size', 'cache-max-file', 'cache-compress']
/** A receiver that cannot be reached in this time does not let a container start. */
const openDeadline = 10_000
/** What a removed container's receiver gets to take the rest. */
const farewell = 2_000

const fileOf = (info: LogInfo): string => path.join(info.logDir, 'container-cached.log')
const rotationOf = (config: Record<string, string>): RotationOptions => rotationOptions(config, 'cache-', cacheDefaults)

/**
 * A log driver that sends messages elsewhere. The shim writes them to files in Docker's `local` format, whatever becomes of the receiver and
 * of the daemon; a courier carries them on from there and remembers how far it came. The same files answer `docker logs`.
 */
export class ForwardingLog implements LogDriver {
  private readonly couriers = new Map<string, Courier>()
  private readonly stored = new Map<string, ForwardRecord>()
  private readonly locks = new KeyedLock()
  private readonly files: RotatedLogs
  private readonly records: ForwardRecords
  private readonly resumed: Promise<void>

  constructor(
    private readonly protocol: ForwardProtocol,
    private readonly ctx: Pick<DriverContext, 'dataDir' | 'logger'>,
  ) {
    this.files = new RotatedLogs(ctx.logger)
    this.records = new ForwardRecords(ctx.dataDir)
    this.resumed = this.resume().catch((error: unknown) =>
      ctx.logger.error('logs of an earlier daemon are not forwarded', { error: messageOf(error) }),
    )
  }

  async validate(config: Record<string, string>): Promise<void> {
    checkKnown(this.protocol.name, [...this.protocol.options, ...cacheOptions], config)
    flagOption('cache-disabled', config['cache-disabled'], false)
    rotationOf(config)
    await this.protocol.check(config)
  }

  async start(info: LogInfo): Promise<LogSink> {
    await this.validate(info.config)
    await this.resumed
    const file = fileOf(info)
    await this.locks.run(info.containerId, async () => {
      const known = this.stored.get(info.containerId)
      if (known !== undefined && !known.stopped && this.couriers.has(info.containerId)) return
      const sender = await this.firstContact(info)
      await this.couriers.get(info.containerId)?.leave()
      const record: ForwardRecord = {
        version: 1,
        info,
        stopped: false,
        ...(known?.position === undefined ? {} : { position: known.position }),
      }
      await this.records.save(record)
      this.employ(record, sender)
    })
    return { type: 'file', path: file, format: 'local', attrs: {}, ...rotationOf(info.config) }
  }

  async stop(info: LogInfo): Promise<void> {
    await this.resumed
    const record = this.stored.get(info.containerId)
    if (record !== undefined) {
      this.couriers.get(info.containerId)?.stop()
      record.stopped = true
      await this.records.save(record)
    }
    await this.maintain(info)
  }

  maintain(info: LogInfo): Promise<void> {
    return this.files.compress(fileOf(info), rotationOf(info.config), info.containerId)
  }

  read(info: LogInfo, options: LogReadOptions): AsyncIterable<LogEntry[]> {
    if (flagOption('cache-disabled', info.config['cache-disabled'], false))
      throw notImplemented('configured logging driver does not support reading', { plugin: this.protocol.name })
    return readFrameEntries(fileOf(info), options)
  }

  async remove(info: LogInfo): Promise<void> {
    await this.resumed
    await this.locks.run(info.containerId, async () => {
      const courier = this.couriers.get(info.containerId)
      if (courier !== undefined) {
        courier.stop()
        if (courier.connected) await Promise.race([courier.done, delay(farewell, undefined, { ref: false })])
        await courier.leave()
      }
      this.couriers.delete(info.containerId)
      this.stored.delete(info.containerId)
      await this.files.remove(fileOf(info))
      await this.records.remove(info.containerId)
    })
  }

  async dispose(): Promise<void> {
    await this.resumed
    await Promise.all([...this.couriers.values()].map((courier) => courier.leave()))
    this.couriers.clear()
  }

  /** As Docker, a container does not start when its receiver is not there, unless it was told that this may be. */
  private async firstContact(info: LogInfo): Promise<Sender | undefined> {
    const destination = this.protocol.destination(info)
    if (!destination.required) return undefined
    try {
      return await destination.open(AbortSignal.timeout(openDeadline))
    } catch (error) {
      throw systemError(`failed to initialize logging driver: ${messageOf(error)}`, { cause: error, plugin: this.protocol.name })
    }
  }

  private employ(record: ForwardRecord, sender: Sender | undefined): void {
    const { info } = record
    this.stored.set(info.containerId, record)
    const courier = new Courier({
      file: fileOf(info),
      record,
      destination: this.protocol.destination(info),
      save: (now) => this.records.save(now),
      logger: this.ctx.logger,
      ...(sender === undefined ? {} : { sender }),
    })
    this.couriers.set(info.containerId, courier)
  }

  /** What was not delivered before the last daemon ended is delivered now. */
  private async resume(): Promise<void> {
    for (const record of await this.records.all()) {
      const there = await fs.access(record.info.logDir).then(
        () => true,
        () => false,
      )
      if (there) this.employ(record, undefined)
      else await this.records.remove(record.info.containerId)
    }
  }
}

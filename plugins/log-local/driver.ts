import fs from 'node:fs/promises'
import path from 'node:path'
import {
  checkKnown,
  readFrameEntries,
  RotatedLogs,
  rotationOptions,
  type LogDriver,
  type LogEntry,
  type Logger,
  type LogInfo,
  type LogReadOptions,
  type LogSink,
  type RotationOptions,
} from 'tsd-engine/sdk'

/** Docker's defaults. */
const defaults: RotationOptions = { maxSize: 20 * 1024 * 1024, maxFile: 5, compress: true }

function parse(config: Record<string, string>): RotationOptions {
  checkKnown('local', ['max-size', 'max-file', 'compress'], config)
  return rotationOptions(config, '', defaults)
}

const fileOf = (info: LogInfo): string => path.join(info.logDir, 'local-logs', 'container.log')

/** Docker's `local`: compact, rotated and compressed without being asked. */
export class LocalLog implements LogDriver {
  private readonly files: RotatedLogs

  constructor(logger: Logger) {
    this.files = new RotatedLogs(logger)
  }

  async validate(config: Record<string, string>): Promise<void> {
    parse(config)
  }

  async start(info: LogInfo): Promise<LogSink> {
    const rotation = parse(info.config)
    const file = fileOf(info)
    await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    return { type: 'file', path: file, format: 'local', attrs: {}, ...rotation }
  }

  stop(info: LogInfo): Promise<void> {
    return this.maintain(info)
  }

  maintain(info: LogInfo): Promise<void> {
    return this.files.compress(fileOf(info), parse(info.config), info.containerId)
  }

  read(info: LogInfo, options: LogReadOptions): AsyncIterable<LogEntry[]> {
    return readFrameEntries(fileOf(info), options)
  }

  remove(info: LogInfo): Promise<void> {
    return this.files.remove(fileOf(info))
  }
}

import path from 'node:path'
import {
  resolveAttributes,
  RotatedLogs,
  type LogDriver,
  type LogEntry,
  type LogFrameOptions,
  type Logger,
  type LogInfo,
  type LogReadOptions,
  type LogSink,
} from 'tsd-engine/sdk'
import { parseOptions } from './options.js'
import { readEntries, readFrames } from './reader.js'

const fileOf = (info: LogInfo): string => path.join(info.logDir, `${info.containerId}-json.log`)

/** Docker's json-file: one JSON object per line, in files of the container's directory. */
export class JsonFileLog implements LogDriver {
  private readonly files: RotatedLogs

  constructor(logger: Logger) {
    this.files = new RotatedLogs(logger)
  }

  async validate(config: Record<string, string>): Promise<void> {
    parseOptions(config)
  }

  async start(info: LogInfo): Promise<LogSink> {
    const options = parseOptions(info.config)
    return { type: 'file', path: fileOf(info), format: 'json-file', attrs: resolveAttributes(info), ...options }
  }

  stop(info: LogInfo): Promise<void> {
    return this.maintain(info)
  }

  maintain(info: LogInfo): Promise<void> {
    return this.files.compress(fileOf(info), parseOptions(info.config), info.containerId)
  }

  read(info: LogInfo, options: LogReadOptions): AsyncIterable<LogEntry[]> {
    return readEntries(fileOf(info), options)
  }

  readFrames(info: LogInfo, options: LogFrameOptions): AsyncIterable<Buffer> {
    return readFrames(fileOf(info), options)
  }

  remove(info: LogInfo): Promise<void> {
    return this.files.remove(fileOf(info))
  }
}

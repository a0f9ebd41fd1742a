import path from 'node:path'
import {
  KeyedLock,
  messageOf,
  type LogDriver,
  type LogEntry,
  type LogFrameOptions,
  type Logger,
  type LogInfo,
  type LogReadOptions,
  type LogSink,
} from 'tsd-engine/sdk'
import { compressRotated, removeLog } from './compress.js'
import { parseOptions, resolveAttributes } from './options.js'
import { readEntries, readFrames } from './reader.js'

const fileOf = (info: LogInfo): string => path.join(info.logDir, `${info.containerId}-json.log`)

/** Docker's json-file: one JSON object per line, in files of the container's directory. */
export class JsonFileLog implements LogDriver {
  private readonly compressing = new KeyedLock()

  constructor(private readonly logger: Logger) {}

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

  async maintain(info: LogInfo): Promise<void> {
    const { compress, maxFile } = parseOptions(info.config)
    if (!compress) return
    const file = fileOf(info)
    try {
      await this.compressing.run(file, () => compressRotated(file, maxFile))
    } catch (error) {
      this.logger.warn('rotated logs could not be compressed', { container: info.containerId, error: messageOf(error) })
    }
  }

  read(info: LogInfo, options: LogReadOptions): AsyncIterable<LogEntry[]> {
    return readEntries(fileOf(info), options)
  }

  readFrames(info: LogInfo, options: LogFrameOptions): AsyncIterable<Buffer> {
    return readFrames(fileOf(info), options)
  }

  remove(info: LogInfo): Promise<void> {
    const file = fileOf(info)
    return this.compressing.run(file, () => removeLog(file))
  }
}

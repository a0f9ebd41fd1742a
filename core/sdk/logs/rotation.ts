import { KeyedLock } from '../../base/keyed-lock.js'
import { invalidParameter, messageOf } from '../errors.js'
import type { Logger } from '../ports.js'
import { compressRotated, removeLog } from './compress.js'
import { countOption, flagOption, sizeOption } from './options.js'

export interface RotationOptions {
  /** Bytes; 0: never rotate. */
  maxSize: number
  maxFile: number
  compress: boolean
}

/** `max-size`, `max-file` and `compress`, behind a prefix. */
export function rotationOptions(config: Record<string, string>, prefix: string, defaults: RotationOptions): RotationOptions {
  const of = (name: string): string | undefined => config[`${prefix}${name}`]
  const maxSize = sizeOption(`${prefix}max-size`, of('max-size'), defaults.maxSize)
  const maxFile = countOption(`${prefix}max-file`, of('max-file'), defaults.maxFile)
  const possible = maxFile > 1 && maxSize > 0
  const compress = flagOption(`${prefix}compress`, of('compress'), defaults.compress && possible)
  if (compress && !possible)
    throw invalidParameter(`${prefix}compress cannot be true when ${prefix}max-file is less than 2 or ${prefix}max-size is not set`)
  return { maxSize, maxFile, compress }
}

/** What is done to the files of logs beside writing and reading them. */
export class RotatedLogs {
  private readonly locks = new KeyedLock()

  constructor(private readonly logger: Logger) {}

  async compress(file: string, { compress, maxFile }: RotationOptions, container: string): Promise<void> {
    if (!compress) return
    try {
      await this.locks.run(file, () => compressRotated(file, maxFile))
    } catch (error) {
      this.logger.warn('rotated logs could not be compressed', { container, error: messageOf(error) })
    }
  }

  remove(file: string): Promise<void> {
    return this.locks.run(file, () => removeLog(file))
  }
}

import { setImmediate as turn } from 'node:timers/promises'
import { NoZstd, ZstdDataError, ZstdDecompressor } from '../../native/bindings/zstd.js'
import { invalidParameter, notImplemented } from '../sdk/errors.js'

/** Output after which others get their turn of the loop. */
const slice = 1 << 19

/** The port of core/engine that unpacks Zstandard, over libzstd. */
export class SystemZstd {
  async *decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
    const decompressor = opened()
    try {
      let sinceTurn = 0
      for await (const chunk of source) {
        let rest = chunk
        for (;;) {
          const { taken, output } = decompressor.step(rest)
          rest = rest.subarray(taken)
          sinceTurn += output.length
          if (output.length > 0) yield output
          if (sinceTurn >= slice) {
            sinceTurn = 0
            await turn()
          }
          if (rest.length === 0 && output.length < 1 << 16) break
        }
      }
      if (!decompressor.complete) throw new ZstdDataError('unexpected end of data')
    } catch (error) {
      if (error instanceof ZstdDataError) throw invalidParameter(`damaged or truncated zstd data: ${error.message}`, { cause: error })
      throw error
    } finally {
      decompressor.close()
    }
  }
}

function opened(): ZstdDecompressor {
  try {
    return new ZstdDecompressor()
  } catch (error) {
    if (error instanceof NoZstd)
      throw notImplemented(`zstd data needs the library libzstd.so.1: install it (Debian: apt-get install libzstd1) (${error.message})`, {
        cause: error,
      })
    throw error
  }
}

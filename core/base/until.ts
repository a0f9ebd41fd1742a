import { parseDuration, toMilliseconds } from './duration.js'
import { InvalidInput } from './invalid-input.js'
import { parseUnixTime } from './rfc3339.js'

/** The value of an `until` filter in milliseconds since the epoch: Unix seconds, a date, or a duration before now. */
export function untilTime(value: string, now: number): number {
  try {
    return now - toMilliseconds(parseDuration(value))
  } catch {
    try {
      return Number(parseUnixTime(value) / 1_000_000n)
    } catch {
      const time = Date.parse(value)
      if (Number.isNaN(time)) throw new InvalidInput(`invalid filter 'until=${value.slice(0, 64)}': give a time or a duration such as 24h`)
      return time
    }
  }
}

import { parseDuration } from '../../base/duration.js'
import { parseTimestamp } from '../../base/rfc3339.js'

const second = 1_000_000_000n
const unix = (nanoseconds: bigint): string => `${nanoseconds / second}.${String(nanoseconds % second).padStart(9, '0')}`

/** `--since` and `--until`: a duration back from now, RFC 3339 whole or in part (local time without a zone), or seconds since the epoch. */
export function engineTime(text: string, now = Date.now()): string | undefined {
  if (text === '') return undefined
  try {
    return unix(BigInt(now) * 1_000_000n - parseDuration(text))
  } catch {
    // Not a duration.
  }
  if (/^-?\d+(\.\d+)?$/.test(text)) return text
  const [, day, clock, fraction = '', zone = ''] =
    /^(\d{4}-\d\d-\d\d)(?:T(\d\d(?::\d\d){0,2})(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text) ?? []
  if (day === undefined)
    throw new Error(
      `invalid value ${JSON.stringify(text)}: expected a duration (42m), RFC 3339 (2013-01-02T13:23:37Z) or seconds since the epoch`,
    )
  const full = `${day}T${(clock ?? '00').padEnd(8, ':00').slice(0, 8)}`
  return unix(parseTimestamp(`${full}${fraction}${zone || localZone(full)}`))
}

function localZone(time: string): string {
  const offset = -new Date(time).getTimezoneOffset()
  const two = (n: number) => String(n).padStart(2, '0')
  return `${offset < 0 ? '-' : '+'}${two(Math.trunc(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`
}

import { InvalidInput } from './invalid-input.js'

const second = 1_000_000_000n
const pattern = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?([Zz]|([+-])(\d\d):(\d\d))$/

/** Go's zero time, which Docker prints for "never". */
export const zeroTime = '0001-01-01T00:00:00Z'

/** RFC 3339 to nanoseconds since the epoch. Digits beyond nanoseconds are dropped. */
export function parseTimestamp(text: string): bigint {
  const match = pattern.exec(text)
  const invalid = (): InvalidInput => new InvalidInput(`invalid RFC 3339 time: "${text.slice(0, 64)}"`)
  if (match === null) throw invalid()
  const [year, month, day, hour, minute, sec] = match.slice(1, 7).map(Number) as [number, number, number, number, number, number]
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  date.setUTCHours(hour, minute, sec)
  const kept = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && sec < 60
  if (!kept) throw invalid()
  let offset = 0
  if (match[9] !== undefined) {
    const offsetHours = Number(match[10])
    const offsetMinutes = Number(match[11])
    if (offsetHours > 23 || offsetMinutes > 59) throw invalid()
    offset = (offsetHours * 60 + offsetMinutes) * (match[9] === '-' ? -60 : 60)
  }
  return BigInt(date.getTime() / 1000 - offset) * second + BigInt((match[7] ?? '').padEnd(9, '0'))
}

function parts(time: bigint): { seconds: string; fraction: string } {
  let whole = time / second
  let rest = time % second
  if (rest < 0n) {
    rest += second
    whole -= 1n
  }
  return { seconds: new Date(Number(whole) * 1000).toISOString().slice(0, -5), fraction: String(rest).padStart(9, '0') }
}

/** UTC, fraction without trailing zeros, as Go's RFC3339Nano prints: inspect and events. */
export function formatTimestamp(time: bigint): string {
  const { seconds, fraction } = parts(time)
  const digits = fraction.replace(/0+$/, '')
  return digits === '' ? `${seconds}Z` : `${seconds}.${digits}Z`
}

/** UTC, always nine digits: `docker logs -t`. */
export function formatTimestampFixed(time: bigint): string {
  const { seconds, fraction } = parts(time)
  return `${seconds}.${fraction}Z`
}

/** `1136073600.000000001`, as clients send since and until, to nanoseconds. */
export function parseUnixTime(text: string): bigint {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(text)
  if (match === null) throw new InvalidInput(`invalid Unix time: "${text.slice(0, 64)}"`)
  const value = BigInt(match[2] as string) * second + BigInt((match[3] ?? '').padEnd(9, '0'))
  return match[1] === '-' ? -value : value
}

import { InvalidInput } from './invalid-input.js'

const nanoseconds: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}
const limit = 1n << 63n

/** Reads Go's notation (`1h2m3.5s`, `-300ms`, `0`) into nanoseconds. */
export function parseDuration(text: string): bigint {
  const invalid = (): InvalidInput => new InvalidInput(`time: invalid duration "${text}"`)
  const negative = text.startsWith('-')
  let rest = /^[+-]/.test(text) ? text.slice(1) : text
  if (rest === '0') return 0n
  if (rest === '' || rest.length > 256) throw invalid()
  let total = 0n
  while (rest !== '') {
    const match = /^([0-9]*)(?:\.([0-9]*))?([^0-9.]*)/.exec(rest) as RegExpExecArray
    const whole = match[1] as string
    const fraction = match[2] ?? ''
    if (whole === '' && fraction === '') throw invalid()
    const name = match[3] as string
    if (name === '') throw new InvalidInput(`time: missing unit in duration "${text}"`)
    const unit = Object.hasOwn(nanoseconds, name) ? nanoseconds[name] : undefined
    if (unit === undefined) throw new InvalidInput(`time: unknown unit "${name}" in duration "${text}"`)
    total += BigInt(whole === '' ? '0' : whole) * unit
    if (fraction !== '') total += (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length)
    rest = rest.slice(match[0].length)
  }
  if (total > (negative ? limit : limit - 1n)) throw invalid()
  return negative ? -total : total
}

function withFraction(value: bigint, unit: bigint): string {
  const whole = value / unit
  const rest = value % unit
  if (rest === 0n) return String(whole)
  const digits = String(rest)
    .padStart(String(unit).length - 1, '0')
    .replace(/0+$/, '')
  return `${whole}.${digits}`
}

/** Writes nanoseconds in Go's notation: `1h2m3.5s`, `1.5ms`, `0s`. */
export function formatDuration(duration: bigint | number): string {
  const given = typeof duration === 'bigint' ? duration : BigInt(Math.round(duration))
  if (given === 0n) return '0s'
  const sign = given < 0n ? '-' : ''
  const value = given < 0n ? -given : given
  if (value < 1_000n) return `${sign}${value}ns`
  if (value < 1_000_000n) return `${sign}${withFraction(value, 1_000n)}µs`
  if (value < 1_000_000_000n) return `${sign}${withFraction(value, 1_000_000n)}ms`
  const hours = value / 3_600_000_000_000n
  const minutes = (value / 60_000_000_000n) % 60n
  const seconds = withFraction(value % 60_000_000_000n, 1_000_000_000n)
  if (hours > 0n) return `${sign}${hours}h${minutes}m${seconds}s`
  return minutes > 0n ? `${sign}${minutes}m${seconds}s` : `${sign}${seconds}s`
}

/** Nanoseconds as milliseconds, for timers. */
export function toMilliseconds(duration: bigint): number {
  return Number(duration) / 1e6
}

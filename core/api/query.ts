import { parseDuration } from '../base/duration.js'
import { parseTimestamp, parseUnixTime } from '../base/rfc3339.js'
import { invalidParameter } from '../sdk/errors.js'
import type { ApiContext } from './services.js'

export type Query = URLSearchParams

export function queryOf(ctx: ApiContext): Query {
  return new URLSearchParams(ctx.querystring)
}

const falsy = new Set(['', '0', 'no', 'false', 'none'])

/** Docker's reading of a flag: anything but empty, 0, no, false and none is true. */
export function flag(query: Query, name: string, absent = false): boolean {
  const value = query.get(name)
  return value === null ? absent : !falsy.has(value.trim().toLowerCase())
}

/** An optional whole number; a malformed one is refused by name. */
export function integer(query: Query, name: string): number | undefined {
  const value = query.get(name)
  if (value === null || value === '') return undefined
  const number = Number(value)
  if (!/^[+-]?\d{1,15}$/.test(value)) throw invalidParameter(`invalid value "${value}" for query parameter ${name}: must be a whole number`)
  return number
}

/** Terminal sizes: both are needed. */
export function terminalSize(query: Query): { height: number; width: number } {
  const side = (name: 'h' | 'w', word: string): number => {
    const value = query.get(name) ?? ''
    const number = Number(value)
    if (!/^\d{1,10}$/.test(value) || number > 0xffffffff) throw invalidParameter(`invalid resize ${word} "${value}": invalid syntax`)
    return number
  }
  return { height: side('h', 'height'), width: side('w', 'width') }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Filters in both of Docker's notations: `{"k":{"v":true}}` and the older `{"k":["v"]}`. */
export function filters(query: Query): Record<string, string[]> {
  const text = query.get('filters')
  if (text === null || text === '') return {}
  const invalid = (why: string) => invalidParameter(`invalid filter: filters ${why}; send {"name":{"value":true}}`)
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw invalid('are not valid JSON')
  }
  if (parsed === null) return {}
  if (!isObject(parsed)) throw invalid('must be a JSON object')
  const result: Record<string, string[]> = Object.create(null) as Record<string, string[]>
  for (const [name, values] of Object.entries(parsed)) {
    if (Array.isArray(values)) {
      if (!values.every((value) => typeof value === 'string')) throw invalid(`of "${name}" must be strings`)
      result[name] = values
    } else if (isObject(values)) {
      if (!Object.values(values).every((value) => typeof value === 'boolean')) throw invalid(`of "${name}" must be true or false`)
      result[name] = Object.keys(values)
    } else if (values === null) result[name] = []
    else throw invalid(`of "${name}" must be an object or a list`)
  }
  return result
}

const local = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d+)?)?)?)?(Z|[+-]\d\d:\d\d)?$/

/**
 * A point in time in nanoseconds: Unix seconds with a fraction, RFC 3339 (also cut short, then in the daemon's time zone unless it names one),
 * or a Go duration counted back from now.
 */
export function timeOf(query: Query, name: string, now: number = Date.now()): bigint | undefined {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  try {
    if (/^-?\d/.test(text)) {
      if (/^-?\d+(\.\d*)?$/.test(text)) return parseUnixTime(text.replace(/\.$/, ''))
      const match = local.exec(text)
      if (match !== null) return calendar(match)
    }
    if (/[a-zµμ]$/.test(text)) return BigInt(now) * 1_000_000n - parseDuration(text)
    return parseTimestamp(text)
  } catch (error) {
    throw invalidParameter(
      `invalid value "${text.slice(0, 64)}" for query parameter ${name}: must be Unix seconds, an RFC 3339 time or a duration such as 10m`,
      { cause: error },
    )
  }
}

function calendar(match: RegExpExecArray): bigint {
  const [, date, hour = '00', minute = '00', second = '00', fraction = '', zone] = match
  if (zone !== undefined) return parseTimestamp(`${date}T${hour}:${minute}:${second}${fraction}${zone}`)
  // Read as UTC to be checked, then as the daemon's wall clock.
  parseTimestamp(`${date}T${hour}:${minute}:${second}Z`)
  const [year, month, day] = (date as string).split('-').map(Number) as [number, number, number]
  const seconds = new Date(year, month - 1, day, Number(hour), Number(minute), Number(second)).getTime() / 1000
  return parseUnixTime(`${seconds}${fraction}`)
}

import { untilTime } from '../../base/until.js'
import { invalidParameter } from '../../sdk/errors.js'
import { isPredefined, type NetworkRecord } from './records.js'

export type Filters = Record<string, string[]>

export function checkFilters(filters: Filters, known: readonly string[]): void {
  const unknown = Object.keys(filters).find((key) => !known.includes(key))
  if (unknown !== undefined) throw invalidParameter(`invalid filter '${unknown}': known are ${known.join(', ')}`)
}

export const listFilters = ['driver', 'id', 'label', 'name', 'scope', 'type', 'dangling'] as const
export const pruneFilters = ['label', 'label!', 'until'] as const

/** Part of the text; `^` and `$` anchor. Not a regular expression: a client's could run for ever. */
function partOf(text: string, pattern: string): boolean {
  const start = pattern.startsWith('^')
  const end = pattern.endsWith('$')
  const core = pattern.slice(start ? 1 : 0, end ? -1 : undefined)
  if (start && end) return text === core
  if (start) return text.startsWith(core)
  return end ? text.endsWith(core) : text.includes(core)
}

function hasLabel(labels: Record<string, string>, wanted: string): boolean {
  const at = wanted.indexOf('=')
  return at < 0 ? Object.hasOwn(labels, wanted) : labels[wanted.slice(0, at)] === wanted.slice(at + 1)
}

function flag(key: string, value: string): boolean {
  if (['true', '1'].includes(value.toLowerCase())) return true
  if (['false', '0'].includes(value.toLowerCase())) return false
  throw invalidParameter(`invalid filter '${key}=${value}'`)
}

const isCustom = (record: NetworkRecord): boolean => !isPredefined(record.name)

/** Any value of a key, all keys; every label. */
export function matches(record: NetworkRecord, inUse: boolean, filters: Filters): boolean {
  return Object.entries(filters).every(([key, values]) => {
    if (values.length === 0) return true
    switch (key) {
      case 'driver':
        return values.includes(record.driver)
      case 'scope':
        return values.includes(record.scope)
      case 'id':
        return values.some((value) => partOf(record.id, value))
      case 'name':
        return values.some((value) => partOf(record.name, value))
      case 'label':
        return values.every((value) => hasLabel(record.labels, value))
      case 'label!':
        return values.every((value) => !hasLabel(record.labels, value))
      case 'dangling':
        return values.every((value) => flag(key, value) === (isCustom(record) && !inUse))
      case 'type':
        return values.some((value) => {
          if (value !== 'custom' && value !== 'builtin') throw invalidParameter(`invalid filter: 'type'='${value}'`)
          return (value === 'custom') === isCustom(record)
        })
      default:
        return true
    }
  })
}

/** Milliseconds of `until`: a time, or a duration before now. Undefined when it is not given. */
export function untilOf(filters: Filters, now: number): number | undefined {
  const [value, ...more] = filters['until'] ?? []
  if (value === undefined) return undefined
  if (more.length > 0) throw invalidParameter('more than one until filter specified')
  return untilTime(value, now)
}

import { invalidParameter } from '../../sdk/errors.js'

export interface FilterSubject {
  name: string
  driver: string
  labels: Record<string, string>
  inUse: boolean
}

export type Filters = Record<string, string[]>

export function checkFilters(filters: Filters, known: string[]): void {
  const unknown = Object.keys(filters).find((key) => !known.includes(key))
  if (unknown !== undefined) throw invalidParameter(`invalid filter '${unknown}': known are ${known.join(', ')}`)
}

/** Undefined when the filter is not given. */
export function booleanFilter(filters: Filters, key: string): boolean | undefined {
  const values = filters[key] ?? []
  if (values.length === 0) return undefined
  const answers = new Set(values.map((value) => ({ true: true, '1': true, false: false, '0': false })[value.toLowerCase()]))
  const [answer] = answers
  if (answers.size !== 1 || answer === undefined) throw invalidParameter(`invalid filter '${key}=[${values.join(' ')}]'`)
  return answer
}

/** Part of the name; `^` and `$` anchor. Not a regular expression: a client's could run for ever. */
function matchesName(name: string, pattern: string): boolean {
  const start = pattern.startsWith('^')
  const end = pattern.endsWith('$')
  const text = pattern.slice(start ? 1 : 0, end ? -1 : undefined)
  if (start && end) return name === text
  if (start) return name.startsWith(text)
  return end ? name.endsWith(text) : name.includes(text)
}

function hasLabel(labels: Record<string, string>, wanted: string): boolean {
  const equals = wanted.indexOf('=')
  if (equals < 0) return Object.hasOwn(labels, wanted)
  const key = wanted.slice(0, equals)
  return Object.hasOwn(labels, key) && labels[key] === wanted.slice(equals + 1)
}

/** As Docker: values of one key are alternatives, but every label must be there. */
export function matches(subject: FilterSubject, filters: Filters): boolean {
  const dangling = booleanFilter(filters, 'dangling')
  if (dangling !== undefined && dangling === subject.inUse) return false
  const any = (key: string, test: (value: string) => boolean): boolean =>
    (filters[key] ?? []).length === 0 || (filters[key] ?? []).some(test)
  return (
    any('driver', (driver) => driver === subject.driver) &&
    any('name', (pattern) => matchesName(subject.name, pattern)) &&
    (filters.label ?? []).every((label) => hasLabel(subject.labels, label)) &&
    !(filters['label!'] ?? []).some((label) => hasLabel(subject.labels, label))
  )
}

import { TemplateError } from './parse.js'

export type TemplateFunction = (...args: unknown[]) => unknown

/** Go's `%v`. */
export function print(value: unknown, nested = false): string {
  if (value === undefined) return '<no value>'
  if (value === null) return nested ? '<nil>' : '<no value>'
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return `[${value.map((v) => print(v, true)).join(' ')}]`
  if (typeof value === 'object') {
    const keys = Object.keys(value).sort()
    return `map[${keys.map((k) => `${k}:${print((value as Record<string, unknown>)[k], true)}`).join(' ')}]`
  }
  return String(value)
}

export function truth(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return false
  if (Array.isArray(value)) return value.length > 0
  return typeof value === 'object' ? Object.keys(value).length > 0 : true
}

const text = (value: unknown): string => {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new TemplateError(`wrong type for value; expected string; got ${goType(value)}`)
}

function goType(value: unknown): string {
  if (Array.isArray(value)) return '[]interface {}'
  if (value === null || value === undefined) return '<nil>'
  return typeof value === 'object' ? 'map[string]interface {}' : typeof value
}

/** Go's JSON: `<`, `>` and `&` stay, as Docker's encoder leaves them; keys keep their order. */
export const goJson = (value: unknown): string => JSON.stringify(value ?? null)

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0
  throw new TemplateError('incompatible types for comparison')
}

function indexOf(container: unknown, ...keys: unknown[]): unknown {
  let at = container
  for (const key of keys) {
    if (Array.isArray(at)) {
      if (typeof key !== 'number') throw new TemplateError(`error calling index: cannot index slice/array with type ${goType(key)}`)
      if (key < 0 || key >= at.length) throw new TemplateError(`error calling index: index out of range: ${key}`)
      at = at[key]
    } else if (typeof at === 'string') at = at.charCodeAt(Number(key))
    else if (at === null || at === undefined) throw new TemplateError('error calling index: index of untyped nil')
    else at = (at as Record<string, unknown>)[String(key)] ?? ''
  }
  return at
}

function format(pattern: unknown, ...args: unknown[]): string {
  let next = 0
  return text(pattern).replace(
    /%([-+0 #]*)(\d+)?(?:\.(\d+))?([%vsdqtxXfcT])/g,
    (_, flags: string, wide: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%'
      if (next >= args.length) return `%!${verb}(MISSING)`
      const value = args[next++]
      let shown = print(value)
      if ((verb === 'd' || verb === 'f' || verb === 'c') && typeof value !== 'number') shown = `%!${verb}(${goType(value)}=${shown})`
      else if (verb === 'q') shown = JSON.stringify(shown)
      else if (verb === 'x' || verb === 'X') {
        shown = typeof value === 'number' ? value.toString(16) : Buffer.from(shown).toString('hex')
        if (verb === 'X') shown = shown.toUpperCase()
      } else if (verb === 'f') shown = Number(value).toFixed(precision === undefined ? 6 : Number(precision))
      else if (verb === 'c') shown = String.fromCodePoint(Number(value))
      else if (verb === 'T') shown = goType(value)
      else if (precision !== undefined && verb === 's') shown = shown.slice(0, Number(precision))
      if (wide === undefined) return shown
      if (flags.includes('-')) return shown.padEnd(Number(wide))
      return shown.padStart(Number(wide), flags.includes('0') && verb !== 's' ? '0' : ' ')
    },
  )
}

/** `and` and `or` are here for their names; the executor stops at the first value that decides. */
export const functions: Readonly<Record<string, TemplateFunction>> = {
  json: goJson,
  upper: (s) => text(s).toUpperCase(),
  lower: (s) => text(s).toLowerCase(),
  title: (s) => text(s).replace(/(^|\s)\S/g, (c) => c.toUpperCase()),
  split: (s, separator) => text(s).split(text(separator)),
  join: (list, separator) => ((list ?? []) as unknown[]).map((v) => print(v, true)).join(text(separator)),
  pad: (s, before, after) => (text(s) === '' ? '' : ' '.repeat(Number(before)) + text(s) + ' '.repeat(Number(after))),
  truncate: (s, length) => [...text(s)].slice(0, Number(length)).join(''),
  println: (...args) => args.map((v) => print(v)).join(' ') + '\n',
  print: (...args) =>
    args.map((v, i) => (i > 0 && typeof v !== 'string' && typeof args[i - 1] !== 'string' ? ' ' : '') + print(v)).join(''),
  printf: format,
  len: (v) => {
    if (typeof v === 'string') return Buffer.byteLength(v)
    if (Array.isArray(v)) return v.length
    if (typeof v === 'object' && v !== null) return Object.keys(v).length
    // Absent lists and maps are null on the wire, and empty to Go.
    if (v === null) return 0
    throw new TemplateError(`error calling len: len of ${v === undefined ? 'nil pointer' : `type ${goType(v)}`}`)
  },
  index: indexOf,
  slice: (v, from = 0, to = undefined) => (v as string | unknown[]).slice(Number(from), to === undefined ? undefined : Number(to)),
  not: (v) => !truth(v),
  and: (...args) => args.find((v) => !truth(v)) ?? args.at(-1),
  or: (...args) => args.find(truth) ?? args.at(-1),
  eq: (a, ...others) => others.some((b) => a === b || ((a ?? null) === null && (b ?? null) === null)),
  ne: (a, b) => a !== b,
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  html: (s) => print(s).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`),
  urlquery: (s) => encodeURIComponent(print(s)).replaceAll('%20', '+'),
}

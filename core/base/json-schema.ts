import { didYouMean } from './near.js'

/** The part of JSON Schema that manifests and driver options are written in. Anything else in a schema is refused, never ignored. */
export interface JsonSchema {
  type?: JsonType | JsonType[]
  title?: string
  description?: string
  default?: unknown
  examples?: unknown[]
  enum?: unknown[]
  const?: unknown
  properties?: Record<string, JsonSchema>
  required?: string[]
  /** Here the default is false: an unknown key is an error. */
  additionalProperties?: boolean | JsonSchema
  /** For objects used as maps: what every key must match. */
  propertyNames?: JsonSchema
  items?: JsonSchema
  minItems?: number
  maxItems?: number
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  anyOf?: JsonSchema[]
}

export type JsonType = 'string' | 'number' | 'integer' | 'boolean' | 'object' | 'array' | 'null'

export interface SchemaProblem {
  /** `drivers.graph.options`; empty for the whole. */
  path: string
  message: string
}

const types: readonly string[] = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']
const annotations: readonly string[] = ['title', 'description', 'default', 'examples', '$schema', '$id', '$comment']
const maxDepth = 32

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value
}

function hasType(value: unknown, type: JsonType): boolean {
  if (type === 'integer') return Number.isSafeInteger(value)
  if (type === 'number') return typeof value === 'number' && Number.isFinite(value)
  return typeOf(value) === type
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`)
const show = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
const equal = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b)

/** All that is wrong with a value; an empty list means valid. */
export function checkValue(value: unknown, schema: JsonSchema, path = '', depth = 0): SchemaProblem[] {
  const problem = (message: string): SchemaProblem[] => [{ path, message }]
  if (depth > maxDepth) return problem('is nested too deeply')
  if (schema.type !== undefined) {
    const allowed = Array.isArray(schema.type) ? schema.type : [schema.type]
    if (!allowed.some((type) => hasType(value, type)))
      return problem(`must be ${allowed.join(' or ')}, not ${typeOf(value)} ${show(value)}`)
  }
  if (schema.const !== undefined && !equal(value, schema.const)) return problem(`must be ${show(schema.const)}`)
  if (schema.enum !== undefined && !schema.enum.some((one) => equal(one, value))) {
    const names = schema.enum.filter((one): one is string => typeof one === 'string')
    const near = typeof value === 'string' ? didYouMean(value, names) : ''
    return problem(`must be one of ${schema.enum.map(show).join(', ')}, not ${show(value)}${near}`)
  }
  if (schema.anyOf !== undefined) {
    const attempts = schema.anyOf.map((one) => checkValue(value, one, path, depth + 1))
    if (!attempts.some((problems) => problems.length === 0))
      return attempts.sort((a, b) => a.length - b.length)[0] ?? problem('matches nothing')
  }
  if (typeof value === 'string') return checkString(value, schema, path)
  if (typeof value === 'number') return checkNumber(value, schema, path)
  if (Array.isArray(value)) return checkArray(value, schema, path, depth)
  return isObject(value) ? checkObject(value, schema, path, depth) : []
}

function checkString(value: string, schema: JsonSchema, path: string): SchemaProblem[] {
  if (schema.minLength !== undefined && value.length < schema.minLength)
    return [{ path, message: `must have at least ${schema.minLength} characters` }]
  if (schema.maxLength !== undefined && value.length > schema.maxLength)
    return [{ path, message: `must have at most ${schema.maxLength} characters` }]
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value))
    return [{ path, message: `${show(value)} does not match ${schema.pattern}` }]
  return []
}

function checkNumber(value: number, schema: JsonSchema, path: string): SchemaProblem[] {
  if (schema.minimum !== undefined && value < schema.minimum) return [{ path, message: `must be at least ${schema.minimum}` }]
  if (schema.maximum !== undefined && value > schema.maximum) return [{ path, message: `must be at most ${schema.maximum}` }]
  return []
}

function checkArray(value: unknown[], schema: JsonSchema, path: string, depth: number): SchemaProblem[] {
  if (schema.minItems !== undefined && value.length < schema.minItems)
    return [{ path, message: `must have at least ${schema.minItems} entries` }]
  if (schema.maxItems !== undefined && value.length > schema.maxItems)
    return [{ path, message: `must have at most ${schema.maxItems} entries` }]
  const { items } = schema
  return items === undefined ? [] : value.flatMap((one, index) => checkValue(one, items, `${path}[${index}]`, depth + 1))
}

function checkObject(value: Record<string, unknown>, schema: JsonSchema, path: string, depth: number): SchemaProblem[] {
  // A schema that speaks of nothing but other types says nothing about objects.
  if (schema.properties === undefined && schema.additionalProperties === undefined && schema.type === undefined) return []
  const properties = schema.properties ?? {}
  const additional = schema.additionalProperties ?? false
  const problems: SchemaProblem[] = []
  for (const key of schema.required ?? []) if (!Object.hasOwn(value, key)) problems.push({ path: join(path, key), message: 'is required' })
  for (const [key, one] of Object.entries(value)) {
    const known = Object.hasOwn(properties, key) ? properties[key] : undefined
    if (known !== undefined) problems.push(...checkValue(one, known, join(path, key), depth + 1))
    else if (additional === false)
      problems.push({ path: join(path, key), message: `is not a known key${didYouMean(key, Object.keys(properties))}` })
    else {
      if (schema.propertyNames !== undefined) problems.push(...checkValue(key, schema.propertyNames, join(path, key), depth + 1))
      if (additional !== true) problems.push(...checkValue(one, additional, join(path, key), depth + 1))
    }
  }
  return problems
}

/** What is wrong with a schema that somebody else wrote. */
export function checkSchema(schema: unknown, path = '', depth = 0): SchemaProblem[] {
  if (!isObject(schema)) return [{ path, message: 'must be a JSON Schema object' }]
  if (depth > maxDepth) return [{ path, message: 'is nested too deeply' }]
  const problems: SchemaProblem[] = []
  const bad = (key: string, message: string): void => void problems.push({ path: join(path, key), message })
  const nested = (key: string, value: unknown): void => void problems.push(...checkSchema(value, join(path, key), depth + 1))
  const nestedList = (key: string, value: unknown): void =>
    Array.isArray(value) ? value.forEach((one, index) => nested(`${key}[${index}]`, one)) : bad(key, 'must be a list')
  const keywords: Record<string, (value: unknown) => void> = {
    type: (value) =>
      (Array.isArray(value) ? value : [value]).every((one) => types.includes(one as string)) ||
      bad('type', `must be among ${types.join(', ')}`),
    enum: (value) => Array.isArray(value) || bad('enum', 'must be a list'),
    const: () => undefined,
    properties: (value) =>
      isObject(value)
        ? Object.entries(value).forEach(([key, one]) => nested(`properties.${key}`, one))
        : bad('properties', 'must be an object'),
    required: (value) =>
      (Array.isArray(value) && value.every((one) => typeof one === 'string')) || bad('required', 'must be a list of names'),
    additionalProperties: (value) => void (typeof value === 'boolean' || nested('additionalProperties', value)),
    propertyNames: (value) => nested('propertyNames', value),
    items: (value) => nested('items', value),
    anyOf: (value) => nestedList('anyOf', value),
    pattern: (value) => checkPattern(value) || bad('pattern', 'must be a regular expression of at most 200 characters'),
  }
  for (const key of ['minItems', 'maxItems', 'minimum', 'maximum', 'minLength', 'maxLength']) {
    keywords[key] = (value) => typeof value === 'number' || bad(key, 'must be a number')
  }
  for (const [key, value] of Object.entries(schema)) {
    if (annotations.includes(key)) continue
    if (Object.hasOwn(keywords, key)) (keywords[key] as (value: unknown) => void)(value)
    else bad(key, `is not a supported schema keyword${didYouMean(key, Object.keys(keywords))}`)
  }
  return problems
}

function checkPattern(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > 200) return false
  try {
    new RegExp(value, 'u')
    return true
  } catch {
    return false
  }
}

/** A copy of an object with the defaults of its schema filled in. */
export function withDefaults(value: Record<string, unknown>, schema: JsonSchema): Record<string, unknown> {
  const filled = { ...value }
  for (const [key, one] of Object.entries(schema.properties ?? {})) {
    if (filled[key] === undefined && one.default !== undefined) filled[key] = structuredClone(one.default)
    else if (isObject(filled[key])) filled[key] = withDefaults(filled[key], one)
  }
  return filled
}

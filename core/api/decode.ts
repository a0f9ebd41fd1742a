import { invalidParameter } from '../sdk/errors.js'
import { requestBodies, type RequestBody, type TypeCode } from '../schema/request-bodies.js'

interface Shape {
  fields: Record<string, TypeCode>
  /** Lower-case name to name. */
  folded: Map<string, string>
}

const shapes = new Map<string, Shape>()

function shapeOf(name: string): Shape {
  let shape = shapes.get(name)
  if (shape === undefined) {
    const fields = JSON.parse(requestBodies[name] as string) as Record<string, TypeCode>
    shape = { fields, folded: new Map(Object.keys(fields).map((field) => [field.toLowerCase(), field])) }
    shapes.set(name, shape)
  }
  return shape
}

/** Where a value stands, for messages: as Go names it. */
interface Place {
  root: string
  path: string
}

const kindOf = (value: unknown): string => {
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'boolean') return 'bool'
  return typeof value
}

function goType(code: TypeCode): string {
  switch (code[0]) {
    case 's':
      return 'string'
    case 'i':
      return 'int64'
    case 'n':
      return 'float64'
    case 'b':
      return 'bool'
    case 'l':
      return '[]string'
    case '[':
      return '[]' + goType(code.slice(1))
    case '{':
      return 'map[string]' + goType(code.slice(1))
    case '@':
      return code.slice(code.lastIndexOf('.') + 1).replace('@', '')
    default:
      return 'struct {}'
  }
}

function mismatch(what: string, code: TypeCode, place: Place): Error {
  const field =
    place.path === '' ? `Go value of type ${goType(code)}` : `Go struct field ${place.root}.${place.path} of type ${goType(code)}`
  return invalidParameter(`invalid JSON: json: cannot unmarshal ${what} into ${field}`)
}

/**
 * A JSON value as Go would decode it into Docker's request types: the case of keys is folded (an exact match wins), unknown keys are
 * left out, null is "not given", and a known field of another type is refused by name.
 */
export function decode(value: unknown, body: RequestBody): Record<string, unknown> | undefined {
  if (value === null) return undefined
  return walk(value, `@${body}`, { root: body.replace(/^Container(?=Create)/, ''), path: '' }) as Record<string, unknown>
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function walk(value: unknown, code: TypeCode, place: Place): unknown {
  if (value === null) return zeroOf(code)
  switch (code[0]) {
    case 's':
      if (typeof value === 'string') return value
      break
    case 'b':
      if (typeof value === 'boolean') return value
      break
    case 'n':
      if (typeof value === 'number') return value
      break
    case 'i':
      if (typeof value !== 'number') break
      if (Number.isInteger(value) && Math.abs(value) <= 2 ** 63) return value
      throw mismatch(`number ${value}`, code, place)
    case 'l':
      if (typeof value === 'string') return [value]
      if (Array.isArray(value)) return list(value, 's', place)
      break
    case '[':
      if (Array.isArray(value)) return list(value, code.slice(1), place)
      break
    case '{':
      if (isObject(value)) return map(value, code.slice(1), place)
      break
    case '@':
      if (isObject(value)) return struct(value, code.slice(1), place)
      break
    default:
      return value
  }
  throw mismatch(kindOf(value), code, place)
}

/** Inside lists and maps null stands for the zero value; lists stay null, as in PortBindings. */
function zeroOf(code: TypeCode): unknown {
  switch (code[0]) {
    case 's':
      return ''
    case 'i':
    case 'n':
      return 0
    case 'b':
      return false
    case '@':
    case '{':
      return {}
    default:
      return null
  }
}

const list = (values: unknown[], code: TypeCode, place: Place): unknown[] => values.map((value) => walk(value, code, place))

function refuseKey(key: string, place: Place): void {
  if (key === '__proto__') throw invalidParameter(`invalid JSON: the key "__proto__" cannot be used in ${place.path || 'the request body'}`)
}

function map(value: Record<string, unknown>, code: TypeCode, place: Place): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    refuseKey(key, place)
    result[key] = walk(value[key], code, place)
  }
  return result
}

function struct(value: Record<string, unknown>, name: string, place: Place): Record<string, unknown> {
  const { fields, folded } = shapeOf(name)
  const result: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    const exact = Object.hasOwn(fields, key)
    const field = exact ? key : folded.get(key.toLowerCase())
    if (field === undefined || (!exact && Object.hasOwn(value, field))) continue
    const given = value[key]
    if (given === null) continue
    const path = place.path === '' ? field : `${place.path}.${field}`
    result[field] = walk(given, fields[field] as TypeCode, { root: place.root, path })
  }
  return result
}

// How the value of a setting is read from the config file and from flags. Each reader throws what is wrong, without saying where.
import { isIP, isIPv4 } from 'node:net'
import path from 'node:path'
import { checkValue, type JsonSchema } from '../base/json-schema.js'
import { parseBinarySize } from '../base/sizes.js'
import { invalidParameter } from '../sdk/errors.js'

export interface ValueType<T> {
  /** As `--help` shows it; empty for switches. */
  placeholder: string
  repeatable: boolean
  fromFile(value: unknown): T
  /** Every occurrence of the flag, in order. */
  fromFlag(values: string[]): T
}

const fail = (message: string): never => {
  throw invalidParameter(message)
}
const last = (values: string[]): string => values.at(-1) ?? ''
const describe = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 80)
const identity = (text: string): string => text

export function text(check: (value: string) => string = identity, placeholder = 'string'): ValueType<string> {
  return {
    placeholder,
    repeatable: false,
    fromFile: (value) => (typeof value === 'string' ? check(value) : fail(`must be a string, not ${describe(value)}`)),
    fromFlag: (values) => check(last(values)),
  }
}

export function oneOf(names: readonly string[]): ValueType<string> {
  return text((value) => (names.includes(value) ? value : fail(`must be one of ${names.join(', ')}, not ${describe(value)}`)))
}

export const flag: ValueType<boolean> = {
  placeholder: '',
  repeatable: false,
  fromFile: (value) => (typeof value === 'boolean' ? value : fail(`must be true or false, not ${describe(value)}`)),
  fromFlag: (values) => {
    const value = last(values).toLowerCase()
    if (['', 'true', '1', 't'].includes(value)) return true
    return ['false', '0', 'f'].includes(value) ? false : fail(`must be true or false, not ${describe(value)}`)
  },
}

export function integer(min: number, max: number): ValueType<number> {
  const check = (value: number): number =>
    Number.isSafeInteger(value) && value >= min && value <= max
      ? value
      : fail(`must be a whole number from ${min} to ${max}, not ${describe(value)}`)
  return {
    placeholder: 'int',
    repeatable: false,
    fromFile: (value) => (typeof value === 'number' ? check(value) : fail(`must be a number, not ${describe(value)}`)),
    fromFlag: (values) =>
      /^-?\d+$/.test(last(values)) ? check(Number(last(values))) : fail(`must be a number, not ${describe(last(values))}`),
  }
}

/** `64M`, or a number of bytes. */
export const size: ValueType<number> = {
  placeholder: 'bytes',
  repeatable: false,
  fromFile: (value) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    return typeof value === 'string' ? parseBinarySize(value) : fail(`must be a size such as "64M", not ${describe(value)}`)
  },
  fromFlag: (values) => parseBinarySize(last(values)),
}

export function list(check: (value: string) => string = identity): ValueType<string[]> {
  return {
    placeholder: 'list',
    repeatable: true,
    fromFile: (value) => {
      if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
        return fail(`must be a list of strings, not ${describe(value)}`)
      return value.map(check)
    },
    fromFlag: (values) => values.map(check),
  }
}

export const stringMap: ValueType<Record<string, string>> = {
  placeholder: 'map',
  repeatable: true,
  fromFile: (value) => {
    const ok = isObject(value) && Object.values(value).every((one) => typeof one === 'string')
    return ok ? { ...(value as Record<string, string>) } : fail(`must be an object of strings, not ${describe(value)}`)
  },
  fromFlag: (values) => Object.fromEntries(values.map((pair) => splitPair(pair))),
}

export interface Ulimit {
  soft: number
  hard: number
}

/** File: Docker's `{"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 2048}}`; flag: `nofile=1024:2048`. */
export const ulimits: ValueType<Record<string, Ulimit>> = {
  placeholder: 'ulimit',
  repeatable: true,
  fromFile: (value) => {
    if (!isObject(value)) return fail(`must be an object, not ${describe(value)}`)
    const entry: JsonSchema = {
      type: 'object',
      required: ['Soft', 'Hard'],
      properties: { Name: { type: 'string' }, Soft: { type: 'integer', minimum: -1 }, Hard: { type: 'integer', minimum: -1 } },
    }
    validate(value, { type: 'object', additionalProperties: entry })
    return Object.fromEntries(
      Object.entries(value as Record<string, { Soft: number; Hard: number }>).map(([name, one]) => [
        name,
        checkUlimit(name, one.Soft, one.Hard),
      ]),
    )
  },
  fromFlag: (values) =>
    Object.fromEntries(
      values.map((value) => {
        const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(value)
        if (match === null) return fail(`invalid ulimit argument: ${value}`)
        return [match[1], checkUlimit(match[1] as string, Number(match[2]), Number(match[3] ?? match[2]))]
      }),
    ),
}

const ulimitNames = [
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
]

function checkUlimit(name: string, soft: number, hard: number): Ulimit {
  if (!ulimitNames.includes(name)) fail(`invalid ulimit type: ${name}`)
  if (hard !== -1 && (soft === -1 || soft > hard))
    fail(`ulimit ${name}: soft limit must be less than or equal to hard limit: ${soft} > ${hard}`)
  return { soft, hard }
}

export interface RuntimePath {
  path: string
  args: string[]
}

const reservedRuntimes = ['native']

/** File: `{"runc": {"path": "/usr/bin/runc", "runtimeArgs": []}}`; flag: `name=path`. */
export const runtimes: ValueType<Record<string, RuntimePath>> = {
  placeholder: 'runtime',
  repeatable: true,
  fromFile: (value) => {
    const entry: JsonSchema = {
      type: 'object',
      required: ['path'],
      properties: { path: { type: 'string', minLength: 1 }, runtimeArgs: { type: 'array', items: { type: 'string' } } },
    }
    validate(value, { type: 'object', additionalProperties: entry })
    const given = value as Record<string, { path: string; runtimeArgs?: string[] }>
    return Object.fromEntries(
      Object.entries(given).map(([name, one]) => [checkRuntime(name), { path: one.path, args: one.runtimeArgs ?? [] }]),
    )
  },
  fromFlag: (values) =>
    Object.fromEntries(
      values.map((value) => {
        const [name, file] = splitPair(value)
        return [checkRuntime(name), { path: file, args: [] }]
      }),
    ),
}

function checkRuntime(name: string): string {
  if (name === '') fail('runtime name cannot be empty')
  return reservedRuntimes.includes(name) ? fail(`runtime name '${name}' is reserved`) : name
}

/** An object whose shape a schema tells; no flag. */
export function object<T>(schema: JsonSchema): ValueType<T> {
  return {
    placeholder: '',
    repeatable: false,
    fromFile: (value) => {
      validate(value, schema)
      return value as T
    },
    fromFlag: () => fail('can only be set in the config file'),
  }
}

function validate(value: unknown, schema: JsonSchema): void {
  const [problem] = checkValue(value, schema)
  if (problem !== undefined) fail(problem.path === '' ? problem.message : `: ${problem.path} ${problem.message}`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf('=')
  return at > 0 ? [pair.slice(0, at), pair.slice(at + 1)] : fail(`invalid key/value pair ${describe(pair)}: expected key=value`)
}

export const keyValue = (value: string): string =>
  value.indexOf('=') > 0 ? value : fail(`bad attribute format: ${value}: expected key=value`)

export const absolutePath = (value: string): string =>
  path.isAbsolute(value) ? path.normalize(value) : fail(`must be an absolute path, not ${describe(value)}`)

export const absolutePathOrEmpty = (value: string): string => (value === '' ? '' : absolutePath(value))

export const ipAddress = (value: string): string => (isIP(value.trim()) === 0 ? fail(`${value} is not an ip address`) : value.trim())

export const cidrOrEmpty = (value: string): string => {
  if (value === '') return value
  const [address, prefix] = value.split('/')
  const valid = isIPv4(address ?? '') && /^\d{1,2}$/.test(prefix ?? '') && Number(prefix) <= 32
  return valid ? value : fail(`invalid CIDR address: ${value}`)
}

/** sun_path with its closing NUL. */
const maxSocketPath = 107

export const host = (value: string): string => {
  const [scheme, rest] = value.includes('://') ? (value.split('://', 2) as [string, string]) : ['', value]
  if (scheme === 'unix') {
    const file = rest === '' ? fail('a unix host needs a path: unix:///run/tsd/tsd.sock') : rest
    if (!path.isAbsolute(file)) fail(`${value}: the path of a unix host must be absolute (unix:///...)`)
    return Buffer.byteLength(file) > maxSocketPath
      ? fail(`${value}: a socket path has at most ${maxSocketPath} bytes`)
      : `unix://${path.normalize(file)}`
  }
  if (scheme === 'tcp')
    return /^(\[[0-9a-fA-F:.]+\]|[^/:\s]*)(:\d{1,5})?$/.test(rest) ? value : fail(`${value}: expected tcp://ADDRESS:PORT`)
  if (scheme === 'fd')
    return /^(\*|\d{1,3})?$/.test(rest) ? value : fail(`${value}: expected fd:// for all activated sockets, or fd://NUMBER`)
  return fail(`${value}: a host is unix:///path, tcp://ADDRESS:PORT or fd://`)
}

/** Mirrors have an origin, perhaps a path, and nothing that could hold a secret. */
export const mirrorUrl = (value: string): string => {
  const url = URL.canParse(value) ? new URL(value) : fail(`invalid mirror: ${describe(value)} is no URL`)
  if (!['http:', 'https:'].includes(url.protocol)) fail(`invalid mirror: unsupported scheme in ${describe(value)}: use http or https`)
  if (url.username !== '' || url.password !== '') fail('invalid mirror: username and password are not allowed in its URL')
  if (url.search !== '' || url.hash !== '') fail(`invalid mirror: query or fragment at the end of ${describe(value)}`)
  return url.href.replace(/\/$/, '')
}

export const insecureRegistry = (value: string): string => {
  const [address = '', prefix, ...more] = value.split('/')
  if (prefix !== undefined) {
    const family = isIP(address)
    const valid = family !== 0 && more.length === 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128)
    if (!valid) fail(`invalid insecure registry ${describe(value)}: give HOST, HOST:PORT or a CIDR, without a scheme`)
    return value
  }
  return /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?$/.test(value)
    ? value
    : fail(`invalid insecure registry ${describe(value)}: give HOST, HOST:PORT or a CIDR, without a scheme`)
}

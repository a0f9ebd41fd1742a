import path from 'node:path'
import { parseDuration, toMilliseconds } from '../base/duration.js'
import { checkSchema, checkValue, type JsonSchema, type SchemaProblem } from '../base/json-schema.js'
import { type Kind, isKind, kinds } from '../sdk/driver.js'
import { invalidParameter } from '../sdk/errors.js'
import { isRange, isVersion } from './version-range.js'

export type Isolation = 'in-process' | 'process'

/** One driver that a plugin provides. */
export interface ManifestKind {
  kind: Kind
  name: string
  /** Schema of the driver's options (`drivers.<kind>.options.<name>` of the config file). */
  options: JsonSchema
  /** Milliseconds; `probe`, `init`, `dispose`, or the name of a call. */
  timeouts: Record<string, number>
}

/** A plugin's `package.json`, checked. */
export interface Manifest {
  /** Name of the plugin. */
  name: string
  version: string
  description: string
  /** Module to load, relative to the folder. */
  main: string
  kinds: ManifestKind[]
  isolation: Isolation
  /** Drivers that must be usable before this one starts: `kind/name`. */
  requires: string[]
  /** Range of SDK versions it was written for. */
  sdk: string
}

export const maxManifestBytes = 256 * 1024

const driverName = '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$'

/** The `tsd` key of package.json: what the author's guide prints. */
export const manifestSchema: JsonSchema = {
  type: 'object',
  required: ['kinds'],
  properties: {
    name: { type: 'string', pattern: driverName, description: 'Name of the plugin; default: the name of the package, its scope left out' },
    sdk: { type: 'string', default: '*', description: 'Versions of tsd-engine/sdk it works with, e.g. "^0.1.0"' },
    isolation: {
      enum: ['in-process', 'process'],
      default: 'in-process',
      description: 'Where the code runs: in the daemon, or in a child process of its own',
    },
    requires: { type: 'array', maxItems: 32, items: { type: 'string' }, description: 'Drivers that must be usable first, as "kind/name"' },
    kinds: {
      type: 'array',
      minItems: 1,
      maxItems: 32,
      items: {
        type: 'object',
        required: ['kind', 'name'],
        properties: {
          kind: { enum: [...kinds] },
          name: { type: 'string', pattern: driverName, description: 'What users write: --storage-driver NAME, volume create -d NAME ...' },
          options: { type: 'object', additionalProperties: true, description: 'JSON Schema of the options; default: no options' },
          timeouts: {
            type: 'object',
            additionalProperties: { type: 'string' },
            propertyNames: { type: 'string', pattern: '^[a-zA-Z]{1,40}$' },
            description: 'Go durations by call: probe, init, dispose, or a method such as mount',
          },
        },
      },
    },
  },
}

/** Parts of package.json beside `tsd` that matter here. Everything else in it belongs to npm. */
interface Package {
  name?: unknown
  version?: unknown
  description?: unknown
  main?: unknown
  type?: unknown
  tsd?: unknown
}

/** True when a package.json claims to be a plugin. */
export function isPlugin(text: string): boolean {
  try {
    return Object.hasOwn(JSON.parse(text) as object, 'tsd')
  } catch {
    // Broken files are reported where they are read, so they must not pass as "no plugin".
    return text.includes('"tsd"')
  }
}

/** Reads a plugin's package.json. Every error names the file and the key. */
export function parseManifest(text: string, file: string): Manifest {
  const fail = (problem: string): never => {
    throw invalidParameter(`manifest ${file}: ${problem}`)
  }
  const report = (problems: SchemaProblem[], prefix: string): void => {
    if (problems.length === 0) return
    fail(
      problems
        .slice(0, 5)
        .map((one) => `${[prefix, one.path].filter((part) => part !== '').join('.')} ${one.message}`)
        .join('; '),
    )
  }
  if (Buffer.byteLength(text) > maxManifestBytes) fail(`is larger than ${maxManifestBytes} bytes`)
  const content = parseJson(text, fail)
  if (content.tsd === undefined) fail('has no "tsd" key: not a plugin')
  report(checkValue(content.tsd, manifestSchema), 'tsd')
  const tsd = content.tsd as RawManifest
  const version = content.version
  if (typeof version !== 'string' || !isVersion(version))
    return fail(`version must be a semantic version such as "1.0.0", not ${JSON.stringify(version) ?? 'missing'}`)
  const name = tsd.name ?? (typeof content.name === 'string' ? content.name.replace(/^@[^/]*\//, '') : undefined)
  if (name === undefined || name === 'node_modules' || !new RegExp(driverName).test(name))
    return fail('has no usable name: set "name" of the package, or tsd.name')
  const main = checkMain(content, fail)
  if (tsd.sdk !== undefined && !isRange(tsd.sdk)) fail(`tsd.sdk is not a version range: ${JSON.stringify(tsd.sdk)}`)
  for (const requirement of tsd.requires ?? []) {
    const [kind, driver, ...rest] = requirement.split('/')
    if (!isKind(kind) || driver === undefined || !new RegExp(driverName).test(driver) || rest.length > 0) {
      fail(`tsd.requires has ${JSON.stringify(requirement)}, expected "kind/name" with a kind of ${kinds.join(', ')}`)
    }
  }
  const provided = tsd.kinds.map((one, index): ManifestKind => {
    const at = `tsd.kinds[${index}]`
    if (one.options !== undefined) report(checkSchema(one.options), `${at}.options`)
    return {
      kind: one.kind,
      name: one.name,
      options: { type: 'object', ...(one.options as JsonSchema | undefined) },
      timeouts: timeouts(one.timeouts ?? {}, at, fail),
    }
  })
  const seen = new Set<string>()
  for (const { kind, name: driver } of provided) {
    if (seen.has(`${kind}/${driver}`)) fail(`provides ${kind}/${driver} twice`)
    seen.add(`${kind}/${driver}`)
  }
  return {
    name,
    version,
    description: typeof content.description === 'string' ? content.description : '',
    main,
    kinds: provided,
    isolation: tsd.isolation ?? 'in-process',
    requires: tsd.requires ?? [],
    sdk: tsd.sdk ?? '*',
  }
}

interface RawManifest {
  name?: string
  sdk?: string
  isolation?: Isolation
  requires?: string[]
  kinds: { kind: Kind; name: string; options?: unknown; timeouts?: Record<string, string> }[]
}

type Fail = (problem: string) => never

function parseJson(text: string, fail: Fail): Package {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    return fail(`is not JSON: ${(error as Error).message}`)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return fail('must hold a JSON object')
  return content
}

function checkMain(content: Package, fail: Fail): string {
  const main = content.main ?? 'index.js'
  if (typeof main !== 'string' || main === '') return fail('main must be a file name')
  const normal = path.posix.normalize(main)
  if (path.posix.isAbsolute(normal) || normal.startsWith('..')) return fail(`main ${JSON.stringify(main)} leads out of the folder`)
  if (!/\.m?js$/.test(normal)) return fail(`main must be JavaScript (.js or .mjs), not ${JSON.stringify(main)}`)
  if (normal.endsWith('.js') && content.type !== 'module') return fail('needs "type": "module", because drivers are ES modules')
  return normal
}

function timeouts(given: Record<string, string>, at: string, fail: Fail): Record<string, number> {
  const result: Record<string, number> = {}
  for (const [call, text] of Object.entries(given)) {
    let milliseconds = 0
    try {
      milliseconds = toMilliseconds(parseDuration(text))
    } catch (error) {
      fail(`${at}.timeouts.${call}: ${(error as Error).message}`)
    }
    if (milliseconds <= 0 || milliseconds > 3_600_000) fail(`${at}.timeouts.${call} must lie between 1ns and 1h, not ${text}`)
    result[call] = milliseconds
  }
  return result
}

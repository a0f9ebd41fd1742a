import { isDigest } from '../../base/digest.js'
import { invalidParameter } from '../../sdk/errors.js'

/** The `config` member of an image configuration, checked and normalised. */
export interface ImageRuntimeConfig {
  User: string
  ExposedPorts: Record<string, Record<string, never>>
  Env: string[]
  Entrypoint: string[] | null
  Cmd: string[] | null
  Volumes: Record<string, Record<string, never>>
  WorkingDir: string
  Labels: Record<string, string>
  StopSignal: string
  Shell: string[] | null
  Healthcheck: {
    Test?: string[]
    Interval?: number
    Timeout?: number
    StartPeriod?: number
    StartInterval?: number
    Retries?: number
  } | null
  ArgsEscaped: boolean
  OnBuild?: string[]
}

export interface HistoryEntry {
  created?: string
  created_by?: string
  author?: string
  comment?: string
  empty_layer?: boolean
}

/** An image configuration (the blob whose digest is the image's id), checked. */
export interface ImageConfiguration {
  created: string
  author: string
  comment: string
  dockerVersion: string
  architecture: string
  variant: string
  os: string
  osVersion: string
  parent: string
  config: ImageRuntimeConfig
  diffIds: string[]
  history: HistoryEntry[]
}

export const maxConfigBytes = 8 * 1024 * 1024
const maxLayers = 127

type Json = Record<string, unknown>

/** Reads members of one object; every complaint names the member. Null counts as absent, as in Go. */
class Members {
  private readonly value: Json
  private readonly at: string

  constructor(value: unknown, at: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw invalidParameter(`invalid image configuration: ${at} must be an object`)
    this.value = value as Json
    this.at = at
  }

  private take(key: string): unknown {
    return Object.hasOwn(this.value, key) ? (this.value[key] ?? undefined) : undefined
  }

  private fail(key: string, wanted: string): never {
    throw invalidParameter(`invalid image configuration: ${this.at}.${key} must be ${wanted}`)
  }

  has(key: string): boolean {
    return this.take(key) !== undefined
  }

  string(key: string): string {
    const value = this.take(key) ?? ''
    if (typeof value !== 'string' || value.includes('\0')) this.fail(key, 'a string')
    return value
  }

  boolean(key: string): boolean {
    const value = this.take(key) ?? false
    return typeof value === 'boolean' ? value : this.fail(key, 'a boolean')
  }

  integer(key: string): number {
    const value = this.take(key) ?? 0
    return typeof value === 'number' && Number.isSafeInteger(value) ? value : this.fail(key, 'an integer')
  }

  strings(key: string): string[] | null {
    const value = this.take(key)
    if (value === undefined) return null
    if (!Array.isArray(value) || !value.every((one) => typeof one === 'string' && !one.includes('\0')))
      this.fail(key, 'an array of strings')
    return value as string[]
  }

  array(key: string): unknown[] {
    const value = this.take(key) ?? []
    return Array.isArray(value) ? (value as unknown[]) : this.fail(key, 'an array')
  }

  object(key: string): Members | undefined {
    const value = this.take(key)
    return value === undefined ? undefined : new Members(value, `${this.at}.${key}`)
  }

  labels(key: string): Record<string, string> {
    const value = this.object(key)?.value ?? {}
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [name, typeof one === 'string' ? one : this.fail(key, 'a map of strings')]),
    )
  }

  set(key: string): Record<string, Record<string, never>> {
    return Object.fromEntries(Object.keys(this.object(key)?.value ?? {}).map((name) => [name, {}]))
  }
}

function runtimeConfig(value: Members | undefined): ImageRuntimeConfig {
  const from = value ?? new Members({}, 'config')
  const health = from.object('Healthcheck')
  const durations = ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const
  const onBuild = from.strings('OnBuild')
  return {
    User: from.string('User'),
    ExposedPorts: from.set('ExposedPorts'),
    Env: from.strings('Env') ?? [],
    Entrypoint: from.strings('Entrypoint'),
    Cmd: from.strings('Cmd'),
    Volumes: from.set('Volumes'),
    WorkingDir: from.string('WorkingDir'),
    Labels: from.labels('Labels'),
    StopSignal: from.string('StopSignal'),
    Shell: from.strings('Shell'),
    Healthcheck:
      health === undefined
        ? null
        : {
            ...(health.has('Test') ? { Test: health.strings('Test') ?? [] } : {}),
            ...Object.fromEntries(durations.filter((key) => health.has(key)).map((key) => [key, health.integer(key)])),
          },
    ArgsEscaped: from.boolean('ArgsEscaped'),
    ...(onBuild === null ? {} : { OnBuild: onBuild }),
  }
}

function history(entries: unknown[]): HistoryEntry[] {
  return entries.map((entry, index) => {
    const from = new Members(entry, `history[${index}]`)
    const text = (key: 'created' | 'created_by' | 'author' | 'comment'): HistoryEntry => (from.has(key) ? { [key]: from.string(key) } : {})
    return {
      ...text('created'),
      ...text('created_by'),
      ...text('author'),
      ...text('comment'),
      ...(from.boolean('empty_layer') ? { empty_layer: true } : {}),
    }
  })
}

/** JSON of hostile origin. */
export function parseJson(data: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'))
  } catch (error) {
    throw invalidParameter(`invalid ${what}: it is no JSON`, { cause: error })
  }
}

export function parseConfiguration(data: Uint8Array): ImageConfiguration {
  const from = new Members(parseJson(data, 'image configuration'), 'image')
  const rootfs = from.object('rootfs')
  if (rootfs === undefined) throw invalidParameter('invalid image configuration: it has no rootfs')
  const type = rootfs.string('type')
  if (type !== 'layers') throw invalidParameter(`invalid image configuration: rootfs.type is ${JSON.stringify(type)}, expected "layers"`)
  const diffIds = rootfs.strings('diff_ids') ?? []
  const bad = diffIds.find((one) => !isDigest(one) || !one.startsWith('sha256:'))
  if (bad !== undefined)
    throw invalidParameter(`invalid image configuration: ${JSON.stringify(bad)} in rootfs.diff_ids is no sha256 digest`)
  if (diffIds.length > maxLayers)
    throw invalidParameter(`invalid image configuration: max depth exceeded (${diffIds.length} layers, at most ${maxLayers})`)
  const os = from.string('os') || 'linux'
  if (os !== 'linux') throw invalidParameter(`cannot load ${os} image on linux`)
  const created = from.string('created')
  if (created !== '' && !Number.isFinite(Date.parse(created))) throw invalidParameter('invalid image configuration: created is no date')
  return {
    created,
    author: from.string('author'),
    comment: from.string('comment'),
    dockerVersion: from.string('docker_version'),
    architecture: from.string('architecture'),
    variant: from.string('variant'),
    os,
    osVersion: from.string('os.version'),
    parent: from.string('parent'),
    config: runtimeConfig(from.object('config')),
    diffIds,
    history: history(from.array('history')),
  }
}

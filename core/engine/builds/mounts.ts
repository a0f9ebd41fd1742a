// RUN --mount: what a step's container is given besides its root.
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import type { Disposables } from '../../base/disposables.js'
import { randomHex } from '../../base/random.js'
import { parseBinarySize } from '../../base/sizes.js'
import type { HostConfig } from '../../schema/engine-api.js'
import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import type { ProgressMessage } from '../images/index.js'
import { rootOfFrom } from './copy-sources.js'
import { absolute, bytesOf, textOf } from './layer-place.js'
import { expand } from './stage-state.js'
import type { StageState } from './stage-state.js'
import type { Workshop } from './workshop.js'

export interface StepMounts {
  mounts: NonNullable<HostConfig['Mounts']>
  env: string[]
}

type Mount = StepMounts['mounts'][number]

/** A mount that was understood, and is made when the step does not come from the cache. */
export interface StepMount {
  /** What the cache compares. */
  described: string
  make(stack: Disposables): Promise<{ mount?: Mount; env?: string }>
}

type Options = Map<string, string>

const allowed: Record<string, readonly string[]> = {
  bind: ['source', 'target', 'from', 'readonly'],
  cache: ['id', 'target', 'sharing', 'from', 'source', 'mode', 'uid', 'gid', 'readonly'],
  tmpfs: ['target', 'size'],
  secret: ['id', 'target', 'required', 'mode', 'uid', 'gid', 'env'],
}
const longNames: Record<string, string> = { src: 'source', dst: 'target', destination: 'target', ro: 'readonly', rw: 'readwrite' }

function parseOptions(text: string): { type: string; options: Options } {
  const options: Options = new Map()
  for (const field of text.split(',')) {
    const equals = field.indexOf('=')
    const short = (equals < 0 ? field : field.slice(0, equals)).toLowerCase()
    const name = longNames[short] ?? short
    if (equals < 0 && !['readonly', 'readwrite', 'required'].includes(name))
      throw invalidParameter(`invalid field '${field}' must be a key=value pair`)
    if (options.has(name)) throw invalidParameter(`duplicate field ${name} in --mount=${text}`)
    options.set(name, equals < 0 ? 'true' : field.slice(equals + 1))
  }
  const type = options.get('type') ?? 'bind'
  options.delete('type')
  if (type === 'ssh')
    throw notImplemented('RUN --mount=type=ssh is not supported by tsd: give the key as a secret, with --mount=type=secret')
  const names = allowed[type]
  if (names === undefined) throw invalidParameter(`unsupported mount type ${JSON.stringify(type)}: use bind, cache, tmpfs or secret`)
  const writable = options.get('readwrite') !== undefined && options.get('readwrite') !== 'false'
  options.delete('readwrite')
  if (writable && type === 'bind')
    throw notImplemented('RUN --mount=type=bind,readwrite is not supported by tsd: bind read-only and copy what the step changes')
  for (const name of options.keys()) if (!names.includes(name)) throw invalidParameter(`unexpected key '${name}' for mount type '${type}'`)
  return { type, options }
}

const truthy = (value: string | undefined): boolean => value !== undefined && /^(1|t|true)$/i.test(value)

function numberOf(options: Options, name: string, fallback: number, base: 8 | 10): number {
  const text = options.get(name)
  if (text === undefined) return fallback
  if (!(base === 8 ? /^[0-7]{1,5}$/ : /^\d{1,9}$/).test(text))
    throw invalidParameter(`invalid value ${JSON.stringify(text)} for mount option ${name}`)
  return parseInt(text, base)
}

function targetOf(state: StageState, options: Options, fallback?: string): string {
  const target = options.get('target') ?? fallback
  if (target === undefined || target === '') throw invalidParameter('target is required: --mount=type=...,target=/path')
  const path = absolute(state.config.WorkingDir, target)
  if (path === '/') throw invalidParameter("invalid mount target '/'")
  return path
}

async function bind(
  shop: Workshop,
  state: StageState,
  options: Options,
  tell: (message: ProgressMessage) => Promise<void>,
): Promise<StepMount> {
  const target = targetOf(state, options)
  const from = options.get('from') ?? ''
  const { root, image } = from === '' ? { root: `${shop.workDir}/context`, image: undefined } : await rootOfFrom(shop, state, from, tell)
  const source = options.get('source') ?? '/'
  const place = await shop.trees.locate(root, bytesOf(source))
  if (place.kind === 'absent') throw invalidParameter(`failed to compute cache key: ${JSON.stringify(source)} not found`)
  const name = place.path
  const items = [{ from: name, to: place.kind === 'directory' ? '' : 'file' }]
  const digest = image ?? (await shop.trees.digest(root, { items, directories: [], times: false, signal: shop.signal }))
  return {
    described: `bind ${target} ${digest} ${source}`,
    make: () => {
      const host = textOf(name)
      if (bytesOf(host) !== name) throw invalidParameter(`cannot bind ${JSON.stringify(source)}: its name is no UTF-8`)
      return Promise.resolve({ mount: { Type: 'bind', Source: host === '' ? root : `${root}/${host}`, Target: target, ReadOnly: true } })
    },
  }
}

function cache(shop: Workshop, state: StageState, options: Options): StepMount {
  for (const name of ['from', 'source'])
    if (options.has(name))
      throw notImplemented(`RUN --mount=type=cache,${name}= is not supported by tsd: copy what the cache is to begin with in the step`)
  const target = targetOf(state, options)
  const id = options.get('id') ?? target
  const sharing = options.get('sharing') ?? 'shared'
  if (sharing !== 'shared' && sharing !== 'private' && sharing !== 'locked')
    throw invalidParameter(`unsupported sharing mode ${JSON.stringify(sharing)}: use shared, private or locked`)
  const [mode, uid, gid] = [numberOf(options, 'mode', 0o755, 8), numberOf(options, 'uid', 0, 10), numberOf(options, 'gid', 0, 10)]
  return {
    described: `cache ${target} ${id}`,
    make: async (stack) => {
      const { dir, release } = await shop.cacheMounts.take(id, sharing, { mode, uid, gid }, shop.signal)
      stack.defer(`cache mount ${id}`, release)
      return { mount: { Type: 'bind', Source: dir, Target: target, ReadOnly: truthy(options.get('readonly')) } }
    },
  }
}

function tmpfs(state: StageState, options: Options): StepMount {
  const target = targetOf(state, options)
  const text = options.get('size')
  let size = 0
  try {
    if (text !== undefined) size = parseBinarySize(text)
  } catch {
    throw invalidParameter(`invalid value ${JSON.stringify(text)} for mount option size`)
  }
  const mount: Mount = { Type: 'tmpfs', Target: target, ...(size === 0 ? {} : { TmpfsOptions: { SizeBytes: size } }) }
  return { described: `tmpfs ${target}`, make: () => Promise.resolve({ mount }) }
}

function secret(shop: Workshop, state: StageState, options: Options): StepMount {
  const variable = options.get('env')
  const given = options.get('id')
  const id = given ?? options.get('target')?.split('/').at(-1) ?? ''
  if (id === '') throw invalidParameter('RUN --mount=type=secret needs an id')
  const target = variable !== undefined && !options.has('target') ? undefined : targetOf(state, options, `/run/secrets/${id}`)
  const value = shop.options.secrets.get(id)
  if (value === undefined && truthy(options.get('required')))
    throw invalidParameter(`secret ${id}: not found: give it with tsd build --secret id=${id},src=FILE`)
  const [mode, uid, gid] = [numberOf(options, 'mode', 0o400, 8), numberOf(options, 'uid', 0, 10), numberOf(options, 'gid', 0, 10)]
  return {
    // As BuildKit has it, a secret's value is no part of what the cache compares.
    described: `secret ${target ?? ''} ${variable ?? ''} ${id}`,
    make: async () => {
      if (value === undefined) return {}
      const env = variable === undefined ? {} : { env: `${variable}=${value.toString()}` }
      if (target === undefined) return env
      const file = `${shop.secretDir}/${randomHex(8)}`
      await mkdir(shop.secretDir, { recursive: true, mode: 0o700 })
      await writeFile(file, value, { mode: 0o600 })
      await chown(file, uid, gid)
      await chmod(file, mode)
      return { ...env, mount: { Type: 'bind', Source: file, Target: target, ReadOnly: true } }
    },
  }
}

export async function prepareMount(
  shop: Workshop,
  state: StageState,
  text: string,
  tell: (message: ProgressMessage) => Promise<void>,
): Promise<StepMount> {
  const { type, options } = parseOptions(expand(state, text))
  if (type === 'bind') return bind(shop, state, options, tell)
  if (type === 'cache') return cache(shop, state, options)
  return type === 'tmpfs' ? tmpfs(state, options) : secret(shop, state, options)
}

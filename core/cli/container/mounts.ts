import path from 'node:path'
import { parseBinarySize } from '../../base/sizes.js'
import type { Mount } from '../../schema/engine-api.js'
import { splitCommas } from '../flags.js'
import { UsageError } from '../status.js'

type MountOptions = {
  bind: NonNullable<Mount['BindOptions']>
  volume: NonNullable<Mount['VolumeOptions']>
  tmpfs: NonNullable<Mount['TmpfsOptions']>
  image: NonNullable<Mount['ImageOptions']>
}

const onOff = (key: string, value: string | undefined): boolean => {
  if (value === undefined) return true
  const lower = value.toLowerCase()
  if (['true', '1', 't'].includes(lower)) return true
  if (['false', '0', 'f'].includes(lower)) return false
  throw new UsageError(`invalid value for ${key}: ${value}`)
}

const withoutValue = new Set(['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive'])

/** One `--mount`: `type=bind,src=/a,dst=/b,readonly`. */
export function parseMount(spec: string): Mount {
  const mount: Mount = { Type: 'volume' }
  const options: Partial<MountOptions> = {}
  const bind = () => (options.bind ??= {})
  const volume = () => (options.volume ??= {})
  const driver = () => (volume().DriverConfig ??= {})
  for (const field of splitCommas(spec)) {
    const equals = field.indexOf('=')
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase()
    const value = equals < 0 ? undefined : field.slice(equals + 1)
    if (value === undefined && !withoutValue.has(key)) throw new UsageError(`invalid field '${field}' must be a key=value pair`)
    const text = value ?? ''
    switch (key) {
      case 'type':
        mount.Type = text.toLowerCase() as NonNullable<Mount['Type']>
        break
      case 'source':
      case 'src':
        mount.Source = /^\.{1,2}(\/|$)/.test(text) ? path.resolve(text) : text
        break
      case 'target':
      case 'dst':
      case 'destination':
        mount.Target = text
        break
      case 'readonly':
      case 'ro':
        if (onOff(key, value)) mount.ReadOnly = true
        break
      case 'consistency':
        mount.Consistency = text.toLowerCase()
        break
      case 'bind-propagation':
        bind().Propagation = text.toLowerCase() as NonNullable<MountOptions['bind']['Propagation']>
        break
      case 'bind-nonrecursive':
        if (onOff(key, value)) bind().NonRecursive = true
        break
      case 'bind-recursive':
        recursive(bind(), text)
        break
      case 'volume-subpath':
        volume().Subpath = text
        break
      case 'volume-nocopy':
        if (onOff(key, value)) volume().NoCopy = true
        break
      case 'volume-label':
        volume().Labels = { ...volume().Labels, ...pair(text) }
        break
      case 'volume-driver':
        driver().Name = text
        break
      case 'volume-opt':
        driver().Options = { ...driver().Options, ...pair(text) }
        break
      case 'tmpfs-size':
        options.tmpfs = { ...options.tmpfs, SizeBytes: parseBinarySize(text) }
        break
      case 'tmpfs-mode':
        if (!/^[0-7]+$/.test(text)) throw new UsageError(`invalid value for ${key}: ${text}`)
        options.tmpfs = { ...options.tmpfs, Mode: Number.parseInt(text, 8) }
        break
      case 'image-subpath':
        options.image = { ...options.image, Subpath: text }
        break
      default:
        throw new UsageError(`unexpected key '${key}' in '${field}'`)
    }
  }
  return checked(mount, options)
}

function checked(mount: Mount, options: Partial<MountOptions>): Mount {
  if (!mount.Type) throw new UsageError('type is required')
  if (!mount.Target) throw new UsageError('target is required')
  for (const kind of ['volume', 'image', 'bind', 'tmpfs'] as const) {
    if (options[kind] && mount.Type !== kind) throw new UsageError(`cannot mix '${kind}-*' options with mount type '${mount.Type}'`)
  }
  if (options.bind?.ReadOnlyForceRecursive && !mount.ReadOnly)
    throw new UsageError("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
  if (options.bind?.ReadOnlyForceRecursive && options.bind.Propagation !== 'rprivate')
    throw new UsageError("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
  if (options.volume) mount.VolumeOptions = { ...options.volume, DriverConfig: options.volume.DriverConfig ?? {} }
  if (options.bind) mount.BindOptions = options.bind
  if (options.tmpfs) mount.TmpfsOptions = options.tmpfs
  if (options.image) mount.ImageOptions = options.image
  return mount
}

function recursive(bind: MountOptions['bind'], value: string): void {
  if (value === 'enabled') return
  if (value === 'disabled') bind.NonRecursive = true
  else if (value === 'writable') bind.ReadOnlyNonRecursive = true
  else if (value === 'readonly') bind.ReadOnlyForceRecursive = true
  else throw new UsageError(`invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`)
}

function pair(text: string): Record<string, string> {
  const equals = text.indexOf('=')
  return equals < 0 ? { [text]: '' } : { [text.slice(0, equals)]: text.slice(equals + 1) }
}

/** `-v` values: those with a source are binds, the others anonymous volumes. */
export function splitVolumes(specs: readonly string[]): { binds: string[]; volumes: Record<string, Record<string, unknown>> } {
  const binds: string[] = []
  const volumes: Record<string, Record<string, unknown>> = {}
  for (const spec of specs) {
    if (spec === '') throw new UsageError('invalid empty volume spec')
    if (spec.split(':').some((part, i, all) => part === '' && all.length > 1 && i < all.length))
      throw new UsageError(`invalid spec: ${spec}: empty section between colons`)
    // `c:/x` is a drive of Windows to Docker, not a volume `c`.
    if (!spec.includes(':') || /^[a-zA-Z]:[^:]*$/.test(spec)) {
      volumes[spec] = {}
      continue
    }
    const colon = spec.indexOf(':')
    const source = spec.slice(0, colon)
    binds.push(source.startsWith('.') ? path.resolve(source) + spec.slice(colon) : spec)
  }
  return { binds, volumes }
}

export function parseTmpfs(specs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    specs.map((spec) => {
      const colon = spec.indexOf(':')
      return colon < 0 ? [spec, ''] : [spec.slice(0, colon), spec.slice(colon + 1)]
    }),
  )
}

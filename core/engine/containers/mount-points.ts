import path from 'node:path'
import type { HostConfig, Mount } from '../../schema/engine-api.js'
import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import type { MountPointRecord } from './record.js'

const propagations = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])
const labelModes = new Set(['z', 'Z'])
const consistencies = new Set(['consistent', 'cached', 'delegated'])

const blank = (): MountPointRecord => ({
  type: 'volume',
  name: '',
  driver: '',
  source: '',
  destination: '',
  mode: '',
  writable: true,
  propagation: '',
  recursive: true,
  readonlyRecursive: false,
  readonlyNonRecursive: false,
  noCopy: false,
  createSource: false,
  tmpfsOptions: [],
  anonymous: false,
})

function cleanDestination(destination: string, spec: string): string {
  if (!destination.startsWith('/'))
    throw invalidParameter(
      `invalid mount config: invalid volume specification: '${spec}': invalid mount path: '${destination}' mount path must be absolute`,
    )
  const clean = path.posix.normalize(destination).replace(/(.)\/+$/, '$1')
  if (clean === '/') throw invalidParameter(`invalid volume specification: '${spec}': destination can't be '/'`)
  return clean
}

function applyMode(point: MountPointRecord, mode: string, spec: string): void {
  const invalid = () => invalidParameter(`invalid mode: ${mode}`)
  const seen = { access: false, label: false, propagation: false, copy: false, consistency: false }
  for (const word of mode.split(',')) {
    if (word === 'ro' || word === 'rw') {
      if (seen.access) throw invalid()
      seen.access = true
      point.writable = word === 'rw'
    } else if (propagations.has(word)) {
      if (seen.propagation || point.type !== 'bind') throw invalid()
      seen.propagation = true
      point.propagation = word
    } else if (word === 'nocopy') {
      if (seen.copy || point.type !== 'volume') throw invalid()
      seen.copy = true
      point.noCopy = true
    } else if (labelModes.has(word)) {
      if (seen.label) throw invalid()
      seen.label = true
    } else if (consistencies.has(word)) {
      if (seen.consistency) throw invalid()
      seen.consistency = true
    } else throw word === '' ? invalidParameter(`invalid volume specification: '${spec}'`) : invalid()
  }
  point.mode = mode
}

/** `[name-or-path:]destination[:mode]` as in HostConfig.Binds. */
export function parseBind(spec: string, volumeDriver: string): MountPointRecord {
  const invalid = () => invalidParameter(`invalid volume specification: '${spec}'`)
  const parts = spec.split(':')
  if (parts.length > 3 || parts[0] === '') throw invalid()
  const point = blank()
  if (parts.length === 1) {
    point.destination = cleanDestination(parts[0] ?? '', spec)
    point.driver = volumeDriver
    point.anonymous = true
    return point
  }
  const [source = '', destination = '', mode] = parts
  if (destination === '') throw invalid()
  if (source.startsWith('/')) {
    point.type = 'bind'
    point.source = path.posix.normalize(source).replace(/(.)\/+$/, '$1')
    point.createSource = true
  } else {
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(source))
      throw invalidParameter(
        `invalid mount config: "${source}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
      )
    point.name = source
    point.driver = volumeDriver
  }
  point.destination = cleanDestination(destination, spec)
  if (mode !== undefined) applyMode(point, mode, spec)
  if (point.type === 'bind' && point.propagation === '') point.propagation = 'rprivate'
  return point
}

const invalidMount = (mount: Mount, why: string) => invalidParameter(`invalid mount config for type "${mount.Type ?? ''}": ${why}`)

function fromMount(mount: Mount, volumeDriver: string): MountPointRecord {
  const point = blank()
  if (!mount.Target) throw invalidMount(mount, 'field Target must not be empty')
  point.destination = cleanDestination(mount.Target, mount.Target)
  point.writable = !mount.ReadOnly
  if (mount.Type !== 'bind' && mount.BindOptions) throw invalidMount(mount, 'field BindOptions must not be specified')
  if (mount.Type !== 'volume' && mount.VolumeOptions) throw invalidMount(mount, 'field VolumeOptions must not be specified')
  if (mount.Type !== 'tmpfs' && mount.TmpfsOptions) throw invalidMount(mount, 'field TmpfsOptions must not be specified')
  switch (mount.Type) {
    case 'bind': {
      if (!mount.Source) throw invalidMount(mount, 'field Source must not be empty')
      if (!mount.Source.startsWith('/')) throw invalidMount(mount, `invalid mount path: '${mount.Source}' mount path must be absolute`)
      const options = mount.BindOptions ?? {}
      point.type = 'bind'
      point.source = path.posix.normalize(mount.Source).replace(/(.)\/+$/, '$1')
      point.propagation = options.Propagation || 'rprivate'
      if (!propagations.has(point.propagation)) throw invalidMount(mount, `invalid propagation mode: ${point.propagation}`)
      point.recursive = !options.NonRecursive
      point.createSource = options.CreateMountpoint === true
      if (options.ReadOnlyNonRecursive && options.ReadOnlyForceRecursive)
        throw invalidMount(mount, 'ReadOnlyForceRecursive and ReadOnlyNonRecursive exclude each other')
      point.readonlyRecursive = options.ReadOnlyForceRecursive === true
      point.readonlyNonRecursive = options.ReadOnlyNonRecursive === true
      return point
    }
    case 'volume': {
      const options = mount.VolumeOptions ?? {}
      point.name = mount.Source ?? ''
      point.anonymous = point.name === ''
      point.driver = options.DriverConfig?.Name || volumeDriver
      point.noCopy = options.NoCopy === true
      point.volumeLabels = options.Labels ?? {}
      point.volumeOptions = options.DriverConfig?.Options ?? {}
      if (options.Subpath) throw notImplemented('volume-subpath is not supported by this version of tsd: mount the whole volume')
      return point
    }
    case 'tmpfs': {
      if (mount.Source) throw invalidMount(mount, 'field Source must not be specified')
      const options = mount.TmpfsOptions ?? {}
      point.type = 'tmpfs'
      if (options.SizeBytes) point.tmpfsOptions.push(`size=${options.SizeBytes}`)
      if (options.Mode) point.tmpfsOptions.push(`mode=${options.Mode.toString(8)}`)
      for (const pair of options.Options ?? []) point.tmpfsOptions.push(pair.join('='))
      return point
    }
    case 'image':
    case 'npipe':
    case 'cluster':
      throw notImplemented(`mounts of type "${mount.Type}" are not supported by tsd: use bind, volume or tmpfs`)
    default:
      throw invalidMount(mount, 'mount type unknown')
  }
}

export interface MountSources {
  hostConfig: HostConfig
  /** From Config.Volumes and the image. */
  volumes: string[]
  /** Looks up the mounts of a container named in --volumes-from. */
  mountsOf(reference: string): MountPointRecord[]
}

/** Merges all sources of mounts; later ones replace earlier ones at the same destination, except explicit duplicates, which are errors. */
export function collectMountPoints({ hostConfig, volumes, mountsOf }: MountSources): MountPointRecord[] {
  const volumeDriver = hostConfig.VolumeDriver ?? ''
  const byDestination = new Map<string, MountPointRecord>()
  for (const spec of hostConfig.VolumesFrom ?? []) {
    const [reference = '', mode, ...rest] = spec.split(':')
    if (reference === '' || rest.length > 0) throw invalidParameter(`malformed volumes-from: ${spec}`)
    if (mode !== undefined && !/^(ro|rw|z|Z)(,(ro|rw|z|Z))*$/.test(mode)) throw invalidParameter(`invalid mode: ${mode}`)
    for (const point of mountsOf(reference)) {
      if (point.type === 'tmpfs') continue
      const readOnly = mode?.split(',').includes('ro') ?? false
      byDestination.set(point.destination, {
        ...point,
        anonymous: false,
        noCopy: true,
        writable: point.writable && !readOnly,
        mode: mode ?? point.mode,
      })
    }
  }
  const explicit = new Set<string>()
  const addExplicit = (point: MountPointRecord): void => {
    if (explicit.has(point.destination)) throw invalidParameter(`Duplicate mount point: ${point.destination}`)
    explicit.add(point.destination)
    byDestination.set(point.destination, point)
  }
  for (const spec of hostConfig.Binds ?? []) addExplicit(parseBind(spec, volumeDriver))
  for (const mount of hostConfig.Mounts ?? []) addExplicit(fromMount(mount, volumeDriver))
  for (const destination of Object.keys(hostConfig.Tmpfs ?? {})) {
    const clean = cleanDestination(destination, destination)
    if (explicit.has(clean)) throw invalidParameter(`Duplicate mount point: ${clean}`)
    explicit.add(clean)
    byDestination.delete(clean)
  }
  for (const destination of volumes) {
    const clean = cleanDestination(destination, destination)
    if (!byDestination.has(clean) && !explicit.has(clean))
      byDestination.set(clean, { ...blank(), destination: clean, driver: volumeDriver, anonymous: true })
  }
  return [...byDestination.values()].sort((a, b) => a.destination.split('/').length - b.destination.split('/').length)
}

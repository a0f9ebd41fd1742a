import fs from 'node:fs/promises'
import { didYouMean } from '../base/near.js'
import { type Kind, kinds } from '../sdk/driver.js'
import { shimBinary } from '../../native/shim/client.js'
import { invalidParameter, isTsdError, messageOf } from '../sdk/errors.js'
import { dockerdOnly, settings, type DriverSection, type Settings } from './config-schema.js'
import type { RuntimePath, Ulimit } from './config-values.js'

export const defaultConfigFile = '/etc/tsd/daemon.json'
const maxConfigBytes = 1024 * 1024

/** Values of flags by setting key: every occurrence, as typed. */
export type FlagValues = Record<string, string[]>

export interface DaemonConfig {
  settings: Settings
  /** Where each key that is not a default came from: `flag` or the path of the file. */
  sources: Record<string, string>
}

export interface LoadOptions {
  /** Path of the config file; undefined: the default one, which may be missing. */
  file?: string
  flags?: FlagValues
}

/** File, flags and defaults, merged and checked. A flag goes before the same key of the file. */
export async function loadConfig(options: LoadOptions): Promise<DaemonConfig> {
  const file = options.file ?? defaultConfigFile
  const text = await readConfigFile(file, options.file !== undefined)
  return mergeConfig(text === undefined ? {} : parseConfigFile(text, file), options.flags ?? {}, file)
}

async function readConfigFile(file: string, required: boolean): Promise<string | undefined> {
  try {
    const { size } = await fs.stat(file)
    if (size > maxConfigBytes) throw invalidParameter(`config file ${file}: is larger than ${maxConfigBytes} bytes`)
    return await fs.readFile(file, 'utf8')
  } catch (error) {
    if (isTsdError(error)) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !required) return undefined
    throw invalidParameter(`config file ${file}: ${messageOf(error)}`, { cause: error })
  }
}

/** Checks keys and types of a config file; answers the settings that it gives. */
export function parseConfigFile(text: string, file: string): Partial<Settings> {
  const fail = (problem: string): never => {
    throw invalidParameter(`config file ${file}: ${problem}`)
  }
  let content: unknown = {}
  try {
    // dockerd takes an empty file for an empty object.
    if (text.trim() !== '') content = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    fail(`is not JSON: ${messageOf(error)}`)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return fail('must hold a JSON object')
  const given: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(content)) {
    const setting = settings.find((one) => one.key === key)
    if (setting !== undefined)
      given[key] = read(
        () => setting.type.fromFile(value),
        (message) => fail(`${key}${message.startsWith(': ') ? '' : ': '}${message}`),
      )
    else if (Object.hasOwn(dockerdOnly, key)) {
      const harmless = dockerdOnly[key]?.some((one) => JSON.stringify(one) === JSON.stringify(value))
      if (harmless !== true) fail(`${key}: dockerd's setting is not supported by tsd: remove it`)
    } else {
      const near = didYouMean(
        key,
        settings.map((one) => one.key),
      )
      fail(`${key}: is not a known key${near}`)
    }
  }
  return given as Partial<Settings>
}

function read(get: () => unknown, fail: (message: string) => never): unknown {
  try {
    return get()
  } catch (error) {
    return fail(messageOf(error))
  }
}

export function mergeConfig(fromFile: Partial<Settings>, flags: FlagValues, file: string): DaemonConfig {
  const values: Record<string, unknown> = {}
  const sources: Record<string, string> = {}
  for (const setting of settings) {
    const { key } = setting
    const flag = flags[key]
    const inFile = fromFile[key]
    if (flag !== undefined) {
      values[key] = read(
        () => setting.type.fromFlag(flag),
        (message) => {
          throw invalidParameter(`flag --${setting.flag ?? key}: ${message}`)
        },
      )
      sources[key] = 'flag'
    } else if (inFile !== undefined) {
      values[key] = inFile
      sources[key] = file
    } else values[key] = structuredClone(setting.default)
  }
  const config = { settings: values as unknown as Settings, sources }
  overrideDefaults(config)
  checkTogether(config)
  return config
}

/** dockerd's keys for what we also know as the default of a kind. */
const defaultKeys = [
  ['storage-driver', 'graph'],
  ['log-driver', 'log'],
  ['default-runtime', 'exec'],
] as const satisfies readonly (readonly [keyof Settings, Kind])[]

/** A flag also goes before the other spelling of its key, which only the file has. */
function overrideDefaults({ settings: given, sources }: DaemonConfig): void {
  for (const [key, kind] of defaultKeys) {
    const section = given.drivers[kind]
    if (sources[key] !== 'flag' || section?.default === undefined) continue
    const { default: _overridden, ...rest } = section
    given.drivers = { ...given.drivers, [kind]: rest }
  }
}

/** What no single key can tell. */
function checkTogether({ settings: given, sources }: DaemonConfig): void {
  for (const [key, kind] of defaultKeys) {
    const chosen = given.drivers[kind]?.default
    if (chosen !== undefined && sources[key] !== undefined && given[key] !== '' && chosen !== given[key])
      throw invalidParameter(`${key} is ${given[key]} but drivers.${kind}.default is ${chosen}: give one of them`)
  }
  const labels = new Map<string, string>()
  for (const label of given.labels) {
    const key = label.slice(0, label.indexOf('='))
    const other = labels.get(key)
    if (other !== undefined && other !== label) throw invalidParameter(`conflict labels for ${label} and ${other}`)
    labels.set(key, label)
  }
  if (given.hosts.length === 0) throw invalidParameter('hosts: at least one is needed')
  if (new Set(given.hosts).size !== given.hosts.length)
    throw invalidParameter(`hosts: the same one is given twice: ${given.hosts.join(', ')}`)
  if (given['data-root'] === given['exec-root'])
    throw invalidParameter(`data-root and exec-root are both ${given['data-root']}: a reboot may destroy only the second`)
}

export interface ConfigChange {
  /** Keys to apply now. */
  reload: (keyof Settings)[]
  /** Keys whose change waits for a restart. */
  restart: (keyof Settings)[]
}

/** What SIGHUP has to do. */
export function diffConfig(current: Settings, next: Settings): ConfigChange {
  const changed = settings.filter(({ key }) => JSON.stringify(current[key]) !== JSON.stringify(next[key]))
  return {
    reload: changed.filter((one) => one.reloadable).map((one) => one.key),
    restart: changed.filter((one) => !one.reloadable).map((one) => one.key),
  }
}

/** `current` with the reloadable keys of `next`. */
export function reloadConfig(current: Settings, next: Settings): Settings {
  return { ...current, ...Object.fromEntries(diffConfig(current, next).reload.map((key) => [key, next[key]])) }
}

/** The engine's view of the settings; bound to its EngineConfig token. */
export interface EngineSettings {
  dataRoot: string
  execRoot: string
  hosts: string[]
  group: string
  labels: string[]
  debug: boolean
  liveRestore: boolean
  shutdownTimeout: number
  mtu: number
  bip: string
  defaultBridge: string
  dns: string[]
  dnsSearch: string[]
  dnsOptions: string[]
  logDriver: string
  logOpts: Record<string, string>
  defaultRuntime: string
  runtimes: Record<string, RuntimePath>
  cgroupParent: string
  defaultUlimits: Record<string, Ulimit>
  defaultShmSize: number
  seccompProfile: string
  noNewPrivileges: boolean
  init: boolean
  initPath: string
  storageDriver: string
  storageOpts: string[]
  registryMirrors: string[]
  insecureRegistries: string[]
  registryCerts: string
  maxConcurrentDownloads: number
  maxConcurrentUploads: number
  maxDownloadAttempts: number
}

export function toEngineConfig(from: Settings): EngineSettings {
  return {
    dataRoot: from['data-root'],
    execRoot: from['exec-root'],
    hosts: from.hosts,
    group: from.group,
    labels: from.labels,
    debug: from.debug,
    liveRestore: from['live-restore'],
    shutdownTimeout: from['shutdown-timeout'],
    mtu: from.mtu,
    bip: from.bip,
    defaultBridge: from.bridge,
    dns: from.dns,
    dnsSearch: from['dns-search'],
    dnsOptions: from['dns-opts'],
    logDriver: from.drivers.log?.default ?? from['log-driver'],
    logOpts: from['log-opts'],
    defaultRuntime: from.drivers.exec?.default ?? from['default-runtime'],
    runtimes: from.runtimes,
    cgroupParent: from['cgroup-parent'],
    defaultUlimits: from['default-ulimits'],
    defaultShmSize: from['default-shm-size'],
    seccompProfile: from['seccomp-profile'],
    noNewPrivileges: from['no-new-privileges'],
    init: from.init,
    initPath: from['init-path'] || shimBinary,
    storageDriver: from.drivers.graph?.default ?? from['storage-driver'],
    storageOpts: from['storage-opts'],
    registryMirrors: from['registry-mirrors'],
    insecureRegistries: from['insecure-registries'],
    registryCerts: from['registry-certs'],
    maxConcurrentDownloads: from['max-concurrent-downloads'],
    maxConcurrentUploads: from['max-concurrent-uploads'],
    maxDownloadAttempts: from['max-download-attempts'],
  }
}

/** The kernel's view: which drivers, in which order, with which options, from where. Bound to its ManagerSettings. */
export interface KernelSettings {
  /** Configured graph driver; empty: by prior state and priority. */
  graphName: string
  graphPriority: string[]
  /** Names used when an object names none, best first. */
  defaults: Record<Exclude<Kind, 'graph'>, string[]>
  /** Defaults that the administrator chose: `kind/name`. */
  required: string[]
  options: Partial<Record<Kind, Record<string, Record<string, unknown>>>>
  /** OCI runtimes by path: further names of the `oci` driver. */
  aliases: { kind: Kind; name: string; driver: string; options: Record<string, unknown> }[]
  folders: string[]
  /** Docker's places for plugins that somebody else starts. */
  docker: { sockets: string[]; specs: string[] }
}

export const graphPriority: readonly string[] = ['overlay2', 'aufs', 'btrfs', 'devicemapper', 'vfs']

const shippedDefaults: Record<Exclude<Kind, 'graph'>, string[]> = {
  volume: ['local'],
  network: ['bridge'],
  ipam: ['default'],
  exec: ['native', 'runc', 'crun'],
  log: ['json-file', 'none'],
}

/** `sources` tells what the administrator chose: a default of ours that is missing is no reason not to start. */
export function toKernelSettings(from: Settings, sources: Record<string, string> = {}): KernelSettings {
  const { drivers } = from
  const chosen: Partial<Record<Kind, string>> = {
    ...(sources['log-driver'] === undefined ? {} : { log: from['log-driver'] }),
    ...(sources['default-runtime'] === undefined ? {} : { exec: from['default-runtime'] }),
  }
  for (const kind of kinds) chosen[kind] = drivers[kind]?.default ?? chosen[kind]
  const defaults = { ...shippedDefaults }
  for (const kind of Object.keys(defaults) as Exclude<Kind, 'graph'>[]) {
    const name = chosen[kind]
    if (name !== undefined) defaults[kind] = [name]
  }
  const sections = kinds.map((kind) => [kind, drivers[kind] ?? {}] as [Kind, DriverSection])
  const options = Object.fromEntries(sections.map(([kind, section]) => [kind, { ...section.options }])) as Record<
    Kind,
    Record<string, Record<string, unknown>>
  >
  const storage = Object.fromEntries(
    from['storage-opts'].map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  )
  // dockerd hands storage-opts to whichever driver is chosen; `*` stands for that one.
  if (Object.keys(storage).length > 0) options.graph['*'] = storage
  if (from['default-address-pools'].length > 0) {
    options.ipam['default'] = { 'default-address-pools': from['default-address-pools'], ...options.ipam['default'] }
  }
  return {
    graphName: toEngineConfig(from).storageDriver,
    graphPriority: drivers.graph?.priority ?? [...graphPriority],
    defaults,
    required: Object.entries(chosen).flatMap(([kind, name]) => (name === undefined || kind === 'graph' ? [] : [`${kind}/${name}`])),
    options,
    aliases: Object.entries(from.runtimes).map(([name, { path, args }]) => ({
      kind: 'exec',
      name,
      driver: 'oci',
      options: { path, args },
    })),
    folders: [...from['plugin-folders'], ...sections.flatMap(([, section]) => section.folders ?? [])],
    docker: { sockets: from['plugin-sockets'], specs: from['plugin-specs'] },
  }
}

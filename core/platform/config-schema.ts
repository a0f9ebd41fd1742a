import { type Kind, kinds } from '../sdk/driver.js'
import type { JsonSchema } from '../base/json-schema.js'
import {
  absolutePath,
  absolutePathOrEmpty,
  cidrOrEmpty,
  flag,
  host,
  insecureRegistry,
  integer,
  ipAddress,
  keyValue,
  list,
  mirrorUrl,
  object,
  oneOf,
  runtimes,
  size,
  stringMap,
  text,
  ulimits,
  type RuntimePath,
  type Ulimit,
  type ValueType,
} from './config-values.js'
import { logLevels } from './logger.js'

/** What the config file says about one kind of driver. */
export interface DriverSection {
  /** Used when an object names none. For graph: the driver to use, never a fallback. */
  default?: string
  /** graph: order of automatic choice. */
  priority?: string[]
  /** Options by driver name. */
  options?: Record<string, Record<string, unknown>>
  /** Folders searched for plugins, after the standard ones. */
  folders?: string[]
}

/** Every setting by its key, as read. */
export interface Settings {
  'data-root': string
  'exec-root': string
  pidfile: string
  hosts: string[]
  group: string
  tls: boolean
  tlsverify: boolean
  tlscacert: string
  tlscert: string
  tlskey: string
  debug: boolean
  'log-level': string
  'log-format': string
  labels: string[]
  'live-restore': boolean
  'shutdown-timeout': number
  'storage-driver': string
  'storage-opts': string[]
  'log-driver': string
  'log-opts': Record<string, string>
  bridge: string
  bip: string
  mtu: number
  dns: string[]
  'dns-search': string[]
  'dns-opts': string[]
  'default-address-pools': { base: string; size: number }[]
  'default-runtime': string
  runtimes: Record<string, RuntimePath>
  'cgroup-parent': string
  'default-ulimits': Record<string, Ulimit>
  'default-shm-size': number
  'seccomp-profile': string
  'no-new-privileges': boolean
  init: boolean
  'init-path': string
  drivers: Partial<Record<Kind, DriverSection>>
  'plugin-folders': string[]
  'plugin-sockets': string[]
  'plugin-specs': string[]
  'registry-mirrors': string[]
  'insecure-registries': string[]
  'registry-certs': string
  'max-concurrent-downloads': number
  'max-concurrent-uploads': number
  'max-download-attempts': number
}

export interface Setting<K extends keyof Settings = keyof Settings> {
  /** In the config file. */
  key: K
  /** Long flag without dashes; absent: file only. */
  flag?: string
  short?: string
  type: ValueType<Settings[K]>
  default: Settings[K]
  /** SIGHUP applies a change; any other needs a restart. */
  reloadable: boolean
  description: string
}

const setting = <K extends keyof Settings>(
  key: K,
  type: ValueType<Settings[K]>,
  fallback: Settings[K],
  description: string,
  more: { flag?: string | false; short?: string; reloadable?: boolean } = {},
): Setting => {
  const name = more.flag === false ? undefined : (more.flag ?? key)
  const row: Setting<K> = {
    key,
    ...(name === undefined ? {} : { flag: name }),
    ...(more.short === undefined ? {} : { short: more.short }),
    type,
    default: fallback,
    reloadable: more.reloadable ?? false,
    description,
  }
  return row as unknown as Setting
}

const sectionSchema: JsonSchema = {
  type: 'object',
  properties: {
    default: { type: 'string', minLength: 1 },
    options: { type: 'object', additionalProperties: { type: 'object', additionalProperties: true } },
    folders: { type: 'array', items: { type: 'string', pattern: '^/' } },
  },
}
const graphSchema: JsonSchema = {
  ...sectionSchema,
  properties: { ...sectionSchema.properties, priority: { type: 'array', minItems: 1, items: { type: 'string', minLength: 1 } } },
}
const driversSchema: JsonSchema = {
  type: 'object',
  properties: Object.fromEntries(kinds.map((kind) => [kind, kind === 'graph' ? graphSchema : sectionSchema])),
}

const poolsSchema: JsonSchema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['base', 'size'],
    properties: { base: { type: 'string' }, size: { type: 'integer', minimum: 1, maximum: 32 } },
  },
}

/** The one list of what can be set: config file, flags, `--help` and the operator's page all come from it. */
export const settings: readonly Setting[] = [
  setting('data-root', text(absolutePath, 'path'), '/var/lib/tsd', 'Root directory of persistent state'),
  setting('exec-root', text(absolutePath, 'path'), '/run/tsd', 'Root directory of state that a reboot destroys'),
  setting('pidfile', text(absolutePathOrEmpty, 'path'), '', 'Path of the pid file; default: tsd.pid in the exec root', { short: 'p' }),
  setting('hosts', list(host), ['unix:///run/tsd/tsd.sock'], 'Sockets to listen on', { flag: 'host', short: 'H' }),
  setting('group', text(), 'docker', 'Group that owns the unix socket', { short: 'G' }),
  setting('tls', flag, false, 'TLS on tcp hosts; implied by tlsverify'),
  setting('tlsverify', flag, false, 'TLS on tcp hosts, for clients with a certificate of tlscacert only'),
  setting(
    'tlscacert',
    text(absolutePathOrEmpty, 'path'),
    '',
    "Authority of the clients' certificates; default: ca.pem in DOCKER_CERT_PATH or ~/.docker",
  ),
  setting(
    'tlscert',
    text(absolutePathOrEmpty, 'path'),
    '',
    'Certificate of the daemon; default: cert.pem in DOCKER_CERT_PATH or ~/.docker',
  ),
  setting('tlskey', text(absolutePathOrEmpty, 'path'), '', 'Key of the certificate; default: key.pem in DOCKER_CERT_PATH or ~/.docker'),
  setting('debug', flag, false, 'Debug mode', { short: 'D', reloadable: true }),
  setting('log-level', oneOf(logLevels), 'info', "Lowest level of the daemon's own log", { short: 'l', reloadable: true }),
  setting('log-format', oneOf(['text', 'json']), 'text', "Form of the daemon's own log"),
  setting('labels', list(keyValue), [], 'key=value labels of the daemon', { flag: 'label', reloadable: true }),
  setting('live-restore', flag, false, 'Containers keep running while the daemon is stopped', { reloadable: true }),
  setting('shutdown-timeout', integer(-1, 86_400), 15, 'Seconds that containers get to stop at shutdown', { reloadable: true }),
  setting('storage-driver', text(), '', 'Graph driver to use; its failure is fatal', { short: 's' }),
  setting('storage-opts', list(keyValue), [], 'key=value options of the graph driver', { flag: 'storage-opt' }),
  setting('log-driver', text(), 'json-file', 'Log driver of containers that name none'),
  setting('log-opts', stringMap, {}, 'Options of the default log driver', { flag: 'log-opt' }),
  setting('bridge', text(), 'tsd0', 'Name of the default bridge', { short: 'b' }),
  setting('bip', text(cidrOrEmpty, 'cidr'), '', 'Address of the default bridge, in CIDR form'),
  setting('mtu', integer(0, 65_535), 0, 'MTU of the default network; 0: that of the default route'),
  setting('dns', list(ipAddress), [], 'DNS servers of containers'),
  setting('dns-search', list(), [], 'DNS search domains of containers'),
  setting('dns-opts', list(), [], 'DNS options of containers', { flag: 'dns-opt' }),
  setting('default-address-pools', object(poolsSchema), [], 'Blocks from which networks without a subnet take one', { flag: false }),
  setting('default-runtime', text(), 'native', 'Runtime of containers that name none', { reloadable: true }),
  setting('runtimes', runtimes, {}, 'OCI runtimes by name', { flag: 'add-runtime', reloadable: true }),
  setting('cgroup-parent', text(), '/tsd', 'Parent cgroup of all containers'),
  setting('default-ulimits', ulimits, {}, 'Default ulimits of containers', { flag: 'default-ulimit' }),
  setting('default-shm-size', size, 64 * 1024 * 1024, 'Default size of /dev/shm'),
  setting('seccomp-profile', text(), 'builtin', 'Path of a seccomp profile, builtin or unconfined'),
  setting('init', flag, false, 'Give containers that do not say an init that forwards signals and reaps processes'),
  setting('init-path', text(), '', 'Static program that is this init; empty: the own one'),
  setting('no-new-privileges', flag, false, 'Set no_new_privs in containers by default'),
  setting('drivers', object(driversSchema), {}, 'Choice, priority, options and folders of drivers by kind', { flag: false }),
  setting('plugin-folders', list(absolutePath), [], 'Folders searched for plugins, after the standard ones', { flag: 'plugin-folder' }),
  setting('plugin-sockets', list(absolutePath), ['/run/docker/plugins'], 'Directories searched for sockets of Docker plugins', {
    flag: 'plugin-socket-dir',
  }),
  setting(
    'plugin-specs',
    list(absolutePath),
    ['/etc/docker/plugins', '/usr/lib/docker/plugins'],
    'Directories searched for .spec and .json files of Docker plugins',
    { flag: 'plugin-spec-dir' },
  ),
  setting('registry-mirrors', list(mirrorUrl), [], 'URLs that are asked before Docker Hub', { flag: 'registry-mirror', reloadable: true }),
  setting('insecure-registries', list(insecureRegistry), [], 'HOST[:PORT] or CIDR of registries without (trusted) TLS', {
    flag: 'insecure-registry',
    reloadable: true,
  }),
  setting(
    'registry-certs',
    text(absolutePath, 'path'),
    '/etc/tsd/certs.d',
    "Directory of registries' CAs and client certificates, one below it for each HOST:PORT",
  ),
  setting('max-concurrent-downloads', integer(1, 100), 3, 'Blobs downloaded side by side', { reloadable: true }),
  setting('max-concurrent-uploads', integer(1, 100), 5, 'Blobs uploaded side by side', { reloadable: true }),
  setting('max-download-attempts', integer(1, 100), 5, 'Attempts without progress after which a download fails', { reloadable: true }),
]

/**
 * dockerd's settings that tsd has no use for yet, with the values that change nothing: a file that spells out a default stays usable,
 * one that asks for more is refused by name.
 */
export const dockerdOnly: Readonly<Record<string, readonly unknown[]>> = {
  'allow-nondistributable-artifacts': [[]],
  'api-cors-header': [''],
  'authorization-plugins': [[]],
  builder: [{}],
  'cluster-advertise': [''],
  'cluster-store': [''],
  'cluster-store-opts': [{}],
  'containerd-namespace': ['', 'moby'],
  'containerd-plugin-namespace': ['', 'plugins.moby'],
  'cpu-rt-period': [0],
  'cpu-rt-runtime': [0],
  'default-cgroupns-mode': ['host', 'private'],
  'default-gateway': [''],
  'default-gateway-v6': [''],
  'default-ipc-mode': ['private'],
  'default-network-opts': [{}],
  'exec-opts': [[], ['native.cgroupdriver=cgroupfs']],
  experimental: [false, true],
  features: [{}],
  'fixed-cidr': [''],
  'fixed-cidr-v6': [''],
  icc: [true],
  ip: ['0.0.0.0'],
  ip6tables: [true, false],
  'ip-forward': [true],
  'ip-masq': [true],
  iptables: [true],
  ipv6: [false],
  'metrics-addr': [''],
  'node-generic-resources': [[]],
  'oom-score-adjust': [0],
  'raw-logs': [false, true],
  'selinux-enabled': [false],
  'swarm-default-advertise-addr': [''],
  'userland-proxy': [true, false],
  'userland-proxy-path': [''],
  'userns-remap': [''],
}

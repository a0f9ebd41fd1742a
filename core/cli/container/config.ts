// From the flags of `run` and `create` to the body of POST /containers/create, field by field as the docker CLI sends it.
import fs from 'node:fs'
import { parseDuration } from '../../base/duration.js'
import { parseBinarySize } from '../../base/sizes.js'
import type { ContainerConfig, ContainerCreateBody, HealthConfig, HostConfig, NetworkingConfig } from '../../schema/engine-api.js'
import type { Values } from '../flags.js'
import { UsageError, messageOf } from '../status.js'
import { environmentOf, labelsOf, pairs } from './environment.js'
import { parseMount, parseTmpfs, splitVolumes } from './mounts.js'
import { parseNetworks } from './networks.js'
import { parsePorts } from './ports.js'
import { resourcesOf } from './resources.js'

export interface ContainerRequest {
  body: ContainerCreateBody & { HostConfig: HostConfig; NetworkingConfig: NetworkingConfig }
  attach: { stdin: boolean; stdout: boolean; stderr: boolean }
}

const orNull = (list: string[]): string[] | null => (list.length > 0 ? list : null)

export function containerRequest(values: Values, image: string, command: readonly string[]): ContainerRequest {
  const streams = new Set(values.list('attach').map((s) => s.toLowerCase()))
  const open = values.bool('interactive')
  const attach = {
    stdin: open || streams.has('stdin'),
    stdout: streams.size === 0 || streams.has('stdout'),
    stderr: streams.size === 0 || streams.has('stderr'),
  }
  const resources = resourcesOf(values)
  const { binds, volumes } = splitVolumes(values.list('volume'))
  const mounts = values.list('mount').map(parseMount)
  const tmpfs = parseTmpfs(values.list('tmpfs'))
  const { exposed, bindings } = parsePorts(values.list('publish'), values.list('expose'))
  const modes = namespaceModes(values)
  const restart = restartPolicy(values.string('restart'))
  const logConfig = logging(values)
  const security = securityOf(values.list('security-opt'))
  const health = healthOf(values)
  if (values.bool('rm') && !['no', ''].includes(restart.Name))
    throw new UsageError('conflicting options: cannot specify both --restart and --rm')
  const networks = parseNetworks(values)

  const config: ContainerConfig = {
    Hostname: values.string('hostname'),
    Domainname: values.string('domainname'),
    User: values.string('user'),
    AttachStdin: attach.stdin,
    AttachStdout: attach.stdout,
    AttachStderr: attach.stderr,
    ...(Object.keys(exposed).length > 0 ? { ExposedPorts: exposed } : {}),
    Tty: values.bool('tty'),
    OpenStdin: open,
    StdinOnce: open && attach.stdin,
    Env: orNull(environmentOf(values.list('env-file'), values.list('env'))),
    Cmd: orNull([...command]),
    ...(health ? { Healthcheck: health } : {}),
    Image: image,
    Volumes: volumes,
    WorkingDir: values.string('workdir'),
    Entrypoint: values.has('entrypoint') ? [values.string('entrypoint')] : null,
    OnBuild: null,
    Labels: labelsOf(values.list('label-file'), values.list('label')),
    ...(values.has('stop-signal') ? { StopSignal: values.string('stop-signal') } : {}),
    ...(values.has('stop-timeout') ? { StopTimeout: values.int('stop-timeout') } : {}),
  }
  const { OomKillDisable, ...limits } = resources
  const host: HostConfig = {
    Binds: orNull(binds),
    ContainerIDFile: values.string('cidfile'),
    LogConfig: logConfig,
    NetworkMode: networks.mode,
    PortBindings: bindings,
    RestartPolicy: restart,
    AutoRemove: values.bool('rm'),
    VolumeDriver: values.string('volume-driver'),
    VolumesFrom: orNull(values.list('volumes-from')),
    ConsoleSize: process.stdout.isTTY ? [process.stdout.rows, process.stdout.columns] : [0, 0],
    ...(values.has('annotation') ? { Annotations: pairs(values.list('annotation')) } : {}),
    CapAdd: orNull(capabilities(values.list('cap-add'))),
    CapDrop: orNull(capabilities(values.list('cap-drop'))),
    CgroupnsMode: modes.cgroupns as NonNullable<HostConfig['CgroupnsMode']>,
    Dns: values.list('dns').map((address) => address.trim()),
    DnsOptions: [...values.list('dns-option'), ...values.list('dns-opt')],
    DnsSearch: values.list('dns-search'),
    ExtraHosts: orNull(values.list('add-host').map(extraHost)),
    GroupAdd: orNull(values.list('group-add')),
    IpcMode: values.string('ipc'),
    Cgroup: '',
    Links: orNull(values.list('link')),
    OomScoreAdj: values.int('oom-score-adj'),
    PidMode: modes.pid,
    Privileged: values.bool('privileged'),
    PublishAllPorts: values.bool('publish-all'),
    ReadonlyRootfs: values.bool('read-only'),
    SecurityOpt: security.options,
    ...(values.has('storage-opt') ? { StorageOpt: pairs(values.list('storage-opt')) } : {}),
    ...(Object.keys(tmpfs).length > 0 ? { Tmpfs: tmpfs } : {}),
    UTSMode: modes.uts,
    UsernsMode: modes.userns,
    ShmSize: values.has('shm-size') ? parseBinarySize(values.string('shm-size')) : 0,
    ...(values.has('sysctl') ? { Sysctls: pairs(values.list('sysctl')) } : {}),
    ...(values.has('runtime') ? { Runtime: values.string('runtime') } : {}),
    Isolation: values.string('isolation') as NonNullable<HostConfig['Isolation']>,
    ...limits,
    OomKillDisable,
    ...(mounts.length > 0 ? { Mounts: mounts } : {}),
    MaskedPaths: security.unconfinedPaths ? [] : null,
    ReadonlyPaths: security.unconfinedPaths ? [] : null,
    ...(values.has('init') ? { Init: values.bool('init') } : {}),
  }
  return { body: { ...config, HostConfig: host, NetworkingConfig: { EndpointsConfig: networks.endpoints } }, attach }
}

function namespaceModes(values: Values): { pid: string; uts: string; userns: string; cgroupns: string } {
  const [pid, uts, userns, cgroupns] = ['pid', 'uts', 'userns', 'cgroupns'].map((name) => values.string(name)) as [
    string,
    string,
    string,
    string,
  ]
  if (!['', 'host', 'private'].includes(pid) && !/^container:.+/.test(pid)) throw new UsageError('--pid: invalid PID mode')
  if (!['', 'host', 'private'].includes(uts)) throw new UsageError('--uts: invalid UTS mode')
  if (!['', 'host', 'private'].includes(userns)) throw new UsageError('--userns: invalid USER mode')
  if (!['', 'host', 'private'].includes(cgroupns)) throw new UsageError('--cgroupns: invalid CGROUP mode')
  return { pid, uts, userns, cgroupns }
}

type RestartPolicy = { Name: NonNullable<NonNullable<HostConfig['RestartPolicy']>['Name']>; MaximumRetryCount: number }

export function restartPolicy(text: string): RestartPolicy {
  const [name = '', count, ...more] = text.split(':')
  if (more.length > 0) throw new UsageError('invalid restart policy format: restart policy may contain only one colon')
  if (text !== '' && name === '') throw new UsageError(`invalid restart policy format: no policy provided before colon`)
  if (count !== undefined && !/^[+-]?\d+$/.test(count))
    throw new UsageError('invalid restart policy format: maximum retry count must be an integer')
  return { Name: name as RestartPolicy['Name'], MaximumRetryCount: Number(count ?? 0) }
}

function logging(values: Values): NonNullable<HostConfig['LogConfig']> {
  const options = pairs(values.list('log-opt'))
  const type = values.string('log-driver')
  if (type === 'none' && Object.keys(options).length > 0) throw new UsageError(`invalid logging opts for driver ${type}`)
  return { Type: type as NonNullable<NonNullable<HostConfig['LogConfig']>['Type']>, Config: options }
}

/** A seccomp profile travels as its text; `systempaths` turns into the two path lists. */
function securityOf(given: readonly string[]): { options: string[] | null; unconfinedPaths: boolean } {
  const options: string[] = []
  let unconfinedPaths = false
  for (const option of given) {
    const [, name = option, separator, value = ''] = /^([^=:]+)([=:])([^]*)$/.exec(option) ?? []
    if (separator === undefined && option !== 'no-new-privileges') throw new UsageError(`Invalid --security-opt: ${JSON.stringify(option)}`)
    if (option === 'systempaths=unconfined') unconfinedPaths = true
    else if (name === 'seccomp' && !['unconfined', 'builtin'].includes(value)) options.push(`seccomp=${profile(value)}`)
    else options.push(option)
  }
  return { options: given.length === 0 ? null : options, unconfinedPaths }
}

function profile(file: string): string {
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch {
    throw new UsageError(`opening seccomp profile (${file}) failed: open ${file}: no such file or directory`)
  }
  try {
    return JSON.stringify(JSON.parse(text))
  } catch (error) {
    throw new UsageError(`compacting json for seccomp profile (${file}) failed: ${messageOf(error)}`)
  }
}

function healthOf(values: Values): HealthConfig | undefined {
  const names = ['health-cmd', 'health-interval', 'health-timeout', 'health-start-period', 'health-start-interval', 'health-retries']
  const given = names.some((name) => values.has(name))
  if (values.bool('no-healthcheck')) {
    if (given) throw new UsageError('--no-healthcheck conflicts with --health-* options')
    return { Test: ['NONE'] }
  }
  if (!given) return undefined
  const time = (name: string): number => {
    const duration = parseDuration(values.string(name) || '0')
    if (duration < 0n) throw new UsageError(`--${name} cannot be negative`)
    return Number(duration)
  }
  const retries = values.int('health-retries')
  if (retries < 0) throw new UsageError('--health-retries cannot be negative')
  const [interval, timeout, period, startInterval] = names.slice(1, 5).map(time) as [number, number, number, number]
  return {
    ...(values.string('health-cmd') ? { Test: ['CMD-SHELL', values.string('health-cmd')] } : {}),
    ...(interval ? { Interval: interval } : {}),
    ...(timeout ? { Timeout: timeout } : {}),
    ...(period ? { StartPeriod: period } : {}),
    ...(startInterval ? { StartInterval: startInterval } : {}),
    ...(retries ? { Retries: retries } : {}),
  }
}

/** `--cap-add net_admin` is CAP_NET_ADMIN to the engine. */
function capabilities(names: readonly string[]): string[] {
  const full = names.map((name) => {
    const upper = name.trim().toUpperCase()
    return upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  })
  return full.includes('ALL') ? ['ALL'] : [...new Set(full)].sort()
}

function extraHost(value: string): string {
  const [, host, address] = /^([^=:]*)[=:]([^]*)$/.exec(value) as RegExpExecArray
  return `${host}:${(address as string).replace(/^\[(.*)\]$/, '$1')}`
}

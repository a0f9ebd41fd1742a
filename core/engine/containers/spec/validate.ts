import type { ContainerConfig, HostConfig } from '../../../schema/engine-api.js'
import { invalidParameter } from '../../../sdk/errors.js'
import { parseSignal } from '../signals.js'
import { normaliseCapabilities } from './capabilities.js'
import { commandOf } from './process.js'
import { checkHealthcheck } from './healthcheck.js'
import type { HostFacts } from './input.js'
import { checkDevicePaths, checkLimits } from './limits.js'
import { cgroupnsMode, ipcMode, networkMode, pidMode, utsMode, usernsMode } from './modes.js'
import { tmpfsOptions } from './mounts.js'
import { sysctlNamespace } from './namespaces.js'
import { checkSecurity, securityOptions } from './security.js'

const clean = (path: string): boolean => path.startsWith('/') && !path.split('/').includes('..')

function checkConfig(config: ContainerConfig): void {
  checkHealthcheck(config)
  commandOf(config)
  if (config.WorkingDir && !config.WorkingDir.startsWith('/'))
    throw invalidParameter(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`)
  for (const entry of config.Env ?? [])
    if (entry === '' || entry.startsWith('=') || entry.includes('\0')) throw invalidParameter(`invalid environment variable: ${entry}`)
  for (const text of [...(config.Cmd ?? []), ...(config.Entrypoint ?? [])])
    if (text.includes('\0')) throw invalidParameter('invalid command: NUL bytes are not allowed')
  for (const [field, name] of [
    ['hostname', config.Hostname ?? ''],
    ['domain name', config.Domainname ?? ''],
  ] as const)
    if (name.length > 64 || /[\0/\s]/.test(name))
      throw invalidParameter(`invalid ${field} "${name}": at most 64 characters, without spaces and slashes`)
  if (config.StopSignal) parseSignal(config.StopSignal)
  if (config.StopTimeout !== undefined && config.StopTimeout !== null && config.StopTimeout < -1)
    throw invalidParameter(`invalid stop timeout: ${config.StopTimeout}`)
}

/** Docker's words: clients and their tests match on them. */
function checkNetworkMode(config: ContainerConfig, host: HostConfig): void {
  const mode = networkMode(host.NetworkMode)
  if (utsMode(host.UTSMode).kind === 'host' && config.Hostname) throw invalidParameter('conflicting options: hostname and the UTS mode')
  if (mode.kind === 'host' && host.Links?.length)
    throw invalidParameter("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
  if (mode.kind !== 'container') return
  const conflicts: [unknown, string][] = [
    [config.Hostname, 'conflicting options: hostname and the network mode'],
    [host.Links?.length, "conflicting options: container type network can't be used with links. This would result in undefined behavior"],
    [host.Dns?.length, 'conflicting options: dns and the network mode'],
    [host.ExtraHosts?.length, 'conflicting options: custom host-to-IP mapping and the network mode'],
    [config.MacAddress, 'conflicting options: mac-address and the network mode'],
    [
      Object.keys(host.PortBindings ?? {}).length || host.PublishAllPorts,
      'conflicting options: port publishing and the container type network mode',
    ],
    [Object.keys(config.ExposedPorts ?? {}).length, 'conflicting options: port exposing and the container type network mode'],
  ]
  for (const [set, message] of conflicts) if (set) throw invalidParameter(message)
}

function checkSysctls(host: HostConfig): void {
  const shared = {
    network: networkMode(host.NetworkMode).kind === 'host',
    ipc: ipcMode(host.IpcMode).kind === 'host',
    uts: utsMode(host.UTSMode).kind === 'host',
  }
  for (const key of Object.keys(host.Sysctls ?? {})) {
    if (!/^[a-zA-Z0-9_][a-zA-Z0-9_./:-]*$/.test(key) || key.split('/').includes('..')) throw invalidParameter(`invalid sysctl "${key}"`)
    const namespace = sysctlNamespace(key)
    if (!namespace) throw invalidParameter(`sysctl "${key}" is not in a separate kernel namespace`)
    if (shared[namespace]) throw invalidParameter(`sysctl "${key}" not allowed in host ${namespace} namespace`)
  }
}

export function checkRestart({ RestartPolicy, AutoRemove }: Pick<HostConfig, 'RestartPolicy' | 'AutoRemove'>): void {
  const { Name = '', MaximumRetryCount = 0 } = RestartPolicy ?? {}
  switch (Name) {
    case '':
    case 'no':
    case 'always':
    case 'unless-stopped':
      if (MaximumRetryCount !== 0) throw invalidParameter("invalid restart policy: maximum retry count can only be used with 'on-failure'")
      break
    case 'on-failure':
      if (MaximumRetryCount < 0) throw invalidParameter('invalid restart policy: maximum retry count cannot be negative')
      break
    default:
      throw invalidParameter(
        `invalid restart policy: unknown policy '${String(Name)}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
      )
  }
  if (AutoRemove && Name !== '' && Name !== 'no') throw invalidParameter("can't create 'AutoRemove' container with restart policy")
}

function checkExtraHosts(host: HostConfig): void {
  for (const entry of host.ExtraHosts ?? []) {
    const [, name, address] = /^([^:]+):(.+)$/.exec(entry) ?? []
    if (!name || !address) throw invalidParameter(`bad format for add-host: "${entry}"`)
    if (address !== 'host-gateway' && !/^(\d{1,3}(\.\d{1,3}){3}|\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?)$/.test(address))
      throw invalidParameter(`invalid IP address in add-host: "${address}"`)
  }
}

function checkPaths(host: HostConfig): void {
  for (const [destination, options] of Object.entries(host.Tmpfs ?? {})) {
    if (!clean(destination) || destination === '/')
      throw invalidParameter(`invalid mount path: '${destination}' mount path must be absolute`)
    tmpfsOptions(options)
  }
  for (const path of [...(host.MaskedPaths ?? []), ...(host.ReadonlyPaths ?? [])])
    if (!clean(path)) throw invalidParameter(`invalid path "${path}": masked and read-only paths must be absolute, without ..`)
  if (host.CgroupParent && (host.CgroupParent.split('/').includes('..') || !/^[\w./@:-]+$/.test(host.CgroupParent)))
    throw invalidParameter(`invalid cgroup parent "${host.CgroupParent}"`)
}

/**
 * Checks a container at create: everything that can be refused without the image's files, volumes and networks.
 * `config` is merged with the image's. Answers the warnings for the client.
 */
export function validateContainer(config: ContainerConfig, host: HostConfig, facts: HostFacts): string[] {
  const warnings: string[] = []
  checkConfig(config)
  checkNetworkMode(config, host)
  if (networkMode(host.NetworkMode).kind === 'host' && Object.keys(host.PortBindings ?? {}).length > 0)
    warnings.push('Published ports are discarded when using host network mode')
  pidMode(host.PidMode)
  usernsMode(host.UsernsMode)
  cgroupnsMode(host.CgroupnsMode, facts.cgroupVersion)
  checkSysctls(host)
  normaliseCapabilities(host.CapAdd, 'CapAdd')
  normaliseCapabilities(host.CapDrop, 'CapDrop')
  checkSecurity(securityOptions(host.SecurityOpt), facts.apparmor)
  checkLimits(host, facts, warnings)
  checkDevicePaths(host)
  checkPaths(host)
  checkExtraHosts(host)
  checkRestart(host)
  const { OomScoreAdj = 0, ShmSize = 0 } = host
  if (OomScoreAdj < -1000 || OomScoreAdj > 1000)
    throw invalidParameter(`Invalid value ${OomScoreAdj}, range for oom score adj is [-1000, 1000]`)
  if (ShmSize < 0) throw invalidParameter('SHM size can not be less than 0')
  if (host.Isolation && host.Isolation !== 'default')
    throw invalidParameter(`invalid isolation (${host.Isolation}): linux supports only default`)
  if (Object.hasOwn(host.Annotations ?? {}, ''))
    throw invalidParameter('invalid Annotations: the empty string is not permitted as an annotation key')
  return warnings
}

import { invalidParameter } from '../../../sdk/errors.js'
import type { OciNamespaceType, OciSpec } from '../../../sdk/oci.js'
import type { SpecInput } from './input.js'
import { cgroupnsMode, ipcMode, networkMode, pidMode, utsMode, usernsMode, type NamespaceMode } from './modes.js'

type Namespace = OciSpec['linux']['namespaces'][number]

function namespace(type: OciNamespaceType, mode: NamespaceMode, path: string | undefined): Namespace[] {
  switch (mode.kind) {
    case 'host':
      return []
    case 'container':
      if (!path) throw invalidParameter(`cannot join the ${type} namespace of container ${mode.reference}: it is not running`)
      return [{ type, path }]
    default:
      return path ? [{ type, path }] : [{ type }]
  }
}

export function buildNamespaces({ hostConfig, facts, join }: SpecInput): Namespace[] {
  usernsMode(hostConfig.UsernsMode)
  return [
    { type: 'mount' },
    ...namespace('network', networkMode(hostConfig.NetworkMode), join.network),
    ...namespace('uts', utsMode(hostConfig.UTSMode), join.uts),
    ...namespace('pid', pidMode(hostConfig.PidMode), join.pid),
    ...namespace('ipc', ipcMode(hostConfig.IpcMode), join.ipc),
    ...namespace('cgroup', cgroupnsMode(hostConfig.CgroupnsMode, facts.cgroupVersion), undefined),
  ]
}

/** Which namespace a sysctl belongs to; undefined: it is the whole host's. */
export function sysctlNamespace(key: string): 'ipc' | 'network' | 'uts' | undefined {
  const name = key.replaceAll('/', '.')
  if (name.startsWith('net.')) return 'network'
  if (name.startsWith('fs.mqueue.')) return 'ipc'
  if (name === 'kernel.domainname') return 'uts'
  if (
    [
      'kernel.msgmax',
      'kernel.msgmnb',
      'kernel.msgmni',
      'kernel.sem',
      'kernel.shmall',
      'kernel.shmmax',
      'kernel.shmmni',
      'kernel.shm_rmid_forced',
    ].includes(name)
  )
    return 'ipc'
  return undefined
}

/** Ports below 1024 and ping need no capability inside a network namespace of one's own. */
const NETWORK_DEFAULTS = { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' }

export function buildSysctls({ hostConfig }: Pick<SpecInput, 'hostConfig'>): Record<string, string> {
  const network = networkMode(hostConfig.NetworkMode)
  const own = network.kind === 'private' || network.kind === 'none'
  return { ...(own ? NETWORK_DEFAULTS : {}), ...hostConfig.Sysctls }
}

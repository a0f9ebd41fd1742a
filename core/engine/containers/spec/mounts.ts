import { invalidParameter } from '../../../sdk/errors.js'
import type { OciMount } from '../../../sdk/oci.js'
import { initMount } from './init.js'
import type { ResolvedMount, SpecInput } from './input.js'
import { cgroupnsMode, ipcMode } from './modes.js'
import { securityOptions } from './security.js'

const PROPAGATIONS = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])
const DEFAULT_SHM_SIZE = 64 << 20

const flagOptions = new Set(
  'ro rw exec noexec suid nosuid dev nodev sync async dirsync atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime'.split(
    ' ',
  ),
)
const valueOptions =
  /^(size=\d+[kKmMgG%]?|mode=[0-7]{3,4}|uid=\d+|gid=\d+|nr_inodes=\d+[kKmMgG]?|nr_blocks=\d+[kKmMgG]?|mpol=[\w:=,^-]+|huge=\w+)$/

/** The options of `--tmpfs /path:options`, over Docker's defaults. */
export function tmpfsOptions(text: string): string[] {
  const options = new Map([
    ['exec', 'noexec'],
    ['suid', 'nosuid'],
    ['dev', 'nodev'],
  ])
  for (const option of text.split(',').filter((item) => item !== '')) {
    if (!flagOptions.has(option) && !valueOptions.test(option) && !PROPAGATIONS.has(option))
      throw invalidParameter(`invalid tmpfs option ["${option}"]`)
    if (PROPAGATIONS.has(option)) throw invalidParameter(`invalid tmpfs option ["${option}"]`)
    const key = option.includes('=')
      ? option.slice(0, option.indexOf('='))
      : option.replace(/^no(?=exec|suid|dev|atime|diratime|relatime|strictatime)/, '')
    options.set(key === 'rw' ? 'ro' : key === 'async' ? 'sync' : key, option)
  }
  return [...options.values()]
}

function bind(mount: ResolvedMount): OciMount {
  const propagation = mount.propagation || 'rprivate'
  if (!PROPAGATIONS.has(propagation))
    throw invalidParameter(`invalid mount config for type "${mount.type}": invalid propagation mode: ${propagation}`)
  const options = [mount.nonRecursive ? 'bind' : 'rbind', propagation]
  if (mount.readonly) {
    options.push('ro')
    // Submounts become read-only as well, as Docker does where the kernel can.
    if (!mount.nonRecursive && !mount.readonlyNonRecursive) options.push('rro')
  }
  return { destination: mount.destination, type: 'bind', source: mount.source, options }
}

type OwnInput = Pick<SpecInput, 'mounts' | 'files' | 'hostConfig'>

function userMounts({ mounts, hostConfig }: OwnInput): OciMount[] {
  const list = mounts.map((mount): OciMount => {
    if (mount.type !== 'tmpfs') return bind(mount)
    return {
      destination: mount.destination,
      type: 'tmpfs',
      source: 'tmpfs',
      options: [...(mount.options ?? tmpfsOptions('')), ...(mount.readonly ? ['ro'] : [])],
    }
  })
  for (const [destination, options] of Object.entries(hostConfig.Tmpfs ?? {}))
    list.push({ destination, type: 'tmpfs', source: 'tmpfs', options: tmpfsOptions(options) })
  return list
}

function fileMounts({ files, mounts, hostConfig }: OwnInput): OciMount[] {
  const taken = new Set(mounts.map((mount) => mount.destination))
  const access = hostConfig.ReadonlyRootfs ? ['ro'] : []
  return (
    [
      ['/etc/resolv.conf', files.resolvConf],
      ['/etc/hostname', files.hostname],
      ['/etc/hosts', files.hosts],
    ] as const
  ).flatMap(([destination, source]) =>
    source && !taken.has(destination) ? [{ destination, type: 'bind', source, options: ['bind', 'rprivate', ...access] }] : [],
  )
}

function systemMounts(input: SpecInput): OciMount[] {
  const { hostConfig, facts } = input
  const privileged = hostConfig.Privileged === true
  const writableCgroups = privileged || securityOptions(hostConfig.SecurityOpt).writableCgroups === true
  cgroupnsMode(hostConfig.CgroupnsMode, facts.cgroupVersion)
  const access = (writable: boolean) => (writable ? [] : ['ro'])
  const list: OciMount[] = [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', ...access(privileged)] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', ...access(writableCgroups)] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  ]
  const shm = sharedMemory(input)
  if (shm) list.push(shm)
  return list
}

function sharedMemory({ hostConfig, daemon, shmPath }: SpecInput): OciMount | undefined {
  const mode = ipcMode(hostConfig.IpcMode)
  if (mode.kind === 'none') return undefined
  const destination = '/dev/shm'
  const source = mode.kind === 'host' ? '/dev/shm' : shmPath
  if (source && mode.kind !== 'private') return { destination, type: 'bind', source, options: ['rbind', 'rprivate'] }
  const size = hostConfig.ShmSize || daemon.defaultShmSize || DEFAULT_SHM_SIZE
  return { destination, type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${size}`] }
}

const depth = (path: string): number => path.split('/').filter((part) => part !== '').length

/** From the root outwards. Docker orders mounts by the number of path components, which keeps equals in the order given. */
const inOrder = (mounts: OciMount[]): OciMount[] => mounts.sort((a, b) => depth(a.destination) - depth(b.destination))

/** The user's, and those of the engine's files. */
export const ownMounts = (input: OwnInput): OciMount[] => inOrder([...fileMounts(input), ...userMounts(input)])

/** System mounts, then everything else from the root outwards; a mount of the user replaces the system's at the same place. */
export function buildMounts(input: SpecInput): OciMount[] {
  const own = inOrder([...fileMounts(input), ...initMount(input), ...userMounts(input)])
  const replaced = new Set(own.map((mount) => mount.destination))
  const system = systemMounts(input).filter(
    (mount) => !replaced.has(mount.destination) && !(mount.destination.startsWith('/dev/') && replaced.has('/dev')),
  )
  return [...system, ...own]
}

import os from 'node:os'
import { CAPABILITIES, readCgroupLayout } from '../../../native/index.js'
import type { Finding, Machine } from './finding.js'
import { finding, yes } from './finding.js'

export function kernelFindings(machine: Machine): Finding[] {
  return [
    version(machine),
    root(machine),
    ...namespaces(machine),
    seccomp(machine),
    ...cgroups(machine),
    security(machine),
    keys(machine),
    pids(machine),
  ]
}

function version(machine: Machine): Finding {
  const release = (machine.read('/proc/sys/kernel/osrelease') ?? os.release()).trim()
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10))
  const recent = major > 5 || (major === 5 && minor >= 3)
  return finding('kernel', 'all', yes(recent), release, 'Linux 5.3 or newer is needed (clone3, pidfds, fsopen and move_mount)', true)
}

/** What the daemon uses of root's power; a container's root VM may hold less. */
const needed = [
  'CAP_SYS_ADMIN',
  'CAP_NET_ADMIN',
  'CAP_MKNOD',
  'CAP_SETUID',
  'CAP_SETGID',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_SYS_CHROOT',
  'CAP_SETPCAP',
  'CAP_KILL',
  'CAP_SYS_PTRACE',
]

function root(machine: Machine): Finding {
  const way = "run the daemon as root; 'sudo tsd doctor' checks the rest"
  if (!machine.root) return finding('root', 'all', 'unproven', 'not root: nothing that needs root was checked', way)
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(machine.read('/proc/self/status') ?? '')?.[1] ?? '0'}`)
  const lacks = needed.filter((name) => (mask & (1n << BigInt(CAPABILITIES.indexOf(name as (typeof CAPABILITIES)[number])))) === 0n)
  return finding(
    'root',
    'all',
    yes(lacks.length === 0),
    lacks.length === 0 ? 'with every capability that is used' : `without ${lacks.join(', ')}`,
    'run tsd outside of the container that takes them away',
    true,
  )
}

function namespaces(machine: Machine): Finding[] {
  const all = ['mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup']
  const lacks = all.filter((name) => !machine.exists(`/proc/self/ns/${name}`))
  const user = machine.exists('/proc/self/ns/user')
  const most = Number(machine.read('/proc/sys/user/max_user_namespaces') ?? 0)
  const unprivileged = machine.read('/proc/sys/kernel/unprivileged_userns_clone')?.trim() === '0' ? '; root only' : ''
  const userDetail = !user ? 'not in this kernel' : most === 0 ? 'user.max_user_namespaces is 0' : `at most ${most}${unprivileged}`
  return [
    finding(
      'namespaces',
      'all',
      yes(lacks.length === 0),
      lacks.length === 0 ? all.join(' ') : `without ${lacks.join(' ')}`,
      'a kernel with CONFIG_NAMESPACES and its parts',
      true,
    ),
    finding('user namespaces', '--userns, rootless images', yes(user && most > 0), userDetail, 'sysctl -w user.max_user_namespaces=15000'),
  ]
}

function seccomp(machine: Machine): Finding {
  const actions = machine.read('/proc/sys/kernel/seccomp/actions_avail')?.trim()
  const filter = actions !== undefined && actions.includes('errno')
  return finding(
    'seccomp',
    'exec native, oci',
    yes(filter),
    actions ?? 'not in this kernel',
    'a kernel with CONFIG_SECCOMP_FILTER, or --security-opt seccomp=unconfined',
  )
}

const wanted = ['cpu', 'cpuset', 'memory', 'pids', 'devices', 'freezer', 'blkio']

function cgroups(machine: Machine): Finding[] {
  let layout: ReturnType<typeof readCgroupLayout>
  try {
    layout = readCgroupLayout()
  } catch {
    layout = undefined
  }
  const mountIt = 'mount them: mount -t cgroup2 none /sys/fs/cgroup, or Debian package cgroupfs-mount'
  if (!layout) return [finding('cgroups', 'exec', 'missing', 'none are mounted', mountIt, true)]
  if (layout.version === 2) {
    const here = layout.controllers
    const lacks = ['cpu', 'cpuset', 'memory', 'pids', 'io'].filter((name) => !here.includes(name))
    return [
      finding(
        'cgroups',
        'exec',
        'unproven',
        'v2: written and unit-tested, and not yet run on such a machine',
        'boot with systemd.unified_cgroup_hierarchy=0 for the proven v1 path',
        true,
      ),
      finding(
        'cgroup controllers',
        'limits of containers',
        yes(lacks.length === 0),
        lacks.length === 0 ? here.join(' ') : `without ${lacks.join(' ')}`,
        'enable them in the kernel, or in cgroup.subtree_control of the root',
      ),
    ]
  }
  const hybrid =
    machine.exists('/sys/fs/cgroup/unified/cgroup.procs') || (machine.read('/proc/self/mountinfo') ?? '').includes(' - cgroup2 ')
  const here = layout.hierarchies.flatMap((h) => h.controllers)
  const lacks = wanted.filter((name) => !here.includes(name))
  return [
    finding('cgroups', 'exec', 'works', hybrid ? 'v1, hybrid (v2 is mounted beside it)' : 'v1', '', true),
    finding(
      'cgroup controllers',
      'limits of containers',
      yes(lacks.length === 0),
      lacks.length === 0 ? here.filter((c) => !c.startsWith('name=')).join(' ') : `without ${lacks.join(' ')}`,
      `mount them, e.g. mount -t cgroup -o ${lacks[0]} none /sys/fs/cgroup/${lacks[0]}`,
    ),
  ]
}

function security(machine: Machine): Finding {
  const apparmor = machine.read('/sys/module/apparmor/parameters/enabled')?.trim() === 'Y'
  const enforce = machine.read('/sys/fs/selinux/enforce')?.trim()
  const parts = [apparmor ? 'AppArmor on: containers run unconfined by it unless --security-opt apparmor=PROFILE' : 'AppArmor off']
  parts.push(enforce === undefined ? 'SELinux off' : enforce === '1' ? 'SELinux enforcing' : 'SELinux permissive')
  return finding(
    'security modules',
    '--security-opt',
    enforce === '1' ? 'unproven' : 'works',
    parts.join('; '),
    'label the data root, or use permissive mode (setenforce 0)',
  )
}

function keys(machine: Machine): Finding {
  const most = machine.read('/proc/sys/kernel/keys/maxkeys')?.trim()
  const root = machine.read('/proc/sys/kernel/keys/root_maxkeys')?.trim()
  if (most === undefined) return finding('kernel keys', 'exec oci', 'unproven', 'no key service in this kernel', '')
  return finding(
    'kernel keys',
    'exec oci (one session keyring each)',
    yes(Number(most) >= 100),
    `at most ${most} a user, ${root} for root`,
    'sysctl -w kernel.keys.maxkeys=2000 kernel.keys.maxbytes=2000000',
  )
}

function pids(machine: Machine): Finding {
  const pidMax = Number(machine.read('/proc/sys/kernel/pid_max') ?? 0)
  const threads = Number(machine.read('/proc/sys/kernel/threads-max') ?? 0)
  return finding(
    'process limits',
    'many containers',
    yes(pidMax >= 4096 && threads >= 4096),
    `pid_max ${pidMax}, threads-max ${threads}`,
    'sysctl -w kernel.pid_max=4194304 kernel.threads-max=100000',
  )
}

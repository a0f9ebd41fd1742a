/** Where the machine's cgroup hierarchies are mounted. */
import fs from 'node:fs'

export interface CgroupHierarchy {
  /** Mount point, e.g. `/sys/fs/cgroup/cpu,cpuacct`. */
  dir: string
  /** Last component of the mount point. */
  name: string
  /** `memory`, `cpu` ...; `name=systemd` for a hierarchy without controllers. */
  controllers: string[]
}

export type CgroupLayout = { version: 1; hierarchies: CgroupHierarchy[] } | { version: 2; dir: string; controllers: string[] }

const V1_CONTROLLERS = new Set(
  'blkio cpu cpuacct cpuset devices freezer hugetlb memory misc net_cls net_prio perf_event pids rdma'.split(' '),
)

const unescape = (field: string) => field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** From the text of /proc/self/mountinfo. A machine with any v1 controller is version 1, as container runtimes see hybrids. */
export function parseCgroupLayout(mountinfo: string): CgroupLayout | undefined {
  const hierarchies: CgroupHierarchy[] = []
  let unified: string | undefined
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [type, , options = ''] = after.split(' ')
    const dir = unescape(before.split(' ')[4] ?? '')
    if (type === 'cgroup2') unified ??= dir
    if (type !== 'cgroup') continue
    const controllers = options.split(',').filter((option) => V1_CONTROLLERS.has(option) || option.startsWith('name='))
    if (controllers.length > 0 && !hierarchies.some((other) => other.controllers.join() === controllers.join()))
      hierarchies.push({ dir, name: dir.slice(dir.lastIndexOf('/') + 1), controllers })
  }
  if (hierarchies.some(({ controllers }) => controllers.some((name) => !name.startsWith('name=')))) return { version: 1, hierarchies }
  return unified === undefined ? undefined : { version: 2, dir: unified, controllers: [] }
}

/** Looks at the machine; undefined when no cgroup file system is mounted. */
export function readCgroupLayout(): CgroupLayout | undefined {
  const layout = parseCgroupLayout(fs.readFileSync('/proc/self/mountinfo', 'utf8'))
  if (layout?.version === 2) {
    const text = fs.readFileSync(`${layout.dir}/cgroup.controllers`, 'utf8')
    return { ...layout, controllers: text.trim().split(' ') }
  }
  return layout
}

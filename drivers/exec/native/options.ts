/** mount(8) options of the OCI runtime spec, as flags of mount(2) and mount_setattr(2). */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  MANDLOCK: 64,
  DIRSYNC: 128,
  NOSYMFOLLOW: 256,
  NOATIME: 1024,
  NODIRATIME: 2048,
  BIND: 4096,
  REC: 16384,
  SILENT: 32768,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
  STRICTATIME: 1 << 24,
  LAZYTIME: 1 << 25,
} as const

export const MOUNT_ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  ATIME: 0x70,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x200000,
} as const

/** Option -> mount(2) flag, mount attribute to set, attributes to clear. */
const table: Record<string, { flag?: number; set?: number; clear?: number }> = {
  defaults: {},
  ro: { flag: MS.RDONLY, set: MOUNT_ATTR.RDONLY },
  rw: { clear: MOUNT_ATTR.RDONLY },
  nosuid: { flag: MS.NOSUID, set: MOUNT_ATTR.NOSUID },
  suid: { clear: MOUNT_ATTR.NOSUID },
  nodev: { flag: MS.NODEV, set: MOUNT_ATTR.NODEV },
  dev: { clear: MOUNT_ATTR.NODEV },
  noexec: { flag: MS.NOEXEC, set: MOUNT_ATTR.NOEXEC },
  exec: { clear: MOUNT_ATTR.NOEXEC },
  noatime: { flag: MS.NOATIME, set: MOUNT_ATTR.NOATIME, clear: MOUNT_ATTR.ATIME },
  atime: { clear: MOUNT_ATTR.ATIME },
  relatime: { flag: MS.RELATIME, clear: MOUNT_ATTR.ATIME },
  norelatime: {},
  strictatime: { flag: MS.STRICTATIME, set: MOUNT_ATTR.STRICTATIME, clear: MOUNT_ATTR.ATIME },
  nostrictatime: { clear: MOUNT_ATTR.ATIME },
  nodiratime: { flag: MS.NODIRATIME, set: MOUNT_ATTR.NODIRATIME },
  diratime: { clear: MOUNT_ATTR.NODIRATIME },
  nosymfollow: { flag: MS.NOSYMFOLLOW, set: MOUNT_ATTR.NOSYMFOLLOW },
  symfollow: { clear: MOUNT_ATTR.NOSYMFOLLOW },
  sync: { flag: MS.SYNCHRONOUS },
  async: {},
  dirsync: { flag: MS.DIRSYNC },
  lazytime: { flag: MS.LAZYTIME },
  nolazytime: {},
  mand: { flag: MS.MANDLOCK },
  nomand: {},
  silent: { flag: MS.SILENT },
  loud: {},
  remount: { flag: MS.REMOUNT },
}

const propagations: Record<string, number> = {
  private: MS.PRIVATE,
  rprivate: MS.PRIVATE | MS.REC,
  shared: MS.SHARED,
  rshared: MS.SHARED | MS.REC,
  slave: MS.SLAVE,
  rslave: MS.SLAVE | MS.REC,
  unbindable: MS.UNBINDABLE,
  runbindable: MS.UNBINDABLE | MS.REC,
}

export interface MountOptions {
  bind: boolean
  recursive: boolean
  flags: number
  propagation: number
  /** Mount attributes for this mount alone. */
  set: number
  clear: number
  /** Mount attributes for it and every mount below. */
  recursiveSet: number
  recursiveClear: number
  /** What the file system itself is given. */
  data: string[]
  /** Options that name features this driver does not have. */
  refused: string[]
}

export function parseMountOptions(options: readonly string[] = []): MountOptions {
  const result: MountOptions = {
    bind: false,
    recursive: false,
    flags: 0,
    propagation: 0,
    set: 0,
    clear: 0,
    recursiveSet: 0,
    recursiveClear: 0,
    data: [],
    refused: [],
  }
  for (const option of options) {
    const known = table[option]
    const recursive = option.startsWith('r') ? table[option.slice(1)] : undefined
    if (option === 'bind') result.bind = true
    else if (option === 'rbind') result.bind = result.recursive = true
    else if (known) {
      result.flags |= known.flag ?? 0
      result.set = (result.set & ~(known.clear ?? 0)) | (known.set ?? 0)
      result.clear |= known.clear ?? 0
      if (option === 'rw' || option === 'suid' || option === 'dev' || option === 'exec')
        result.flags &= ~(table[`no${option}`]?.flag ?? MS.RDONLY)
    } else if (propagations[option] !== undefined) result.propagation = propagations[option]
    else if (recursive && option !== 'remount') {
      result.recursiveSet |= recursive.set ?? 0
      result.recursiveClear |= recursive.clear ?? 0
    } else if (['idmap', 'ridmap', 'tmpcopyup', 'copy-symlink'].includes(option)) result.refused.push(option)
    else result.data.push(option)
  }
  return result
}

/**
 * The one table of plan operations. TypeScript's op types, the encoder and the C header (generate-header.mjs) all come from it.
 *
 * Phases:
 *   setup   what the shim itself needs (made by the Spawner from the ShimSpec; exec drivers may add `watchOom`)
 *   host    in the shim or a helper, in the daemon's namespaces, before any clone
 *   clone   how the child is made (at most one `clone`; absent for helpers and for adopted processes)
 *   parent  in the shim while the child exists; `pidAt`, `writePid` and `of: 'child'` know the child's pid
 *   child   in the new process, in order, until `exec`
 *
 * Fields: str (any byte but NUL), bytes, u32, i32, u64, bool, slot (0..63, an fd kept between ops), strs, u32s, enum:a|b.
 * A `?` makes a field optional: 0, false, empty, slot none, the first name of the enum.
 * Every op takes `ignore: errno[]`: those failures count as success. Codes are wire format: never reuse one.
 */
export const opTable = {
  // setup
  shim: { code: 1, in: 's', fields: { id: 'str', dir: 'str' } },
  stdio: {
    code: 2,
    in: 's',
    fields: { terminal: 'bool?', height: 'u32?', width: 'u32?', openStdin: 'bool?', stdinOnce: 'bool?', stream: 'bool?' },
  },
  /** `attrs`: JSON object text with Go's escapes, or empty; json-file only. maxSize 0: never rotate. */
  sinkFile: {
    code: 3,
    in: 's',
    fields: { path: 'str', attrs: 'str?', maxSize: 'u64?', maxFile: 'u32?', format: 'enum?:json-file|local' },
  },
  sinkFifo: { code: 4, in: 's', fields: { path: 'str', blocking: 'bool?', bufferSize: 'u64?' } },
  /** v1: the memory cgroup's directory (eventfd on memory.oom_control); v2: the cgroup's directory (memory.events). Opened after the host phase. */
  watchOom: { code: 5, in: 's', fields: { path: 'str', version: 'enum:v1|v2' } },

  // files
  mkdir: { code: 10, in: 'hpc', fields: { path: 'str', mode: 'u32?', parents: 'bool?' } },
  /** One write(2). Without `create` the file must exist. */
  write: { code: 11, in: 'hpc', fields: { path: 'str', data: 'bytes', create: 'bool?', append: 'bool?', mode: 'u32?' } },
  /** The child's pid in decimal. */
  writePid: { code: 12, in: 'p', fields: { path: 'str', create: 'bool?' } },
  /** EBUSY and ENOTEMPTY are retried for `retryMs`. */
  rmdir: { code: 13, in: 'hp', fields: { path: 'str', retryMs: 'u32?' } },
  unlink: { code: 14, in: 'hp', fields: { path: 'str' } },
  rename: { code: 15, in: 'hp', fields: { from: 'str', to: 'str' } },
  chown: { code: 16, in: 'hp', fields: { path: 'str', uid: 'u32', gid: 'u32' } },
  chmod: { code: 17, in: 'hp', fields: { path: 'str', mode: 'u32' } },
  /** Appends up to `max` bytes of the file to the output. */
  readFile: { code: 18, in: 'hp', fields: { path: 'str', max: 'u32' } },
  /** Appends a record for decodeStat() to the output. */
  stat: { code: 19, in: 'h', fields: { path: 'str', follow: 'bool?' } },
  /** Appends a record for decodeStatfs() to the output. */
  statfs: { code: 20, in: 'h', fields: { path: 'str' } },
  symlink: { code: 21, in: 'hp', fields: { target: 'str', path: 'str' } },

  // mounts, by host path
  mount: { code: 30, in: 'hpc', fields: { source: 'str?', target: 'str', fstype: 'str?', flags: 'u32?', data: 'str?' } },
  umount: { code: 31, in: 'hpc', fields: { path: 'str', flags: 'u32?' } },
  propagation: { code: 32, in: 'hc', fields: { path: 'str', flags: 'u32' } },

  // detached mounts and other fds
  /** fsopen + fsmount. Options are `key` or `key=value`; overlay's `lowerdir` may be repeated, one directory each, topmost first, or be colon separated. */
  fsmount: { code: 40, in: 'hc', fields: { slot: 'slot', fstype: 'str', source: 'str?', options: 'strs?', attrs: 'u32?' } },
  /** open_tree clone. With `root` the path is resolved inside that slot. */
  openTree: { code: 41, in: 'hc', fields: { slot: 'slot', path: 'str', recursive: 'bool?', root: 'slot?' } },
  /** mount_setattr on a detached mount; MOUNT_ATTR_* and MS_* propagation. */
  mountAttr: { code: 42, in: 'hc', fields: { slot: 'slot', set: 'u64?', clear: 'u64?', propagation: 'u64?', recursive: 'bool?' } },
  /** open(2); 0 means O_PATH. O_CLOEXEC is added. */
  openPath: { code: 43, in: 'hpc', fields: { slot: 'slot', path: 'str', flags: 'u32?' } },
  close: { code: 44, in: 'hpc', fields: { slot: 'slot' } },

  // namespaces
  openNs: { code: 50, in: 'hp', fields: { slot: 'slot', path: 'str' } },
  /** setns; `flags` is CLONE_NEW*. A child that enters a mount namespace closes all slots. In a launch's host phase only CLONE_NEWPID is sensible: the shim itself stays where it is. */
  setNs: { code: 51, in: 'hc', fields: { slot: 'slot', flags: 'u32' } },
  unshare: { code: 52, in: 'hc', fields: { flags: 'u32' } },
  /** Makes a file and binds a namespace on it. */
  bindNs: { code: 53, in: 'hp', fields: { path: 'str', type: 'enum:net|mnt|uts|ipc|pid|user|cgroup', of: 'enum?:self|child' } },

  /**
   * A series of netlink messages. NLM_F_ACK and the sequence numbers are set by the helper; every answer is checked, and an error names the message by `names`.
   * `pidAt`: byte offsets that receive the child's pid as u32. `slotAt`: pairs of byte offset and slot, to receive an fd number.
   * Protocol 12 (netfilter) is sent as one batch, others message by message.
   */
  netlink: { code: 60, in: 'hpc', fields: { protocol: 'u32', messages: 'bytes', pidAt: 'u32s?', slotAt: 'u32s?', names: 'strs?' } },

  // processes
  /**
   * Runs a command to its end. stdio `capture`: stdout goes to the output; `container`: the container's stdio. A non-zero exit is an error with the tail of
   * stderr, or of the file `errorLog`.
   */
  run: {
    code: 70,
    in: 'hp',
    fields: { argv: 'strs', env: 'strs?', cwd: 'str?', stdio: 'enum?:capture|container|null', stdin: 'bytes?', errorLog: 'str?' },
  },
  /** The process whose pid is in the file, reparented to the shim, is the shim's main process. */
  adoptPidFile: { code: 71, in: 'hp', fields: { path: 'str' } },
  /** Listens for an OCI console socket; to be followed by `run` and `receiveConsole`. */
  listenConsole: { code: 72, in: 'h', fields: { path: 'str' } },
  receiveConsole: { code: 73, in: 'hp', fields: { timeoutMs: 'u32' } },
  kill: { code: 74, in: 'hp', fields: { pid: 'u32', signal: 'u32' } },
  /** Signals every pid in a cgroup.procs file. */
  signalAll: { code: 75, in: 'hp', fields: { path: 'str', signal: 'u32' } },
  /** Removes cgroup directories with all groups below them; a missing one is success. EBUSY is retried for `retryMs`. */
  cgroupRemove: { code: 76, in: 'hp', fields: { paths: 'strs', retryMs: 'u32?' } },

  // clone
  /**
   * `flags`: CLONE_NEW* to make. `cgroup`: slot of a v2 cgroup directory. Maps are the text of /proc/PID/uid_map; when given, the child waits for them first.
   * To join a pid namespace, setNs it in the host phase.
   */
  clone: { code: 80, in: 'l', fields: { flags: 'u32?', cgroup: 'slot?', uidMap: 'str?', gidMap: 'str?' } },

  // meeting points
  /** Lets the child past its `waitMilestone`. At most one of each in a plan. */
  milestone: { code: 81, in: 'p', fields: {} },
  waitMilestone: { code: 82, in: 'c', fields: {} },

  // child
  /** The child goes no further until the parent phase is done (implied before park and exec). */
  waitParent: { code: 90, in: 'c', fields: {} },
  /** Writes "0" to each file (v1 `tasks`). */
  cgroupJoin: { code: 91, in: 'c', fields: { paths: 'strs' } },
  sethostname: { code: 92, in: 'c', fields: { name: 'str' } },
  setdomainname: { code: 93, in: 'c', fields: { name: 'str' } },
  /**
   * Attaches a detached mount. Without `root` the path is a host path; with it, it is resolved inside that slot (links cannot leave it) and missing parents are made.
   * `propagation`: MS_* flags applied after. create `like`: a directory or a file, as the mount itself is one.
   */
  moveMount: {
    code: 94,
    in: 'hc',
    fields: { slot: 'slot', path: 'str', root: 'slot?', create: 'enum?:none|dir|file|like', propagation: 'u32?' },
  },
  /** mount(2) at a path inside `root`; proc and sysfs behind no link. With MS_BIND the source is a host path and the other flags are applied by a remount. */
  mountIn: {
    code: 95,
    in: 'c',
    fields: {
      root: 'slot',
      path: 'str',
      fstype: 'str?',
      source: 'str?',
      flags: 'u32?',
      data: 'str?',
      create: 'enum?:none|dir|file',
      propagation: 'u32?',
    },
  },
  /** An existing directory keeps its mode and owner. */
  mkdirIn: { code: 96, in: 'c', fields: { root: 'slot', path: 'str', mode: 'u32?', uid: 'u32?', gid: 'u32?' } },
  /** An existing name is kept. */
  symlinkIn: { code: 97, in: 'c', fields: { root: 'slot', path: 'str', target: 'str' } },
  /** `mode` with S_IFMT. An existing device of the same number is kept, anything else there replaced. */
  mknodIn: {
    code: 98,
    in: 'c',
    fields: { root: 'slot', path: 'str', mode: 'u32', major: 'u32?', minor: 'u32?', uid: 'u32?', gid: 'u32?' },
  },
  /** pivot_root by fd; the old root is detached. Paths of later ops are the container's; all slots are closed. */
  pivot: { code: 99, in: 'c', fields: { root: 'slot' } },
  chroot: { code: 100, in: 'hc', fields: { root: 'slot' } },
  /** Remounts read-only, keeping the mount's other flags. */
  remountReadonly: { code: 101, in: 'c', fields: { path: 'str' } },
  /** A file is covered by /dev/null, a directory by an empty read-only tmpfs; what does not exist is skipped. */
  maskPath: { code: 102, in: 'c', fields: { path: 'str' } },
  /** Bound on itself read-only; what does not exist is skipped. */
  readonlyPath: { code: 103, in: 'c', fields: { path: 'str' } },
  rlimit: { code: 104, in: 'c', fields: { resource: 'u32', soft: 'u64', hard: 'u64' } },
  oomScoreAdj: { code: 105, in: 'c', fields: { value: 'i32' } },
  /** Raises nothing that the process lacks: sets beyond it are an error. After `user`. */
  caps: { code: 106, in: 'c', fields: { bounding: 'u64', permitted: 'u64', effective: 'u64', inheritable: 'u64', ambient: 'u64' } },
  noNewPrivs: { code: 107, in: 'c', fields: {} },
  /** struct sock_filter[] and SECCOMP_FILTER_FLAG_*. */
  seccomp: { code: 108, in: 'c', fields: { filter: 'bytes', flags: 'u32?' } },
  /** Keeps capabilities until `caps`. umask -1: unchanged. Stdio is given to the user. */
  user: { code: 109, in: 'c', fields: { uid: 'u32', gid: 'u32', groups: 'u32s?', umask: 'i32' } },
  /** Never by a link of /proc such as /proc/self/fd/7, and never to what lies outside of the root. */
  chdir: { code: 110, in: 'c', fields: { path: 'str', create: 'bool?' } },
  /** sched_setattr. */
  scheduler: {
    code: 111,
    in: 'c',
    fields: { policy: 'u32', flags: 'u64?', nice: 'i32?', priority: 'u32?', runtime: 'u64?', deadline: 'u64?', period: 'u64?' },
  },
  ioprio: { code: 112, in: 'c', fields: { value: 'u32' } },
  apparmorExec: { code: 113, in: 'c', fields: { profile: 'str' } },
  selinuxExec: { code: 114, in: 'c', fields: { label: 'str' } },
  /**
   * Allocates a pty from the container's devpts (after pivot), hands its master to the shim, makes it the controlling terminal and stdio.
   * `mountAt` (`/dev/console`): the slave is bound there.
   */
  console: { code: 115, in: 'c', fields: { mountAt: 'str?' } },
  pdeathsig: { code: 116, in: 'c', fields: { signal: 'u32' } },
  /** Waits for Spawner.resume(). */
  park: { code: 117, in: 'c', fields: {} },
  /** The program is looked up in PATH of `env`, inside the container. */
  exec: { code: 118, in: 'c', fields: { argv: 'strs', env: 'strs?' } },
  /**
   * As `user`, for `user[:group]` in names or numbers: looked up in the /etc/passwd and /etc/group that the process sees. `groups`: more groups, names or
   * numbers. Sets HOME for exec unless its environment has one.
   */
  userName: { code: 140, in: 'c', fields: { user: 'str', groups: 'strs?', umask: 'i32' } },
  personality: { code: 119, in: 'c', fields: { domain: 'u32' } },
} as const satisfies Record<string, OpDefinition>

export interface OpDefinition {
  code: number
  /** Letters of the phases: s h l p c. */
  in: string
  fields: Record<string, string>
}

export const phases = { setup: 's', host: 'h', clone: 'l', parent: 'p', child: 'c' } as const

import { capabilityMask, type Op } from 'tsd-engine/native'
import { invalidParameter, type OciProcess } from 'tsd-engine/sdk'
import type { SeccompFilter } from './seccomp.js'

export type ProcessOp = Op<
  | 'rlimit'
  | 'oomScoreAdj'
  | 'noNewPrivs'
  | 'seccomp'
  | 'user'
  | 'userName'
  | 'caps'
  | 'chdir'
  | 'scheduler'
  | 'apparmorExec'
  | 'selinuxExec'
  | 'console'
>

const RLIMITS = 'CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME'
  .split(' ')
  .map((name) => `RLIMIT_${name}`)

const POLICIES = ['SCHED_OTHER', 'SCHED_FIFO', 'SCHED_RR', 'SCHED_BATCH', 'SCHED_ISO', 'SCHED_IDLE', 'SCHED_DEADLINE']

function mask(names: string[] | undefined, field: string): bigint {
  const { mask, unknown } = capabilityMask(names)
  if (unknown.length > 0) throw invalidParameter(`unknown capability in process.capabilities.${field}: ${unknown.join(', ')}`)
  return mask
}

function limitOps(process: OciProcess): ProcessOp[] {
  const ops = (process.rlimits ?? []).map(({ type, soft, hard }): ProcessOp => {
    const resource = RLIMITS.indexOf(type)
    if (resource < 0) throw invalidParameter(`unknown rlimit ${type}`)
    return { op: 'rlimit', resource, soft, hard }
  })
  if (process.oomScoreAdj !== undefined) ops.push({ op: 'oomScoreAdj', value: process.oomScoreAdj })
  if (process.scheduler) {
    const policy = POLICIES.indexOf(process.scheduler.policy)
    if (policy < 0) throw invalidParameter(`unknown scheduler policy ${process.scheduler.policy}`)
    ops.push({ op: 'scheduler', policy, nice: process.scheduler.nice ?? 0, priority: process.scheduler.priority ?? 0 })
  }
  return ops
}

function userOp({ user }: OciProcess): ProcessOp {
  const umask = user.umask ?? 0o022
  if (user.username !== undefined) return { op: 'userName', user: user.username, groups: user.additionalGroups ?? [], umask }
  return { op: 'user', uid: user.uid, gid: user.gid, groups: user.additionalGids ?? [], umask }
}

/** Everything between the container's walls standing and exec, in the one order that works. */
export function processOps(process: OciProcess, filter: SeccompFilter | undefined, makeCwd: boolean): ProcessOp[] {
  const { capabilities } = process
  const ops = limitOps(process)
  // As root: one that only root may enter can be entered.
  ops.push({ op: 'chdir', path: process.cwd || '/', create: makeCwd })
  if (process.apparmorProfile) ops.push({ op: 'apparmorExec', profile: process.apparmorProfile })
  if (process.selinuxLabel) ops.push({ op: 'selinuxExec', label: process.selinuxLabel })
  const seccomp: ProcessOp[] = filter ? [{ op: 'seccomp', filter: filter.filter, flags: filter.flags }] : []
  // Without no_new_privs a filter can only be installed while CAP_SYS_ADMIN is held.
  if (!process.noNewPrivileges) ops.push(...seccomp)
  ops.push(userOp(process))
  if (capabilities)
    ops.push({
      op: 'caps',
      bounding: mask(capabilities.bounding, 'bounding'),
      permitted: mask(capabilities.permitted, 'permitted'),
      effective: mask(capabilities.effective, 'effective'),
      inheritable: mask(capabilities.inheritable, 'inheritable'),
      ambient: mask(capabilities.ambient, 'ambient'),
    })
  if (process.noNewPrivileges) ops.push({ op: 'noNewPrivs' }, ...seccomp)
  return ops
}

import koffi from 'koffi'
import { bytes, check, libc, SyscallError } from './libc.js'

const syscall5 = libc.func('long syscall(long number, long a, long b, void *c, long d)') as (
  number: number,
  a: number,
  b: number,
  c: null,
  d: number,
) => number
const flockFn = libc.func('int flock(int fd, int operation)') as (fd: number, operation: number) => number
const syncfsFn = libc.func('int syncfs(int fd)')
const memfdCreateFn = libc.func('int memfd_create(const char *name, unsigned int flags)') as (name: string, flags: number) => number
const prctlFn = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)') as (
  option: number,
  a: number,
  b: number,
  c: number,
  d: number,
) => number
const unshareFn = libc.func('int unshare(int flags)') as (flags: number) => number
const mountFn = libc.func('int mount(const void *source, const void *target, const void *type, unsigned long flags, const void *data)') as (
  source: null,
  target: Buffer,
  type: null,
  flags: number,
  data: null,
) => number
const umountFn = libc.func('int umount2(const void *target, int flags)') as (target: Buffer, flags: number) => number
const setnsFn = libc.func('int setns(int fd, int type)') as (fd: number, type: number) => number

// One number for both: pidfd system calls were added after the tables of all architectures were joined.
const SYS_pidfd_send_signal = 424
const SYS_pidfd_open = 434

/** A close-on-exec fd of the process; ESRCH when it is gone. */
export function pidfdOpen(pid: number): number {
  return check(syscall5(SYS_pidfd_open, pid, 0, null, 0), 'pidfd_open', String(pid))
}

export function pidfdSendSignal(pidfd: number, signal: number): void {
  check(syscall5(SYS_pidfd_send_signal, pidfd, signal, null, 0), 'pidfd_send_signal')
}

const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4
const LOCK_UN = 8

/** Takes or drops a lock without waiting; false when someone else holds it. */
export function flock(fd: number, mode: 'shared' | 'exclusive' | 'unlock'): boolean {
  const operation = mode === 'unlock' ? LOCK_UN : (mode === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB
  if (flockFn(fd, operation) === 0) return true
  const code = koffi.errno()
  if (code === koffi.os.errno.EWOULDBLOCK || code === koffi.os.errno.EAGAIN) return false
  throw new SyscallError('flock', code)
}

/** Writes out a whole file system, off the event loop. */
export function syncfs(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    syncfsFn.async(fd, (error: Error | null, result: number) => {
      if (error) reject(error)
      else if (result === -1) reject(new SyscallError('syncfs', koffi.errno()))
      else resolve()
    })
  })
}

const MFD_CLOEXEC = 1

export function memfdCreate(name: string): number {
  return check(memfdCreateFn(name, MFD_CLOEXEC), 'memfd_create')
}

export function prctl(option: number, a = 0, b = 0, c = 0, d = 0): number {
  return check(prctlFn(option, a, b, c, d), 'prctl')
}

const CLONE_FS = 0x200
const CLONE_NEWNS = 0x20000

/** Gives this thread a root, working directory and umask of its own: a thread that shares them cannot change its mount namespace. */
export function unshareDirectories(): void {
  check(unshareFn(CLONE_FS), 'unshare')
}

/** Root and working directory become those of the namespace. For a worker process that has unshared its directories. */
export function enterMountNamespace(fd: number): void {
  check(setnsFn(fd, CLONE_NEWNS), 'setns')
}

const MS_REC = 0x4000
const MS_PRIVATE = 0x40000
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

/** A copy of the mount namespace that this thread is in: what is unmounted in it stays mounted everywhere else. */
export function copyMountNamespace(): void {
  check(unshareFn(CLONE_NEWNS), 'unshare')
  check(mountFn(null, bytes('/'), null, MS_REC | MS_PRIVATE, null), 'mount')
}

/** Takes a mount out of the tree. The path is a latin1 string, one character per byte. */
export function detachMount(path: string): void {
  check(umountFn(bytes(path), MNT_DETACH | UMOUNT_NOFOLLOW), 'umount2', path)
}

/** On the main thread only, in a synchronous section that spawns nothing and returns to the old namespace. */
export function setns(fd: number, type: number): void {
  check(setnsFn(fd, type), 'setns')
}

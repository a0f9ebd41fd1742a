// File calls relative to a directory descriptor. Names are latin1 strings: one character per byte, as the disk has them.
import fs from 'node:fs'
import koffi from 'koffi'
import { bytes, check, libc, SyscallError } from './libc.js'

const call = {
  openat: libc.func('int openat(int dirfd, const void *path, int flags, uint32_t mode)'),
  close: libc.func('int close(int fd)'),
  mkdirat: libc.func('int mkdirat(int dirfd, const void *path, uint32_t mode)'),
  mknodat: libc.func('int mknodat(int dirfd, const void *path, uint32_t mode, uint64_t dev)'),
  symlinkat: libc.func('int symlinkat(const void *target, int dirfd, const void *path)'),
  linkat: libc.func('int linkat(int fromfd, const void *from, int tofd, const void *to, int flags)'),
  unlinkat: libc.func('int unlinkat(int dirfd, const void *path, int flags)'),
  renameat: libc.func('int renameat(int fromfd, const void *from, int tofd, const void *to)'),
  readlinkat: libc.func('intptr_t readlinkat(int dirfd, const void *path, void *buf, size_t size)'),
  fchownat: libc.func('int fchownat(int dirfd, const void *path, uint32_t uid, uint32_t gid, int flags)'),
  fchmodat: libc.func('int fchmodat(int dirfd, const void *path, uint32_t mode, int flags)'),
  utimensat: libc.func('int utimensat(int dirfd, const void *path, const void *times, int flags)'),
  statx: libc.func('int statx(int dirfd, const void *path, int flags, uint32_t mask, void *buf)'),
  fchdir: libc.func('int fchdir(int fd)'),
  chroot: libc.func('int chroot(const void *path)'),
  syncfs: libc.func('int syncfs(int fd)'),
  ioctl: libc.func('int ioctl(int fd, unsigned long request, long argument)'),
  copyFileRange: libc.func('intptr_t copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, uint32_t flags)'),
}

const AT_SYMLINK_NOFOLLOW = 0x100
const AT_REMOVEDIR = 0x200
const AT_EMPTY_PATH = 0x1000
const STATX_BASIC = 0x7ff
const STATX_ATTR_MOUNT_ROOT = 0x2000n
const FICLONE = 0x40049409
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants
const O_CLOEXEC = 0o2000000
const O_PATH = 0o10000000

export interface FileStat {
  mode: number
  nlink: number
  uid: number
  gid: number
  size: number
  blocks: number
  ino: bigint
  dev: string
  rdevMajor: number
  rdevMinor: number
  mtimeSec: number
  mtimeNsec: number
  /** Something is mounted here (told by Linux 5.8 and later). */
  mountRoot: boolean
}

/** Opens one name of a directory, never through a symbolic link. */
export function openat(dir: number, name: string, flags: number, mode = 0): number {
  return check(call.openat(dir, bytes(name), flags | O_NOFOLLOW | O_CLOEXEC, mode) as number, 'openat', name)
}

export function openDirectoryAt(dir: number, name: string): number {
  return openat(dir, name, O_RDONLY | O_DIRECTORY)
}

/** A reference to a file of any type, without opening it. */
export function openPathAt(dir: number, name: string): number {
  return openat(dir, name, O_PATH)
}

export function closeFd(fd: number): void {
  call.close(fd)
}

export function mkdirat(dir: number, name: string, mode: number): void {
  check(call.mkdirat(dir, bytes(name), mode) as number, 'mkdirat', name)
}

export function mknodat(dir: number, name: string, mode: number, major: number, minor: number): void {
  const [a, b] = [BigInt(major), BigInt(minor)]
  const device = ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn)
  check(call.mknodat(dir, bytes(name), mode, device) as number, 'mknodat', name)
}

export function symlinkat(target: string, dir: number, name: string): void {
  check(call.symlinkat(bytes(target), dir, bytes(name)) as number, 'symlinkat', name)
}

/** A hard link to the name itself: a symbolic link is linked, not followed. */
export function linkat(fromDir: number, from: string, toDir: number, to: string): void {
  check(call.linkat(fromDir, bytes(from), toDir, bytes(to), 0) as number, 'linkat', to)
}

export function unlinkat(dir: number, name: string, directory = false): void {
  check(call.unlinkat(dir, bytes(name), directory ? AT_REMOVEDIR : 0) as number, 'unlinkat', name)
}

export function renameat(fromDir: number, from: string, toDir: number, to: string): void {
  check(call.renameat(fromDir, bytes(from), toDir, bytes(to)) as number, 'renameat', to)
}

const linkBuffer = Buffer.alloc(4097)

export function readlinkat(dir: number, name: string): string {
  const length = check(Number(call.readlinkat(dir, bytes(name), linkBuffer, 4096)), 'readlinkat', name)
  return linkBuffer.toString('latin1', 0, length)
}

export function chownat(dir: number, name: string, uid: number, gid: number): void {
  check(call.fchownat(dir, bytes(name), uid, gid, AT_SYMLINK_NOFOLLOW) as number, 'fchownat', name)
}

/** The caller has made sure that `name` is no symbolic link. */
export function chmodat(dir: number, name: string, mode: number): void {
  check(call.fchmodat(dir, bytes(name), mode, 0) as number, 'fchmodat', name)
}

const timeBuffer = Buffer.alloc(32)

/** Sets both access and modification time, on a link itself too. */
export function utimesat(dir: number, name: string, sec: number, nsec: number): void {
  for (const offset of [0, 16]) {
    timeBuffer.writeBigInt64LE(BigInt(Math.trunc(sec)), offset)
    timeBuffer.writeBigInt64LE(BigInt(nsec), offset + 8)
  }
  check(call.utimensat(dir, bytes(name), timeBuffer, AT_SYMLINK_NOFOLLOW) as number, 'utimensat', name)
}

const statBuffer = Buffer.alloc(256)

function decodeStat(): FileStat {
  const b = statBuffer
  return {
    mode: b.readUInt16LE(28),
    nlink: b.readUInt32LE(16),
    uid: b.readUInt32LE(20),
    gid: b.readUInt32LE(24),
    size: Number(b.readBigUInt64LE(40)),
    blocks: Number(b.readBigUInt64LE(48)),
    ino: b.readBigUInt64LE(32),
    dev: `${b.readUInt32LE(136)}:${b.readUInt32LE(140)}`,
    rdevMajor: b.readUInt32LE(128),
    rdevMinor: b.readUInt32LE(132),
    mtimeSec: Number(b.readBigInt64LE(112)),
    mtimeNsec: b.readUInt32LE(120),
    mountRoot: (b.readBigUInt64LE(8) & STATX_ATTR_MOUNT_ROOT) !== 0n,
  }
}

/** lstat of one name; throws ENOENT when it is not there. */
export function statat(dir: number, name: string): FileStat {
  check(call.statx(dir, bytes(name), AT_SYMLINK_NOFOLLOW, STATX_BASIC, statBuffer) as number, 'statx', name)
  return decodeStat()
}

/** lstat of one name, undefined when it is not there. */
export function statatIfThere(dir: number, name: string): FileStat | undefined {
  try {
    return statat(dir, name)
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

export function fstat(fd: number): FileStat {
  check(call.statx(fd, bytes(''), AT_EMPTY_PATH, STATX_BASIC, statBuffer) as number, 'statx')
  return decodeStat()
}

export function fchdir(fd: number): void {
  check(call.fchdir(fd) as number, 'fchdir')
}

/** Moves the process's root to the directory that is open as `fd`. */
export function chrootTo(fd: number): void {
  fchdir(fd)
  check(call.chroot(bytes('.')) as number, 'chroot')
}

/** Writes everything of the file system that holds `fd` to disk. Blocks: for worker processes only. */
export function syncFileSystem(fd: number): void {
  check(call.syncfs(fd) as number, 'syncfs')
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Names in a directory, sorted by their bytes. Moves the working directory: for worker processes only. */
export function namesIn(dir: number): string[] {
  fchdir(dir)
  return fs.readdirSync('.', { encoding: 'latin1' }).sort(order)
}

/** Copies the rest of one open file into another: as a reflink where the file system can, else inside the kernel. */
export function copyContent(from: number, to: number): void {
  if ((call.ioctl(to, FICLONE, from) as number) === 0) return
  for (;;) {
    const copied = Number(call.copyFileRange(from, null, to, null, 1 << 30, 0))
    if (copied < 0) return copyByHand(from, to)
    if (copied === 0) return
  }
}

function copyByHand(from: number, to: number): void {
  const buffer = Buffer.allocUnsafe(1 << 18)
  for (let length = fs.readSync(from, buffer); length > 0; length = fs.readSync(from, buffer)) writeAll(to, buffer.subarray(0, length))
}

/** Writes all bytes to a blocking descriptor. */
export function writeAll(fd: number, data: Uint8Array): void {
  for (let offset = 0; offset < data.byteLength;) offset += fs.writeSync(fd, data, offset, data.byteLength - offset)
}

const directory = {
  opendir: libc.func('void *opendir(const void *path)'),
  readdir: libc.func('void *readdir(void *dir)'),
  closedir: libc.func('int closedir(void *dir)'),
}

/** True when reading this directory (not an empty one) tells the types of its entries, as overlay needs it. */
export function tellsTypes(path: string): boolean {
  const dir: unknown = directory.opendir(bytes(Buffer.from(path).toString('latin1')))
  if (dir === null) throw new SyscallError('opendir', koffi.errno(), path)
  try {
    for (let entry: unknown = directory.readdir(dir); entry !== null; entry = directory.readdir(dir)) {
      // struct dirent on 64 bit: inode, offset, length, type, name
      const name = koffi.decode(entry, 19, 'char', 1) as string
      if (!name.startsWith('.')) return koffi.decode(entry, 18, 'uint8_t') !== 0
    }
    return false
  } finally {
    directory.closedir(dir)
  }
}

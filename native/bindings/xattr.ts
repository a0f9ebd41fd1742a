// Extended attributes of a name in the working directory (move there with fchdir), never through a symbolic link.
import koffi from 'koffi'
import os from 'node:os'
import { bytes, check, libc, SyscallError } from './libc.js'

const call = {
  lsetxattr: libc.func('int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)'),
  lgetxattr: libc.func('intptr_t lgetxattr(const void *path, const void *name, void *value, size_t size)'),
  llistxattr: libc.func('intptr_t llistxattr(const void *path, void *list, size_t size)'),
  lremovexattr: libc.func('int lremovexattr(const void *path, const void *name)'),
}

const { EOPNOTSUPP, ENODATA } = os.constants.errno
/** The kernel's limit for one value and for the list of names. */
const LIMIT = 65536
let scratch: Buffer | undefined
const buffer = (): Buffer => (scratch ??= Buffer.alloc(LIMIT))

export function setXattr(path: string, name: string, value: Uint8Array): void {
  check(call.lsetxattr(bytes(path), bytes(name), value, value.byteLength, 0) as number, 'lsetxattr', `${path} ${name}`)
}

/** The value, or undefined when the file has no such attribute or the file system has none at all. */
export function getXattr(path: string, name: string): Buffer | undefined {
  const length = Number(call.lgetxattr(bytes(path), bytes(name), buffer(), LIMIT))
  if (length < 0) {
    const errno = koffi.errno()
    if (errno === ENODATA || errno === EOPNOTSUPP) return undefined
    throw new SyscallError('lgetxattr', errno, `${path} ${name}`)
  }
  return Buffer.from(buffer().subarray(0, length))
}

/** Attribute names, sorted. */
export function listXattrs(path: string): string[] {
  const length = Number(call.llistxattr(bytes(path), buffer(), LIMIT))
  if (length < 0) {
    const errno = koffi.errno()
    if (errno === EOPNOTSUPP) return []
    throw new SyscallError('llistxattr', errno, path)
  }
  if (length === 0) return []
  return buffer()
    .toString('latin1', 0, length - 1)
    .split('\0')
    .sort()
}

export function removeXattr(path: string, name: string): void {
  check(call.lremovexattr(bytes(path), bytes(name)) as number, 'lremovexattr', `${path} ${name}`)
}

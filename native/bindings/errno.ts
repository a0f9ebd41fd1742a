import os from 'node:os'

const names = new Map<number, string>()
for (const [name, value] of Object.entries(os.constants.errno)) if (!names.has(value)) names.set(value, name)
// Not in Node's table, yet met on the start path.
const more: Record<string, number> = {
  ENOTBLK: 15,
  ENODEV: 19,
  ECHRNG: 44,
  ENOMEDIUM: 123,
  EHOSTDOWN: 112,
  EUSERS: 87,
  ENOKEY: 126,
  EUCLEAN: 117,
  ESHUTDOWN: 108,
  ENONET: 64,
  ENOPKG: 65,
}
for (const [name, value] of Object.entries(more)) if (!names.has(value)) names.set(value, name)

/** `EBUSY` for 16; `E999` for what has no name. */
export function errnoName(errno: number): string {
  return names.get(Math.abs(errno)) ?? `E${Math.abs(errno)}`
}

const texts: Record<string, string> = {
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  ESRCH: 'no such process',
  EINTR: 'interrupted system call',
  EIO: 'input/output error',
  ENXIO: 'no such device or address',
  E2BIG: 'argument list too long',
  ENOEXEC: 'exec format error',
  EBADF: 'bad file descriptor',
  ECHILD: 'no child processes',
  EAGAIN: 'resource temporarily unavailable',
  ENOMEM: 'cannot allocate memory',
  EACCES: 'permission denied',
  EFAULT: 'bad address',
  ENOTBLK: 'block device required',
  EBUSY: 'device or resource busy',
  EEXIST: 'file exists',
  EXDEV: 'invalid cross-device link',
  ENODEV: 'no such device',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EINVAL: 'invalid argument',
  ENFILE: 'too many open files in system',
  EMFILE: 'too many open files',
  ETXTBSY: 'text file busy',
  EFBIG: 'file too large',
  ENOSPC: 'no space left on device',
  ESPIPE: 'illegal seek',
  EROFS: 'read-only file system',
  EMLINK: 'too many links',
  EPIPE: 'broken pipe',
  ERANGE: 'numerical result out of range',
  ENAMETOOLONG: 'file name too long',
  ENOSYS: 'function not implemented',
  ENOTEMPTY: 'directory not empty',
  ELOOP: 'too many levels of symbolic links',
  EOVERFLOW: 'value too large for defined data type',
  EOPNOTSUPP: 'operation not supported',
  ENOTSUP: 'operation not supported',
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'cannot assign requested address',
  ENETDOWN: 'network is down',
  ENETUNREACH: 'network is unreachable',
  ENOBUFS: 'no buffer space available',
  ETIMEDOUT: 'connection timed out',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  EHOSTUNREACH: 'no route to host',
  EALREADY: 'operation already in progress',
  EDQUOT: 'disk quota exceeded',
  ENODATA: 'no data available',
  ESTALE: 'stale file handle',
}

/** The text that Go programs, and so Docker, print for an errno. */
export function errnoText(errno: number): string {
  const name = errnoName(errno)
  return texts[name] ?? name
}

import koffi from 'koffi'
import os from 'node:os'

const candidates = ['libc.so.6', `libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`]

function load(): ReturnType<typeof koffi.load> {
  let failure: unknown
  for (const name of candidates) {
    try {
      return koffi.load(name)
    } catch (error) {
      failure = error
    }
  }
  throw new Error(`cannot load the C library (tried ${candidates.join(', ')})`, { cause: failure })
}

/** The C library. errno is right only directly after a synchronous call. */
export const libc = load()

const names = new Map(Object.entries(os.constants.errno).map(([name, value]) => [value, name]))
names.set(os.constants.errno.EOPNOTSUPP, 'ENOTSUP')

/** A failed system call; `code` is the errno name, as in Node's own errors. */
export class SyscallError extends Error {
  readonly code: string
  readonly errno: number
  readonly syscall: string

  constructor(syscall: string, errno: number, subject = '') {
    const code = names.get(errno) ?? `errno ${errno}`
    super(`${syscall}${subject === '' ? '' : ` ${subject}`}: ${code}`)
    this.name = 'SyscallError'
    this.code = code
    this.errno = errno
    this.syscall = syscall
  }
}

/** Throws when a call answered a negative value, else answers it. */
export function check(result: number, syscall: string, subject?: string): number {
  if (result < 0) throw new SyscallError(syscall, koffi.errno(), subject)
  return result
}

/** A path or name as the bytes that it is: callers keep names as latin1 strings, one character per byte. */
export function bytes(name: string): Buffer {
  return Buffer.from(name + '\0', 'latin1')
}

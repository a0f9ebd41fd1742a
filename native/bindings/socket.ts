import koffi from 'koffi'
import { check, libc, SyscallError } from './libc.js'

export const SOCK_STREAM = 1
export const SOCK_SEQPACKET = 5
const AF_UNIX = 1
const SOCK_CLOEXEC = 0o2000000
const SOCK_NONBLOCK = 0o4000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1

koffi.struct('tsd_iovec', { base: 'void *', length: 'size_t' })
koffi.struct('tsd_msghdr', {
  name: 'void *',
  namelen: 'uint32_t',
  iov: 'tsd_iovec *',
  iovlen: 'size_t',
  control: 'void *',
  controllen: 'size_t',
  flags: 'int',
})

const socketpairFn = libc.func('int socketpair(int domain, int type, int protocol, _Out_ int *pair)') as (
  domain: number,
  type: number,
  protocol: number,
  pair: number[],
) => number
const sendmsgFn = libc.func('long sendmsg(int fd, const tsd_msghdr *message, int flags)') as (
  fd: number,
  message: unknown,
  flags: number,
) => number

/** Two connected close-on-exec unix sockets. */
export function socketpair(type: number, options: { nonblock?: boolean } = {}): [number, number] {
  const pair: [number, number] = [-1, -1]
  check(socketpairFn(AF_UNIX, type | SOCK_CLOEXEC | (options.nonblock ? SOCK_NONBLOCK : 0), 0, pair), 'socketpair')
  return pair
}

/** Sends one message with fds beside it and never waits: false when the socket's queue is full. */
export function sendWithFds(socket: number, data: Uint8Array, fds: readonly number[]): boolean {
  const control = Buffer.alloc(fds.length ? 16 + ((fds.length * 4 + 7) & ~7) : 0)
  if (fds.length) {
    control.writeBigUInt64LE(BigInt(16 + fds.length * 4), 0)
    control.writeInt32LE(SOL_SOCKET, 8)
    control.writeInt32LE(SCM_RIGHTS, 12)
    fds.forEach((fd, index) => control.writeInt32LE(fd, 16 + index * 4))
  }
  const message = {
    name: null,
    namelen: 0,
    iov: [{ base: data, length: data.length }],
    iovlen: 1,
    control: fds.length ? control : null,
    controllen: control.length,
    flags: 0,
  }
  if (sendmsgFn(socket, message, MSG_DONTWAIT | MSG_NOSIGNAL) !== -1) return true
  const code = koffi.errno()
  if (code === koffi.os.errno.EAGAIN || code === koffi.os.errno.ENOBUFS) return false
  throw new SyscallError('sendmsg', code)
}

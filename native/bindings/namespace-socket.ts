/** Sockets made inside another network namespace. A socket stays in the namespace that it was made in. */
import fs from 'node:fs'
import koffi from 'koffi'
import { addressBytes } from './inet.js'
import { check, libc, SyscallError } from './libc.js'

const setnsFn = libc.func('int setns(int fd, int type)') as (fd: number, type: number) => number
const socketFn = libc.func('int socket(int domain, int type, int protocol)') as (domain: number, type: number, protocol: number) => number
const bindFn = libc.func('int bind(int fd, const uint8_t *address, uint32_t size)') as (fd: number, address: Buffer, size: number) => number
const connectFn = libc.func('int connect(int fd, const uint8_t *address, uint32_t size)') as (
  fd: number,
  address: Buffer,
  size: number,
) => number
const listenFn = libc.func('int listen(int fd, int backlog)') as (fd: number, backlog: number) => number

const CLONE_NEWNET = 0x40000000
const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const SOCK_NONBLOCK = 0o4000

export type SocketKind = 'udp' | 'tcp'

let home = -1

/**
 * Runs `work` with this thread in the namespace of `fd`. The work must be nothing but a few system calls: the event loop stands still, and
 * whatever it made would be made there. A thread that cannot come back would be lost in a container: the process ends.
 */
function inNamespace<T>(fd: number, work: () => T): T {
  if (home < 0) home = fs.openSync('/proc/self/ns/net', fs.constants.O_RDONLY)
  check(setnsFn(fd, CLONE_NEWNET), 'setns')
  try {
    return work()
  } finally {
    if (setnsFn(home, CLONE_NEWNET) !== 0) process.abort()
  }
}

function socketAddress(address: string, port: number): Buffer {
  const bytes = addressBytes(address)
  const v6 = bytes.length === 16
  const result = Buffer.alloc(v6 ? 28 : 16)
  result.writeUInt16LE(v6 ? AF_INET6 : AF_INET, 0)
  result.writeUInt16BE(port, 2)
  bytes.copy(result, v6 ? 8 : 4)
  return result
}

function make(namespace: number | undefined, kind: SocketKind, address: string): number {
  const domain = address.includes(':') ? AF_INET6 : AF_INET
  const type = (kind === 'udp' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK
  const open = (): number => check(socketFn(domain, type, 0), 'socket', kind)
  return namespace === undefined ? open() : inNamespace(namespace, open)
}

/** Closes the socket when `use` fails. */
function guarded(fd: number, use: () => void): number {
  try {
    use()
    return fd
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/** A bound socket, listening when it is one of tcp. */
export function boundSocket(namespace: number | undefined, kind: SocketKind, address: string, port: number): number {
  const fd = make(namespace, kind, address)
  return guarded(fd, () => {
    const target = socketAddress(address, port)
    check(bindFn(fd, target, target.length), 'bind', `${address}:${port}/${kind}`)
    if (kind === 'tcp') check(listenFn(fd, 128), 'listen', `${address}:${port}`)
  })
}

/** A socket for a peer: one of udp is to be connected by whoever uses it, a connection of tcp is being made. */
export function outgoingSocket(namespace: number | undefined, kind: SocketKind, address: string, port: number): number {
  const fd = make(namespace, kind, address)
  if (kind === 'udp') return fd
  return guarded(fd, () => {
    const target = socketAddress(address, port)
    if (connectFn(fd, target, target.length) === 0) return
    const errno = koffi.errno()
    if (errno !== koffi.os.errno.EINPROGRESS) throw new SyscallError('connect', errno, `${address}:${port}`)
  })
}

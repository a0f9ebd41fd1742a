import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import koffi from 'koffi'
import { check, libc, SyscallError } from './libc.js'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
/** sockaddr_un: the family, then the path with its NUL. */
const pathLength = 108

const socketFn = libc.func('int socket(int domain, int type, int protocol)') as (domain: number, type: number, protocol: number) => number
const connectFn = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)') as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number
const sendFn = libc.func('long send(int fd, const uint8_t *data, size_t length, int flags)') as (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
) => number

/** Milliseconds between two looks at a receiver whose queue is full. */
const fullWait = 10

/** Datagrams to a unix socket, which Node's own sockets cannot send. */
export class UnixDatagrams {
  private closed = false

  private constructor(
    private readonly fd: number,
    readonly path: string,
  ) {}

  static connect(path: string): UnixDatagrams {
    const name = Buffer.from(path)
    if (name.length >= pathLength) throw new SyscallError('connect', koffi.os.errno.ENAMETOOLONG as number, path)
    const address = Buffer.alloc(2 + pathLength)
    address.writeUInt16LE(AF_UNIX, 0)
    name.copy(address, 2)
    const fd = check(socketFn(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket')
    try {
      check(connectFn(fd, address, address.length), 'connect', path)
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
    return new UnixDatagrams(fd, path)
  }

  /** Resolves once the receiver has it in its queue; fails when the socket is closed meanwhile. */
  async send(data: Uint8Array): Promise<void> {
    for (;;) {
      if (this.closed) throw new SyscallError('send', koffi.os.errno.EBADF as number, this.path)
      if (sendFn(this.fd, data, data.length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return
      const code = koffi.errno()
      if (code !== koffi.os.errno.EAGAIN && code !== koffi.os.errno.ENOBUFS) throw new SyscallError('send', code, this.path)
      await delay(fullWait, undefined, { ref: false })
    }
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    fs.closeSync(this.fd)
  }
}

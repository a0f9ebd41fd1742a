import koffi from 'koffi'
import { check, libc } from './libc.js'

const F_SETFD = 2
const FD_CLOEXEC = 1
const SOL_SOCKET = 1
const SO_TYPE = 3
const SO_ACCEPTCONN = 30
const SO_DOMAIN = 39
const SOCK_STREAM = 1
const families: Record<number, 'unix' | 'tcp'> = { 1: 'unix', 2: 'tcp', 10: 'tcp' }

const fcntlFn = libc.func('int fcntl(int fd, int command, int argument)') as (fd: number, command: number, argument: number) => number
const getsockoptFn = libc.func('int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ uint32_t *length)') as (
  fd: number,
  level: number,
  name: number,
  value: [number],
  length: [number],
) => number

function option(fd: number, name: number): number {
  const value: [number] = [0]
  check(getsockoptFn(fd, SOL_SOCKET, name, value, [koffi.sizeof('int')]), 'getsockopt', `file descriptor ${fd}`)
  return value[0]
}

/** Takes a descriptor that was inherited: none of our children gets it. Undefined: it is no listening stream socket. */
export function inheritedListener(fd: number): 'unix' | 'tcp' | undefined {
  check(fcntlFn(fd, F_SETFD, FD_CLOEXEC), 'fcntl', `file descriptor ${fd}`)
  const listens = option(fd, SO_TYPE) === SOCK_STREAM && option(fd, SO_ACCEPTCONN) === 1
  return listens ? families[option(fd, SO_DOMAIN)] : undefined
}

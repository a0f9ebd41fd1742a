import koffi from 'koffi'
import { check, libc, SyscallError } from './libc.js'
import {
  attributesOf,
  messagesOf,
  type MessageWriter,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_MULTI,
  type NetlinkMessage,
  NLMSG_DONE,
  NLMSG_ERROR,
  textOf,
} from './netlink.js'

const AF_NETLINK = 16
const SOCK_RAW = 3
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const SOL_NETLINK = 270
const NETLINK_CAP_ACK = 10
const NETLINK_EXT_ACK = 11
const SOL_SOCKET = 1
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const NLM_F_ACK_TLVS = 0x200
const NLMSGERR_ATTR_MSG = 1
const EAGAIN = 11
const EINTR = 4

const socket = libc.func('int socket(int domain, int type, int protocol)')
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const int *value, uint32_t size)')
const close = libc.func('int close(int fd)')
const send = libc.func('int64_t send(int fd, const uint8_t *data, size_t size, int flags)')
const recv = libc.func('int64_t recv(int fd, uint8_t *data, size_t size, int flags)')
const indexToName = libc.func('char *if_indextoname(uint32_t index, uint8_t *name)')
const nameToIndex = libc.func('uint32_t if_nametoindex(const char *name)')

/** The kernel's refusal of one netlink message. */
export class NetlinkError extends SyscallError {
  constructor(
    /** What the message was to do. */
    readonly what: string,
    errno: number,
    detail: string,
  ) {
    super('netlink', errno, what)
    if (detail !== '') this.message += ` (${detail})`
    this.name = 'NetlinkError'
  }
}

/**
 * The kernel answers while the message is being sent, under locks that others may hold for tens of milliseconds (a dying network
 * namespace does): sending therefore happens off the event loop.
 */
function call(name: string, work: (done: (error: unknown, result: number) => void) => void, buffer: Uint8Array): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    work((error, result) => {
      // Naming the buffer here keeps it alive during the call.
      if (error !== null && error !== undefined) reject(error as Error)
      else if (Number(result) < 0 && buffer.length >= 0) reject(new SyscallError(name, koffi.errno()))
      else resolve(Number(result))
    })
  })
}

function open(protocol: number): number {
  const fd = check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol) as number, 'socket', 'AF_NETLINK')
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, [1], 4)
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, [1], 4)
  return fd
}

const answers = Buffer.alloc(65536)

/** Everything that lies ready. */
function* ready(fd: number): Generator<NetlinkMessage> {
  for (;;) {
    const size = Number(recv(fd, answers, answers.length, MSG_DONTWAIT))
    if (size < 0) {
      const errno = koffi.errno()
      if (errno === EINTR) continue
      if (errno === EAGAIN) return
      throw new SyscallError('recv', errno, 'AF_NETLINK')
    }
    yield* messagesOf(Buffer.from(answers.subarray(0, size)))
  }
}

function refusal(message: NetlinkMessage, names: readonly string[]): NetlinkError | undefined {
  if (message.type !== NLMSG_ERROR || message.payload.length < 20) return undefined
  const errno = -message.payload.readInt32LE(0)
  if (errno === 0) return undefined
  const detail = message.flags & NLM_F_ACK_TLVS ? textOf(attributesOf(message.payload, 20).get(NLMSGERR_ATTR_MSG)) : ''
  return new NetlinkError(names[message.sequence - 1] ?? `message ${message.sequence}`, errno, detail)
}

async function converse(fd: number, data: Buffer, names: readonly string[]): Promise<void> {
  await call('send', (done) => send.async(fd, data, data.length, 0, done), data)
  let answered = false
  let failure: NetlinkError | undefined
  for (const message of ready(fd)) {
    answered ||= message.type === NLMSG_ERROR
    failure ??= refusal(message, names)
  }
  if (failure) throw failure
  if (!answered) throw new Error(`netlink: no answer to ${names.join(', ')}`)
}

async function onSocket<T>(protocol: number, work: (fd: number) => Promise<T>): Promise<T> {
  const fd = open(protocol)
  try {
    return await work(fd)
  } finally {
    close(fd)
  }
}

/**
 * Closing a netfilter socket waits for an RCU grace period (about 10 ms) while anything removed from nftables is pending, so one socket
 * is kept, and users take turns.
 */
let netfilter: { fd: number; last: Promise<unknown> } | undefined

function onNetfilter<T>(work: (fd: number) => Promise<T>): Promise<T> {
  netfilter ??= { fd: open(NETLINK_NETFILTER), last: Promise.resolve() }
  const { fd, last } = netfilter
  const turn = last.then(() => {
    for (const stale of ready(fd)) void stale
    return work(fd)
  })
  netfilter.last = turn.catch(() => undefined)
  return turn
}

/** Carries out rtnetlink messages one after the other in the daemon's network namespace. Errnos named in `ignore` count as success. */
export async function requestRoute(writer: MessageWriter, ignore: readonly string[] = []): Promise<void> {
  const data = Buffer.from(writer.bytes())
  let at = 0
  while (at + 16 <= data.length) {
    const size = data.readUInt32LE(at)
    const message = Buffer.from(data.subarray(at, at + size))
    message.writeUInt16LE(message.readUInt16LE(6) | NLM_F_ACK, 6)
    try {
      await onSocket(NETLINK_ROUTE, (fd) => converse(fd, message, writer.names))
    } catch (error) {
      if (!(error instanceof NetlinkError) || !ignore.includes(error.code)) throw error
    }
    at += (size + 3) & ~3
  }
}

/** Carries out an nftables batch: all of it or nothing. */
export async function requestNft(batch: Uint8Array, names: readonly string[] = []): Promise<void> {
  const data = Buffer.from(batch)
  let last = -1
  let previous = -1
  for (let at = 0; at + 16 <= data.length; at += (data.readUInt32LE(at) + 3) & ~3) {
    if (data.readUInt32LE(at) < 16) throw new Error('netlink: malformed batch')
    last = previous
    previous = at
  }
  if (last < 0) throw new Error('netlink: empty batch')
  // The acknowledgement of the last message before the end of the batch.
  data.writeUInt16LE(data.readUInt16LE(last + 6) | NLM_F_ACK, last + 6)
  await onNetfilter((fd) => {
    if (data.length > 100_000) {
      setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, [data.length * 2], 4)
      setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, [data.length * 2], 4)
    }
    return converse(fd, data, names)
  })
}

/** Asks for a dump and answers its messages. A dump that was disturbed by a change is repeated. */
export async function dump(protocol: number, writer: MessageWriter): Promise<NetlinkMessage[]> {
  for (let attempt = 0; ; attempt++) {
    const found: NetlinkMessage[] = []
    const once = (fd: number): Promise<boolean> => dumpOnce(fd, writer, found)
    if ((await (protocol === NETLINK_NETFILTER ? onNetfilter(once) : onSocket(protocol, once))) || attempt >= 5) return found
  }
}

const NLM_F_DUMP_INTR = 0x10

async function dumpOnce(fd: number, writer: MessageWriter, found: NetlinkMessage[]): Promise<boolean> {
  const data = Buffer.from(writer.bytes())
  let consistent = true
  await call('send', (done) => send.async(fd, data, data.length, 0, done), data)
  const buffer = Buffer.alloc(65536)
  for (;;) {
    const size = await call('recv', (done) => recv.async(fd, buffer, buffer.length, MSG_DONTWAIT, done), buffer)
    if (size === 0) return consistent
    for (const message of messagesOf(Buffer.from(buffer.subarray(0, size)))) {
      if (message.flags & NLM_F_DUMP_INTR) consistent = false
      const failure = refusal(message, writer.names)
      if (failure) throw failure
      if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) return consistent
      found.push(message)
      if (!(message.flags & NLM_F_MULTI)) return consistent
    }
  }
}

/** 0 when there is no such link. */
export function interfaceIndex(name: string): number {
  return nameToIndex(name) as number
}

const nameSpace = Buffer.alloc(16)

export function interfaceExists(index: number): boolean {
  return indexToName(index, nameSpace) !== null
}

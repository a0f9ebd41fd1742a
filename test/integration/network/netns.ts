// Network namespaces for tests, and a plain executor of compiled network steps. Runs inside a private network and mount namespace.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import koffi from 'koffi'
import { check, libc, SyscallError } from '../../../native/bindings/libc.js'
import { messagesOf } from '../../../native/bindings/netlink.js'
import { compileNetOps, type NetPlanOp } from '../../../native/netops.js'
import type { NetOp } from '../../../core/sdk/kinds/network.js'

const setns = libc.func('int setns(int fd, int type)')
const socket = libc.func('int socket(int domain, int type, int protocol)')
const send = libc.func('int64_t send(int fd, const uint8_t *data, size_t size, int flags)')
const recv = libc.func('int64_t recv(int fd, uint8_t *data, size_t size, int flags)')
const close = libc.func('int close(int fd)')
const CLONE_NEWNET = 0x40000000

export function sh(command: string): string {
  return execFileSync('/bin/sh', ['-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

function inNamespace<T>(path: string | undefined, work: () => T): T {
  if (path === undefined) return work()
  const home = fs.openSync('/proc/self/ns/net', 'r')
  const there = fs.openSync(path, 'r')
  try {
    check(setns(there, CLONE_NEWNET) as number, 'setns', path)
    return work()
  } finally {
    if ((setns(home, CLONE_NEWNET) as number) !== 0) process.abort()
    fs.closeSync(home)
    fs.closeSync(there)
  }
}

/** One send and its answers. */
function exchange(fd: number, data: Buffer, names: readonly string[]): void {
  if (Number(send(fd, data, data.length, 0)) < 0) throw new SyscallError('send', koffi.errno(), names.join(', '))
  const buffer = Buffer.alloc(65536)
  for (;;) {
    const size = Number(recv(fd, buffer, buffer.length, 0x40))
    if (size < 0) return
    for (const { type, payload, sequence } of messagesOf(buffer.subarray(0, size))) {
      const errno = type === 2 ? -payload.readInt32LE(0) : 0
      if (errno !== 0) throw new SyscallError('netlink', errno, names[sequence - 1] ?? names[0] ?? '')
    }
  }
}

function carryOut(ops: readonly NetPlanOp[], namespace: string | undefined, sandbox: number): void {
  for (const op of ops) {
    if (op.op === 'write') {
      inNamespace(namespace, () => fs.writeFileSync(String(op.path), op.data))
      continue
    }
    const data = Buffer.from(op.messages as Uint8Array)
    const slots = op.slotAt ?? []
    for (let i = 0; i < slots.length; i += 2) data.writeUInt32LE(sandbox, slots[i] ?? 0)
    const fd = inNamespace(namespace, () => check(socket(16, 3 | 0o2000000, op.protocol) as number, 'socket'))
    try {
      if (op.protocol === 12) exchange(fd, data, (op.names ?? []).map(String))
      else {
        for (let at = 0; at < data.length; at += (data.readUInt32LE(at) + 3) & ~3) {
          const message = Buffer.from(data.subarray(at, at + data.readUInt32LE(at)))
          message.writeUInt16LE(message.readUInt16LE(6) | 4, 6)
          exchange(fd, message, (op.names ?? []).map(String))
        }
      }
    } finally {
      close(fd)
    }
  }
}

/** In a mount namespace of the program's own: names of namespaces meet nobody else's. */
export function hideNamespaces(): void {
  sh('mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns')
}

/** A container's network namespace. */
export class Sandbox {
  readonly path: string
  readonly #children: ChildProcess[] = []

  /** One that somebody else made. */
  static existing(name: string): Sandbox {
    return new Sandbox(name, true)
  }

  constructor(
    readonly name: string,
    exists = false,
  ) {
    if (!exists) sh(`ip netns add ${name}`)
    this.path = `/run/netns/${name}`
  }

  join(plan: { host: NetOp[]; container: NetOp[] }): void {
    const fd = fs.openSync(this.path, 'r')
    try {
      const { host, container } = compileNetOps(plan, { kind: 'slot', slot: 0 })
      carryOut(host, undefined, fd)
      carryOut(container, this.path, fd)
    } finally {
      fs.closeSync(fd)
    }
  }

  /** Host steps alone. */
  static onHost(host: NetOp[]): void {
    carryOut(compileNetOps({ host, container: [] }, { kind: 'slot', slot: 0 }).host, undefined, -1)
  }

  sh(command: string): string {
    return execFileSync('ip', ['netns', 'exec', this.name, '/bin/sh', '-c', command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  /** Answers `hello from NAME to CLIENT` on tcp and echoes udp. */
  async serve(port: number, address = '0.0.0.0'): Promise<void> {
    await serve(['ip', 'netns', 'exec', this.name], this.name, port, address, this.#children)
  }

  end(): void {
    for (const child of this.#children.splice(0)) child.kill('SIGKILL')
    sh(`ip netns del ${this.name}`)
  }
}

export async function serve(prefix: string[], name: string, port: number, address: string, children: ChildProcess[]): Promise<void> {
  const program = `
    require('net').createServer((s) => { s.on('error', () => {}); s.end('hello from ${name} to ' + s.remoteAddress + '\\n') }).listen(${port}, '${address}', () => {
      const u = require('dgram').createSocket('${address.includes(':') ? 'udp6' : 'udp4'}')
      u.on('message', (m, r) => u.send('hello from ${name} to ' + r.address + '\\n', r.port, r.address))
      u.bind(${port}, '${address}', () => console.log('ready'))
    })`
  const [command = '', ...rest] = [...prefix, process.execPath, '-e', program]
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve())
    child.once('exit', () => reject(new Error(`server ${name}:${port} ended`)))
  })
}

/** The server's greeting, or an empty text. */
export function greet(from: Sandbox | undefined, address: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): string {
  const command = protocol === 'tcp' ? `nc -w 1 ${address} ${port} </dev/null` : `echo | nc -u -w 1 ${address} ${port}`
  try {
    return (from ? from.sh(command) : sh(command)).trim()
  } catch {
    return ''
  }
}

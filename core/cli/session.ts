// A hijacked connection joined to this terminal: stdin with half-close, output with back-pressure, detach keys, window size and signals.
import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { constants } from 'node:os'
import type { Engine } from './engine.js'
import { segment } from './engine.js'
import { copyRaw, demultiplex } from './stdcopy.js'
import { UsageError } from './status.js'

export interface Streams {
  tty: boolean
  stdin: boolean
  stdout: boolean
  stderr: boolean
  detachKeys: string
}

/** `ctrl-p,ctrl-q` as bytes. */
export function parseDetachKeys(keys: string): Buffer {
  const text = keys === '' ? 'ctrl-p,ctrl-q' : keys
  const bytes = text.split(',').map((key) => {
    if (key.length === 1) return key.charCodeAt(0)
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1]
    if (control === undefined) throw new UsageError(`Unknown character: '${key}'`)
    return control === '@' ? 0 : control >= 'a' ? control.charCodeAt(0) - 96 : control.charCodeAt(0) - 64
  })
  return Buffer.from(bytes)
}

/** Finds the detach sequence in what is typed; what precedes it still goes to the container. */
export class DetachWatch {
  private matched = 0
  constructor(private readonly keys: Buffer) {}

  feed(data: Buffer): { forward: Buffer; detached: boolean } {
    const out: number[] = []
    for (const byte of data) {
      if (byte === this.keys[this.matched]) {
        if (++this.matched === this.keys.length) return { forward: Buffer.from(out), detached: true }
        continue
      }
      out.push(...this.keys.subarray(0, this.matched))
      this.matched = byte === this.keys[0] ? 1 : 0
      if (this.matched === 0) out.push(byte)
    }
    return { forward: Buffer.from(out), detached: false }
  }
}

/** Runs until the output ends (`false`) or the user detaches (`true`). */
export async function join(socket: Socket, streams: Streams): Promise<boolean> {
  const { stdin } = process
  // The container goes on when nobody reads any more: that is an error of this client, not the quiet end of a pipe.
  process.stdout.prependListener('error', (error) => {
    process.stderr.write(`write /dev/stdout: ${(error as NodeJS.ErrnoException).code === 'EPIPE' ? 'broken pipe' : error.message}\n`)
    process.exit(1)
  })
  const raw = streams.tty && streams.stdin && stdin.isTTY
  const watch = streams.tty && streams.stdin ? new DetachWatch(parseDetachKeys(streams.detachKeys)) : undefined
  let detach: (() => void) | undefined
  const detached = new Promise<boolean>((resolve) => (detach = () => resolve(true)))

  const forward = (data: Buffer) => {
    const seen = watch?.feed(data)
    const bytes = seen?.forward ?? data
    if (bytes.length > 0 && !socket.write(bytes)) {
      stdin.pause()
      socket.once('drain', () => stdin.resume())
    }
    if (seen?.detached) detach?.()
  }
  const endInput = () => socket.end()
  socket.on('error', () => stdin.pause())
  if (streams.stdin) {
    if (raw) stdin.setRawMode(true)
    stdin.on('data', forward).on('end', endInput).on('error', endInput)
    stdin.resume()
  }
  const silent = new PassThrough().resume()
  const stdout = streams.stdout ? process.stdout : silent
  const stderr = streams.stderr ? process.stderr : silent
  const output = streams.tty ? copyRaw(socket, stdout) : demultiplex(socket, stdout, stderr)
  try {
    return await Promise.race([output.then(() => false, ignoreReset), detached])
  } finally {
    if (streams.stdin) {
      stdin.off('data', forward).off('end', endInput).off('error', endInput)
      stdin.pause()
      if (raw) stdin.setRawMode(false)
    }
    socket.destroy()
  }
}

/** The engine closing with unread input is the end of the output, not a failure. */
function ignoreReset(error: unknown): boolean {
  const code = (error as { code?: string }).code
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE') return false
  throw error
}

/** Keeps the container's terminal at our size. `path` is `/containers/ID` or `/exec/ID`. */
export function followSize(engine: Engine, path: string): () => void {
  if (!process.stdout.isTTY) return () => undefined
  const resize = () => {
    const [columns, rows] = process.stdout.getWindowSize()
    engine.post(`${path}/resize`, { h: rows, w: columns }).catch(() => undefined)
  }
  resize()
  process.stdout.on('resize', resize)
  return () => void process.stdout.off('resize', resize)
}

const notProxied = new Set([
  'SIGCHLD',
  'SIGPIPE',
  'SIGURG',
  'SIGKILL',
  'SIGSTOP',
  'SIGWINCH',
  'SIGPROF',
  'SIGSEGV',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGIOT',
  'SIGSYS',
  'SIGPOLL',
  'SIGIO',
  'SIGVTALRM',
  'SIGSTKFLT',
  'SIGUNUSED',
])

/** Passes the signals we get on to the container. */
export function proxySignals(engine: Engine, container: string): () => void {
  const listeners: [NodeJS.Signals, () => void][] = []
  for (const name of Object.keys(constants.signals) as NodeJS.Signals[]) {
    if (notProxied.has(name)) continue
    const listener = () => void engine.post(`/containers/${segment(container)}/kill`, { signal: name.slice(3) }).catch(() => undefined)
    process.on(name, listener)
    listeners.push([name, listener])
  }
  return () => {
    for (const [name, listener] of listeners) process.off(name, listener)
  }
}

// The archive worker: one job after another, all of it blocking, in a process of its own. Ends with its daemon.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { check, libc } from '../../../native/bindings/libc.js'
import { chrootTo, closeFd, fchdir, statat, writeAll } from '../../../native/bindings/openat.js'
import { isTsdError, type ErrorCategory } from '../../sdk/errors.js'
import { compareTrees, overlayChanges } from './changes.js'
import type { Change } from './changes.js'
import { Copier } from './copy.js'
import { inPlace, PlaceGone, settle, type Home } from './enter.js'
import { Packer } from './pack.js'
import { CHUNK, frame, HEADER, header, PLACE_GONE } from './protocol.js'
import type { Failure, Job } from './protocol.js'
import { digestOfSelection, expand, gather, locate, readWhole } from './select.js'
import { MissingPath, NotAllowed, packResource, ResourceUnpacker, statResource } from './resource.js'
import { TarError } from './tar-reader.js'
import { codeOf, isDirectory, removeAt } from './tree.js'
import { Unpacker } from './unpack.js'
import { walk } from './walk.js'

const { O_RDONLY, O_DIRECTORY } = fs.constants
const PR_SET_PDEATHSIG = 1
const INPUT = 0
const OUTPUT = 1
/** Not the archive's fault. */
const environmental = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'ENOMEM', 'EMFILE', 'ENFILE', 'EBUSY', 'EPERM', 'EACCES'])

class InputFailed extends Error {}

/** Frames from the daemon, read with blocking calls through one buffer. */
class Input {
  private readonly buffer = Buffer.allocUnsafe(4 * CHUNK)
  private start = 0
  private end = 0
  private rest = 0
  private open = false

  private fill(): boolean {
    if (this.start === this.end) this.start = this.end = 0
    const length = fs.readSync(INPUT, this.buffer, this.end, this.buffer.length - this.end, null)
    this.end += length
    return length > 0
  }

  private head(): { type: number; length: number } | undefined {
    while (this.end - this.start < HEADER) {
      if (this.start > 0) {
        this.buffer.copyWithin(0, this.start, this.end)
        this.end -= this.start
        this.start = 0
      }
      if (!this.fill()) return undefined
    }
    const head = { type: this.buffer.readUInt8(this.start), length: this.buffer.readUInt32LE(this.start + 1) }
    this.start += HEADER
    return head
  }

  /** The next job; undefined when the daemon has gone. */
  job(): Job | undefined {
    const head = this.head()
    if (head === undefined) return undefined
    const parts: Buffer[] = []
    for (this.rest = head.length; this.rest > 0;) {
      const piece = this.piece()
      if (piece === undefined) return undefined
      parts.push(Buffer.from(piece))
    }
    const job = JSON.parse(Buffer.concat(parts).toString()) as Job
    this.open = job.kind === 'unpack' || job.kind === 'unpack-in'
    return job
  }

  private piece(): Buffer | undefined {
    if (this.start === this.end && !this.fill()) return undefined
    const piece = this.buffer.subarray(this.start, Math.min(this.end, this.start + this.rest))
    this.start += piece.length
    this.rest -= piece.length
    return piece
  }

  /** Next bytes of the job's stream, valid until the next call; undefined at its end. */
  pull = (): Buffer | undefined => {
    while (this.open && this.rest === 0) {
      const head = this.head()
      if (head === undefined) process.exit(0)
      if (head.type === frame.data) this.rest = head.length
      else {
        this.open = false
        if (head.type === frame.abort) throw new InputFailed('the input was cut off')
      }
    }
    if (!this.open) return undefined
    const piece = this.piece()
    if (piece === undefined) process.exit(0)
    return piece
  }

  drain(): void {
    try {
      while (this.pull() !== undefined);
    } catch (error) {
      if (!(error instanceof InputFailed)) throw error
    }
  }
}

function send(type: number, data: Uint8Array): void {
  writeAll(OUTPUT, header(type, data.byteLength))
  if (data.byteLength > 0) writeAll(OUTPUT, data)
}

/** Output is gathered: headers of small files would be a frame each. */
class Output {
  private readonly buffer = Buffer.allocUnsafe(CHUNK)
  private used = 0

  write = (data: Buffer): void => {
    for (let offset = 0; offset < data.length;) {
      const length = data.copy(this.buffer, this.used, offset)
      offset += length
      this.used += length
      if (this.used === this.buffer.length) this.flush()
    }
  }

  flush(): void {
    if (this.used > 0) send(frame.data, this.buffer.subarray(0, this.used))
    this.used = 0
  }
}

const openRoot = (root: string): number => fs.openSync(root, O_RDONLY | O_DIRECTORY)

/** Runs with the process chrooted into a directory; the way back is a descriptor that no archive can name. */
function inside<T>({ root: home }: Home, root: string, run: (fd: number) => T): T {
  const fd = openRoot(root)
  try {
    chrootTo(fd)
    return run(fd)
  } finally {
    chrootTo(home)
    closeFd(fd)
  }
}

function unpack(home: Home, job: Job & { kind: 'unpack' }, input: Input): unknown {
  return inside(home, job.root, (fd) => {
    const unpacker = new Unpacker(fd, input.pull, job.whiteouts, job)
    try {
      const result = unpacker.run()
      // The sender may yet find that its digest is wrong: not done before the input ended well.
      while (input.pull() !== undefined);
      if (job.sync) unpacker.sync()
      return result
    } catch (error) {
      throw error instanceof InputFailed ? error : archiveError(error, unpacker.current)
    }
  })
}

class JobError extends Error {
  readonly category: ErrorCategory
  readonly code: string | undefined
  constructor(category: ErrorCategory, message: string, code?: string) {
    super(message)
    this.category = category
    this.code = code
  }
}

function archiveError(error: unknown, entry: string): JobError {
  const code = codeOf(error)
  const name = Buffer.from(entry, 'latin1').toString()
  const message = `${name === '' ? 'archive' : `archive entry ${JSON.stringify(name)}`}: ${(error as Error).message}`
  return new JobError(
    error instanceof TarError || (code !== undefined && !environmental.has(code)) ? 'InvalidParameter' : 'System',
    message,
    code,
  )
}

/** One line of JSON for each change: a whole list could be large. */
function changes(home: Home, job: Job & { kind: 'changes' }): unknown {
  const output = new Output()
  const report = ({ kind, path: name }: Change): void =>
    output.write(Buffer.from(JSON.stringify({ path: `/${Buffer.from(name, 'latin1').toString()}`, kind }) + '\n'))
  if (job.lowers !== undefined) {
    const lowers = job.lowers.map(openRoot)
    inside(home, job.root, (fd) => overlayChanges(fd, lowers, report))
    lowers.forEach(closeFd)
  } else if (job.base !== undefined) {
    const base = openRoot(job.base)
    inside(home, job.root, (fd) => compareTrees(fd, base, report))
    closeFd(base)
  } else inside(home, job.root, (fd) => walk(fd, ({ path: name }) => report({ kind: 'add', path: name, visit: undefined })))
  output.flush()
  return {}
}

function pack(home: Home, job: Job & { kind: 'pack' }): unknown {
  const output = new Output()
  const packer = new Packer(output.write, job.whiteouts === 'overlay')
  if (job.base === undefined) inside(home, job.root, (fd) => packer.tree(fd))
  else {
    const base = openRoot(job.base)
    inside(home, job.root, (fd) => packer.differences(fd, base))
    closeFd(base)
  }
  output.flush()
  return {}
}

/** What a tree's content is guilty of is no fault of the system. */
function selecting<T>(home: Home, job: Job & { root: string }, select: (fd: number) => T): T {
  return inside(home, job.root, (fd) => {
    try {
      return select(fd)
    } catch (error) {
      throw error instanceof TarError ? new JobError('InvalidParameter', error.message) : error
    }
  })
}

function packIn(home: Home, job: Job & { kind: 'pack-in' }): unknown {
  const output = new Output()
  inPlace(home, job.place, (root) => packResource(root, job.path, output.write))
  output.flush()
  return {}
}

function exportIn(home: Home, job: Job & { kind: 'export-in' }): unknown {
  const output = new Output()
  inPlace(home, { ...job.place, mounts: [] }, (root) => new Packer(output.write, false).tree(root))
  output.flush()
  return {}
}

/** What the container's own mounts refuse is the request's fault. */
const refusals = new Map([
  ['EBUSY', 'something is mounted there'],
  ['EROFS', 'the file system is read-only'],
  ['EPERM', 'the file system does not allow it'],
])

function unpackIn(home: Home, job: Job & { kind: 'unpack-in' }, input: Input): unknown {
  const unpacker = new ResourceUnpacker()
  try {
    return inPlace(home, job.place, (root) => {
      unpacker.run(root, job.path, job, input.pull)
      // The sender may yet find that its input is damaged.
      while (input.pull() !== undefined);
      return {}
    })
  } catch (error) {
    if (isPlain(error) || unpacker.current === '') throw error
    const refusal = refusals.get(codeOf(error) ?? '')
    const failure = archiveError(error, unpacker.current)
    throw refusal === undefined ? failure : new JobError('InvalidParameter', `${failure.message}: ${refusal}`, failure.code)
  }
}

/** Failures that say all there is to say. */
const isPlain = (error: unknown): boolean =>
  error instanceof InputFailed ||
  error instanceof PlaceGone ||
  error instanceof NotAllowed ||
  error instanceof MissingPath ||
  isTsdError(error)

function copy(job: Job & { kind: 'copy' }): unknown {
  fs.mkdirSync(job.into, { recursive: true, mode: 0o700 })
  if (fs.readdirSync(job.into).length > 0) throw new JobError('Conflict', `cannot copy into ${job.into}: it is not empty`)
  const [from, into] = [openRoot(job.from), openRoot(job.into)]
  try {
    new Copier(into).run(from)
  } finally {
    closeFd(from)
    closeFd(into)
  }
  return {}
}

function remove(target: string): unknown {
  let parent: number
  try {
    parent = openRoot(path.dirname(target))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return {}
    throw error
  }
  try {
    removeAt(parent, Buffer.from(path.basename(target)).toString('latin1'))
  } finally {
    closeFd(parent)
  }
  return {}
}

/** Bytes of regular files and links, each inode once. */
function size(target: string): unknown {
  const seen = new Set<string>()
  let total = 0
  const count = ({ stat }: { stat: ReturnType<typeof statat> }): void => {
    if (isDirectory(stat)) return
    if (stat.nlink > 1) {
      const inode = `${stat.dev} ${stat.ino}`
      if (seen.has(inode)) return
      seen.add(inode)
    }
    total += stat.size
  }
  const fd = openRoot(target)
  try {
    walk(fd, count)
  } finally {
    closeFd(fd)
  }
  return { size: total }
}

function run(home: Home, job: Job, input: Input): unknown {
  switch (job.kind) {
    case 'unpack':
      return unpack(home, job, input)
    case 'pack':
      return pack(home, job)
    case 'changes':
      return changes(home, job)
    case 'copy':
      return copy(job)
    case 'remove':
      return remove(job.path)
    case 'size':
      return size(job.path)
    case 'locate':
      return selecting(home, job, (fd) => locate(fd, job.path))
    case 'match':
      return selecting(home, job, (fd) =>
        job.patterns.map((pattern) => expand(fd, pattern).map((name) => ({ name, place: locate(fd, name) }))),
      )
    case 'read':
      return selecting(home, job, (fd) => ({ content: readWhole(fd, job.path, job.limit)?.toString('base64') }))
    case 'gather':
      return selecting(home, job, (fd) => {
        const output = new Output()
        gather(fd, job.options, output.write)
        output.flush()
        return {}
      })
    case 'digest':
      return selecting(home, job, (fd) => ({ digest: digestOfSelection(fd, job.options) }))
    case 'stat-in':
      return inPlace(home, job.place, (root) => statResource(root, job.path))
    case 'pack-in':
      return packIn(home, job)
    case 'export-in':
      return exportIn(home, job)
    case 'unpack-in':
      return unpackIn(home, job, input)
  }
}

/** Categories of what went wrong with a path in a container; a missing one and a place that is gone are put into words by the daemon. */
function pathFailure(error: unknown): Failure {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof PlaceGone) return { category: 'Conflict', message: 'the container has ended', code: PLACE_GONE }
  if (error instanceof MissingPath || code === 'ENOENT') return { category: 'NotFound', message: 'no such file', code: 'ENOENT' }
  if (error instanceof JobError) return { category: error.category, message, ...(error.code === undefined ? {} : { code: error.code }) }
  if (isTsdError(error)) return { category: error.category, message }
  const badPath =
    error instanceof NotAllowed || error instanceof TarError || ['ENAMETOOLONG', 'ELOOP', 'ENOTDIR', 'EINVAL'].includes(code ?? '')
  const category = badPath ? 'InvalidParameter' : code === 'EACCES' ? 'Forbidden' : 'System'
  return { category, message, ...(code === undefined ? {} : { code }) }
}

function failureOf(error: unknown, job: Job): Failure {
  if ('place' in job) return pathFailure(error)
  const code = codeOf(error)
  const category = error instanceof JobError ? error.category : code === 'ENOENT' ? 'NotFound' : 'System'
  const subject = 'root' in job ? job.root : job.kind === 'copy' ? job.from : job.path
  const message = error instanceof JobError ? error.message : `${job.kind} of ${subject}: ${(error as Error).message}`
  return { category, message, ...(code === undefined ? {} : { code }) }
}

/** An orphan would go on writing into what the next daemon cleans up. */
function dieWithParent(): void {
  const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)')
  check(prctl(PR_SET_PDEATHSIG, os.constants.signals.SIGKILL, 0, 0, 0) as number, 'prctl')
  if (process.ppid !== Number(process.env['TSD_DAEMON'])) process.exit(0)
}

function main(): void {
  dieWithParent()
  process.umask(0)
  const home = settle()
  const input = new Input()
  for (let job = input.job(); job !== undefined; job = input.job()) {
    let answer: [type: number, value: unknown]
    try {
      answer = [frame.answer, run(home, job, input)]
    } catch (error) {
      answer = [frame.failure, failureOf(error, job)]
    }
    send(answer[0], Buffer.from(JSON.stringify(answer[1])))
    input.drain()
    fchdir(home.root)
  }
}

main()

import path from 'node:path'
import { Transform, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { formatDecimalSize } from '../../base/sizes.js'
import { localSource, localTarget, packLocal, unpackLocal } from '../copy/local.js'
import { containerArgument, destinationOf, keepEnding, splitEntry, type CopyEnd } from '../copy/paths.js'
import { segment, type Engine } from '../engine.js'
import { flag } from '../flags.js'
import { EngineError } from '../status.js'
import type { Verb } from '../verb.js'

interface PathStat {
  mode: number
  linkTarget: string
}

const goDirectory = 2 ** 31
const goLink = 2 ** 27
const has = (mode: number, bit: number): boolean => Math.floor(mode / bit) % 2 === 1

function statOf(header: string | string[] | undefined): PathStat {
  if (typeof header !== 'string') throw new Error('unable to decode the path stat: the engine sent none')
  return JSON.parse(Buffer.from(header, 'base64').toString()) as PathStat
}

const archivePath = (container: string): string => `/containers/${segment(container)}/archive`

async function statPath(engine: Engine, container: string, file: string): Promise<PathStat> {
  const answer = await engine.stream('HEAD', archivePath(container), { query: { path: file } })
  answer.resume()
  return statOf(answer.headers['x-docker-container-path-stat'])
}

interface Options {
  follow: boolean
  archive: boolean
  quiet: boolean
}

class Counter extends Transform {
  size = 0
  override _transform(chunk: Buffer, _encoding: string, done: (error: null, data: Buffer) => void): void {
    this.size += chunk.length
    done(null, chunk)
  }
}

const report = (counter: Counter, to: string, { quiet }: Options): void => {
  if (!quiet) process.stderr.write(`Successfully copied ${formatDecimalSize(counter.size)} to ${to}\n`)
}

async function fromContainer(engine: Engine, source: { container: string; path: string }, target: string, options: Options): Promise<void> {
  let file = source.path
  let rebase: string | undefined
  if (options.follow) {
    const stat = await statPath(engine, source.container, file).catch(() => undefined)
    if (stat && has(stat.mode, goLink)) {
      const { base } = splitEntry(file)
      file = keepEnding(stat.linkTarget, file)
      if (base !== splitEntry(file).base) rebase = base
    }
  }
  const answer = await engine.stream('GET', archivePath(source.container), { query: { path: file } })
  if (target === '-') return pipeline(answer, process.stdout, { end: false })
  const { mode } = statOf(answer.headers['x-docker-container-path-stat'])
  const from: CopyEnd = { path: file, exists: true, isDir: has(mode, goDirectory) }
  const destination = destinationOf(rebase === undefined ? from : { ...from, rebase }, await localTarget(target))
  // The archive has the name of what the link leads to.
  const base = splitEntry(file).base
  const rename = rebase === undefined ? destination.rename : { from: base, to: destination.rename?.to ?? rebase }
  const counter = new Counter()
  answer.on('error', (error) => counter.destroy(error))
  await unpackLocal(answer.pipe(counter), { dir: destination.dir, ...(rename ? { rename } : {}) })
  if (!answer.complete) throw new Error('unexpected EOF')
  report(counter, target, options)
}

async function containerTarget(engine: Engine, container: string, file: string): Promise<CopyEnd> {
  let at = file
  try {
    let stat = await statPath(engine, container, at)
    if (has(stat.mode, goLink)) {
      at = keepEnding(path.posix.isAbsolute(stat.linkTarget) ? stat.linkTarget : path.posix.join(splitEntry(at).dir, stat.linkTarget), at)
      stat = await statPath(engine, container, at)
    }
    return { path: at, exists: true, isDir: has(stat.mode, goDirectory) }
  } catch (error) {
    // The directory above may be there: the engine will say so if it is not.
    if (error instanceof EngineError && error.status < 500 && !error.reason.startsWith('No such container'))
      return { path: at, exists: false, isDir: false }
    throw error
  }
}

async function toContainer(engine: Engine, source: string, target: { container: string; path: string }, options: Options): Promise<void> {
  const end = await containerTarget(engine, target.container, target.path)
  let dir = end.path
  let archive: Readable = process.stdin
  if (source === '-') {
    if (!end.isDir) throw new Error(`destination "${target.container}:${target.path}" must be a directory`)
  } else {
    const from = await localSource(source, options.follow)
    const destination = destinationOf(from, end)
    dir = destination.dir
    archive = await packLocal(from, destination.rename)
  }
  const counter = new Counter()
  archive.on('error', (error) => counter.destroy(error))
  const answer = await engine.stream('PUT', archivePath(target.container), {
    query: { path: dir === '' ? '/' : dir, noOverwriteDirNonDir: 'true', ...(options.archive ? { copyUIDGID: 'true' } : {}) },
    headers: { 'Content-Type': 'application/x-tar' },
    upload: archive.pipe(counter),
  })
  answer.resume()
  report(counter, `${target.container}:${target.path}`, options)
}

const fromRoot = (file: string): string => keepEnding(path.posix.join('/', file), file)

export const verb: Verb = {
  name: 'cp',
  usage: '[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- | cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH',
  summary: 'Copy files/folders between a container and the local filesystem',
  aliases: ['container cp', 'cp'],
  flags: [
    flag('bool', 'a,archive', 'Archive mode (copy all uid/gid information)'),
    flag('bool', 'L,follow-link', 'Always follow symbol link in SRC_PATH'),
    flag('bool', 'q,quiet', 'Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached'),
  ],
  args: [2, 2],
  async run({ values, args, engine }) {
    const [source = '', target = ''] = args
    if (source === '') throw new Error('source can not be empty')
    if (target === '') throw new Error('destination can not be empty')
    const options = {
      follow: values.bool('follow-link'),
      archive: values.bool('archive'),
      quiet: values.has('quiet') ? values.bool('quiet') : !process.stdout.isTTY,
    }
    const [from, to] = [containerArgument(source), containerArgument(target)]
    if (from && to) throw new Error('copying between containers is not supported')
    if (from) {
      if (target === '-' && process.stdout.isTTY) throw new Error('cowardly refusing to save to a terminal. Use the -o flag or redirect')
      return fromContainer(engine, { ...from, path: fromRoot(from.path) }, target, options)
    }
    if (!to) throw new Error('must specify at least one container source')
    return toContainer(engine, source, { ...to, path: fromRoot(to.path) }, options)
  },
}

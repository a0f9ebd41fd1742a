import fs from 'node:fs/promises'
import path from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { codeOf } from '../status.js'
import { assertsDirectory, keepEnding, renamed, splitEntry, type CopyEnd, type Destination } from './paths.js'

const absolute = (file: string): string => keepEnding(path.resolve(file), file)

/** What is to be copied from here. Without `follow` a link is copied as one. */
export async function localSource(file: string, follow: boolean): Promise<CopyEnd> {
  const given = absolute(file)
  const through = assertsDirectory(given)
  const found = through || follow ? await fs.realpath(given) : given
  const info = await fs.lstat(found)
  if (through && !info.isDirectory()) throw new Error('not a directory')
  const kept = keepEnding(found, given)
  const { base } = splitEntry(given)
  const rebase = base !== splitEntry(kept).base ? { rebase: base } : {}
  return { path: kept, exists: true, isDir: info.isDirectory(), ...rebase }
}

/** Where a copy goes here: links are followed, also to what is not there yet. */
export async function localTarget(file: string): Promise<CopyEnd> {
  let at = absolute(file)
  for (let links = 0; links < 10; links++) {
    let info
    try {
      info = await fs.lstat(at)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      const parent = await fs.stat(path.dirname(at)).catch(() => undefined)
      if (!parent?.isDirectory()) throw new Error(`invalid output path: directory ${JSON.stringify(path.dirname(at))} does not exist`)
      return { path: at, exists: false, isDir: false }
    }
    if (!info.isSymbolicLink()) return { path: at, exists: true, isDir: info.isDirectory() }
    at = path.resolve(path.dirname(at), await fs.readlink(at))
  }
  throw new Error('too many symlinks in the path')
}

/** An archive of a local file or directory, its names as they are to be at the destination. */
export async function packLocal(source: CopyEnd, rename: Destination['rename']): Promise<Readable> {
  const { create } = await import('tar')
  const { dir, base } = splitEntry(source.path)
  const name = base === '' ? '.' : base
  const as = source.rebase ?? name
  const onWriteEntry = (entry: { path: string; type?: string; linkpath?: string | undefined }): void => {
    const final = (text: string): string => {
      // Targets of hard links come without it.
      const full = name === '.' && !/^\.(\/|$)/.test(text) ? `./${text}` : text
      const kept = renamed(full, { from: name, to: as })
      return rename ? renamed(kept, rename) : kept
    }
    entry.path = final(entry.path)
    if (entry.type === 'Link' && entry.linkpath !== undefined) entry.linkpath = final(entry.linkpath)
  }
  const archive = create({ cwd: dir === '' ? '.' : dir, portable: false, onWriteEntry }, [name])
  const stream = new PassThrough()
  archive.on('error', (error: unknown) => stream.destroy(error as Error))
  archive.pipe(stream)
  return stream
}

/** Unpacks what a container sent. Names that lead out of the directory, by themselves or through links, are refused by the reader. */
export async function unpackLocal(archive: Readable, { dir, rename }: Destination): Promise<void> {
  const { extract } = await import('tar')
  const reader = extract({
    cwd: dir === '' ? '.' : dir,
    preserveOwner: false,
    chmod: true,
    strict: true,
    filter: (_name, entry) => {
      if (!rename || !('path' in entry)) return true
      entry.path = renamed(entry.path, rename)
      if (entry.type === 'Link' && entry.linkpath !== undefined) entry.linkpath = renamed(entry.linkpath, rename)
      return true
    },
  })
  await pipeline(archive, reader)
}

// Finds and packs chosen paths of a tree that is the process's root. Runs in the worker, chrooted there.
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { closeFd, fstat, namesIn, openDirectoryAt, readlinkat, statatIfThere } from '../../../native/bindings/openat.js'
import type { FileStat } from '../../../native/bindings/openat.js'
import { matchesGlob } from '../../base/glob.js'
import type { GatherOptions, Located, TreeDirectory } from '../../sdk/trees.js'
import { Packer } from './pack.js'
import { TarError } from './tar-reader.js'
import type { TarEntry } from './tar-reader.js'
import { encodeHeader, trailer } from './tar-writer.js'
import { isDirectory, isRegular, isSymlink, openForRead, Tree } from './tree.js'
import { walk } from './walk.js'

const MAX_LINKS = 40

interface Step {
  name: string
  fd: number
  stat: FileStat
}

const directoryOf = (path: string, stat: FileStat): TreeDirectory => ({
  path,
  mode: stat.mode & 0o7777,
  uid: stat.uid,
  gid: stat.gid,
  mtimeSec: stat.mtimeSec,
})

/** Where a path leads, links followed as a process chrooted here would; what is missing at its end stays as it is written. */
export function locate(root: number, path: string): Located {
  const pending = path.split('/').reverse()
  const stack: Step[] = []
  const missing: string[] = []
  let last: { name: string; stat: FileStat } | undefined
  let links = 0
  try {
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === '' || part === '.') continue
      if (last !== undefined) throw new TarError(`${last.name} is not a directory`)
      if (part === '..') {
        const gone = missing.length > 0 ? (missing.pop(), undefined) : stack.pop()
        if (gone !== undefined) closeFd(gone.fd)
        continue
      }
      const at = stack.at(-1)?.fd ?? root
      const stat = missing.length > 0 ? undefined : statatIfThere(at, part)
      if (stat === undefined) missing.push(part)
      else if (isDirectory(stat)) stack.push({ name: part, fd: openDirectoryAt(at, part), stat })
      else if (isSymlink(stat)) {
        if (++links > MAX_LINKS) throw new TarError(`too many symbolic links at ${part}`)
        const target = readlinkat(at, part)
        if (target.startsWith('/')) for (const gone of stack.splice(0)) closeFd(gone.fd)
        pending.push(...target.split('/').reverse())
      } else last = { name: part, stat }
    }
    const names = stack.map(({ name }) => name)
    const parents = stack.map(({ stat }, index) => directoryOf(names.slice(0, index + 1).join('/'), stat))
    const kind = missing.length > 0 ? 'absent' : last === undefined ? 'directory' : isRegular(last.stat) ? 'file' : 'other'
    const stat = last?.stat ?? stack.at(-1)?.stat ?? fstat(root)
    return {
      path: [...names, ...(last === undefined ? [] : [last.name]), ...missing].join('/'),
      kind,
      ...(kind === 'absent' ? {} : { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, size: stat.size, mtimeSec: stat.mtimeSec }),
      parents,
      missing,
    }
  } finally {
    for (const { fd } of stack) closeFd(fd)
  }
}

const isPattern = (part: string): boolean => /[*?[\\]/.test(part)

/** Paths that a pattern names, in byte order; one that is no pattern is answered whether it is there or not. */
export function expand(root: number, pattern: string): string[] {
  let found = ['']
  for (const part of pattern.split('/').filter((one) => one !== '' && one !== '.')) {
    if (!isPattern(part)) found = found.map((path) => (path === '' ? part : `${path}/${part}`))
    else
      found = found.flatMap((path) => {
        const place = locate(root, path)
        if (place.kind !== 'directory') return []
        const fd = place.path === '' ? undefined : new Tree(root)
        try {
          const names = namesIn(fd === undefined ? root : fd.directory(place.path.split('/'), false))
          return names.filter((name) => matchesGlob(part, name)).map((name) => (path === '' ? name : `${path}/${name}`))
        } finally {
          fd?.forget()
        }
      })
  }
  return found.filter((path) => !isPattern(pattern) || locate(root, path).kind !== 'absent')
}

const directoryEntry = ({ path, mode, uid, gid, mtimeSec }: TreeDirectory): TarEntry => ({
  name: `${path}/`,
  type: 'directory',
  mode,
  uid,
  gid,
  size: 0,
  mtimeSec,
  mtimeNsec: 0,
  linkname: '',
  major: 0,
  minor: 0,
  xattrs: [],
})

/** Packs the items under their new names, after the directories that lead to them. */
function pack(root: number, options: GatherOptions, emit: (data: Buffer) => void): void {
  const { items, directories, mode, times } = options
  for (const directory of directories) emit(encodeHeader(directoryEntry(directory)))
  for (const { from, to, owner } of items) {
    const packer = new Packer(emit, false, (entry) => {
      if (owner !== undefined) [entry.uid, entry.gid] = [owner.uid, owner.gid]
      if (mode !== undefined && entry.type !== 'symlink') entry.mode = mode
      if (!times) entry.mtimeSec = 0
    })
    const parts = from.split('/').filter((part) => part !== '')
    const leaf = parts.pop()
    const tree = new Tree(root)
    try {
      const dir = tree.directory(parts, false)
      const stat = leaf === undefined ? fstat(root) : statatIfThere(dir, leaf)
      if (stat === undefined) throw new TarError(`${from} has gone`)
      if (!isDirectory(stat)) packer.add({ dir, name: leaf ?? '', path: to, stat })
      else if (leaf === undefined) walk(root, (visit) => packer.add(visit), to === '' ? '' : `${to}/`)
      else {
        const fd = openDirectoryAt(dir, leaf)
        try {
          walk(fd, (visit) => packer.add(visit), to === '' ? '' : `${to}/`)
        } finally {
          closeFd(fd)
        }
      }
    } finally {
      tree.forget()
    }
  }
  emit(trailer)
}

export function gather(root: number, options: GatherOptions, emit: (data: Buffer) => void): void {
  pack(root, options, emit)
}

/** Digest of what `gather` would pack, whatever its times. */
export function digestOfSelection(root: number, options: GatherOptions): string {
  const hash = createHash('sha256')
  pack(root, { ...options, directories: [], times: false }, (data) => hash.update(data))
  return `sha256:${hash.digest('hex')}`
}

/** A regular file whole, links followed inside the root; undefined when there is none. */
export function readWhole(root: number, path: string, limit: number): Buffer | undefined {
  const place = locate(root, path)
  if (place.kind === 'absent') return undefined
  if (place.kind !== 'file') throw new TarError(`${path} is no regular file`)
  const parts = place.path.split('/')
  const leaf = parts.pop() ?? ''
  const tree = new Tree(root)
  try {
    const fd = openForRead(tree.directory(parts, false), leaf)
    try {
      const { size } = fstat(fd)
      if (size > limit) throw new TarError(`${path} has ${size} bytes, more than the ${limit} that are read here`)
      return fs.readFileSync(fd)
    } finally {
      closeFd(fd)
    }
  } finally {
    tree.forget()
  }
}

// Packs a tree, or what differs from an older one. Runs in the worker.
import fs from 'node:fs'
import { closeFd, fchdir, fstat, readlinkat } from '../../../native/bindings/openat.js'
import type { FileStat } from '../../../native/bindings/openat.js'
import { getXattr, listXattrs } from '../../../native/bindings/xattr.js'
import { compareTrees } from './changes.js'
import type { TarEntry, TarType } from './tar-reader.js'
import { encodeHeader, padding, trailer } from './tar-writer.js'
import { codeOf, isDirectory, isOpaque, isRegular, isWhiteout, openForRead } from './tree.js'
import { inDirectory, walk } from './walk.js'
import type { Visit } from './walk.js'

const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO } = fs.constants
const typeOf = new Map<number, TarType>([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFCHR, 'char'],
  [S_IFBLK, 'block'],
  [S_IFIFO, 'fifo'],
])

/** Attributes that travel: not those of the overlay mount, nor labels of this host. */
const travels = (name: string): boolean =>
  !name.startsWith('trusted.overlay.') && /^(user\.|trusted\.|security\.capability$|system\.posix_acl_(access|default)$)/.test(name)

export class Packer {
  private readonly emit: (data: Buffer) => void
  private readonly overlay: boolean
  private readonly adjust: (entry: TarEntry) => void
  private readonly firstNames = new Map<string, string>()
  private readonly buffer = Buffer.allocUnsafe(1 << 16)

  /** `adjust` may change an entry before it is packed. */
  constructor(emit: (data: Buffer) => void, overlay: boolean, adjust: (entry: TarEntry) => void = () => undefined) {
    this.emit = emit
    this.overlay = overlay
    this.adjust = adjust
  }

  /** Everything below `root`. */
  tree(root: number): void {
    walk(root, (visit) => this.add(visit))
    this.emit(trailer)
  }

  /** One file or directory and all below it, under a name of its own. */
  resource({ dir, name, stat }: Omit<Visit, 'path'>, as: string): void {
    this.add({ dir, name, path: as, stat })
    if (isDirectory(stat)) inDirectory(dir, name, (fd) => walk(fd, (visit) => this.add(visit), `${as}/`))
    this.emit(trailer)
  }

  /** What differs below `root` from `base`, deletions as AUFS whiteouts. */
  differences(root: number, base: number): void {
    compareTrees(root, base, (change) => {
      if (change.kind === 'delete') this.whiteout(change.path, undefined)
      else if (change.visit !== undefined) this.add(change.visit)
    })
    this.emit(trailer)
  }

  add({ dir, name, path, stat }: Visit): void {
    if (this.overlay && isWhiteout(stat)) return this.whiteout(path, stat)
    const type = typeOf.get(stat.mode & S_IFMT)
    // Sockets have no place in an archive.
    if (type === undefined) return
    const entry = this.entryOf(type, path, stat)
    this.adjust(entry)
    if (stat.nlink > 1 && type !== 'directory') {
      const inode = `${stat.dev} ${stat.ino}`
      const first = this.firstNames.get(inode)
      if (first !== undefined) return this.emit(encodeHeader({ ...entry, type: 'link', linkname: first, size: 0, xattrs: [] }))
      this.firstNames.set(inode, path)
    }
    try {
      if (type === 'symlink') entry.linkname = readlinkat(dir, name)
      entry.xattrs = xattrsOf(dir, name)
      if (type === 'file') return this.file(dir, name, entry)
    } catch (error) {
      // Removed while we walked: a running container's tree moves.
      if (codeOf(error) === 'ENOENT') return
      throw error
    }
    this.emit(encodeHeader(entry))
    if (type === 'directory' && this.overlay && isOpaque(dir, name)) this.marker(`${path}/.wh..wh..opq`, stat)
  }

  private entryOf(type: TarType, path: string, stat: FileStat): TarEntry {
    const device = type === 'char' || type === 'block'
    return {
      name: type === 'directory' ? `${path}/` : path,
      type,
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size: type === 'file' ? stat.size : 0,
      // Whole seconds, as Docker's layers have them.
      mtimeSec: stat.mtimeSec,
      mtimeNsec: 0,
      linkname: '',
      major: device ? stat.rdevMajor : 0,
      minor: device ? stat.rdevMinor : 0,
      xattrs: [],
    }
  }

  private file(dir: number, name: string, entry: TarEntry): void {
    const fd = openForRead(dir, name)
    try {
      // Another file may have taken its name since.
      const now = fstat(fd)
      if (!isRegular(now)) return
      entry.size = now.size
      this.emit(encodeHeader(entry))
      let rest = entry.size
      while (rest > 0) {
        const length = fs.readSync(fd, this.buffer, 0, Math.min(rest, this.buffer.length), null)
        // A file that shrinks while it is read is filled up with zeros to the size announced.
        if (length === 0) this.buffer.fill(0)
        const piece = this.buffer.subarray(0, length === 0 ? Math.min(rest, this.buffer.length) : length)
        this.emit(piece)
        rest -= piece.length
      }
      this.emit(padding(entry.size))
    } finally {
      closeFd(fd)
    }
  }

  private whiteout(path: string, stat: FileStat | undefined): void {
    const slash = path.lastIndexOf('/') + 1
    this.marker(`${path.slice(0, slash)}.wh.${path.slice(slash)}`, stat)
  }

  private marker(name: string, stat: FileStat | undefined): void {
    this.emit(
      encodeHeader({
        name,
        type: 'file',
        mode: 0o600,
        uid: 0,
        gid: 0,
        size: 0,
        mtimeSec: stat?.mtimeSec ?? 0,
        mtimeNsec: 0,
        linkname: '',
        major: 0,
        minor: 0,
        xattrs: [],
      }),
    )
  }
}

function xattrsOf(dir: number, name: string): [string, Buffer][] {
  fchdir(dir)
  const found: [string, Buffer][] = []
  for (const attribute of listXattrs(name)) {
    const value = travels(attribute) ? getXattr(name, attribute) : undefined
    if (value !== undefined) found.push([attribute, value])
  }
  return found
}

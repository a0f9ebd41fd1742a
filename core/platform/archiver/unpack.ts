// Unpacks one archive below an open directory. Runs in the worker, chrooted there.
import fs from 'node:fs'
import {
  chmodat,
  chownat,
  closeFd,
  fchdir,
  linkat,
  mkdirat,
  mknodat,
  namesIn,
  openat,
  statat,
  statatIfThere,
  symlinkat,
  syncFileSystem,
  unlinkat,
  utimesat,
  writeAll,
} from '../../../native/bindings/openat.js'
import type { FileStat } from '../../../native/bindings/openat.js'
import { getXattr, setXattr } from '../../../native/bindings/xattr.js'
import type { WhiteoutFormat } from '../../sdk/ports.js'
import { TarError, TarReader } from './tar-reader.js'
import type { TarEntry } from './tar-reader.js'
import { codeOf, isDirectory, isRegular, isWhiteout, partsOf, removeAt, Tree } from './tree.js'

const { O_CREAT, O_EXCL, O_WRONLY, S_IFCHR, S_IFBLK, S_IFIFO } = fs.constants

const WHITEOUT = '.wh.'
const AUFS = '.wh..wh.'
const OPAQUE = '.wh..wh..opq'
const OVERLAY_OPAQUE = 'trusted.overlay.opaque'
const YES = Buffer.from('y')

export interface UnpackLimits {
  maxBytes: number
  maxEntries: number
}

/** Where and how an archive is unpacked that a user sends into a container. */
export interface UnpackAim {
  /** Of the directory, below the root, that its names start from. */
  base: string[]
  keepKinds: boolean
  owner: { uid: number; gid: number } | undefined
}

/** Attributes that an archive may set. Overlay's own would let a layer point out of itself; labels belong to the host. */
function mayCarry(name: string): boolean {
  if (name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.')) return false
  return /^(user\.|trusted\.|security\.capability$|system\.posix_acl_(access|default)$)/.test(name)
}

export class Unpacker {
  private readonly tree: Tree
  private readonly format: WhiteoutFormat
  private readonly limits: UnpackLimits
  private readonly reader: TarReader
  /** Paths that this archive made: its own whiteouts do not delete them. */
  private readonly made = new Set<string>()
  private readonly holding = new Set<string>()
  private readonly directoryTimes: { path: string; sec: number; nsec: number }[] = []
  private size = 0
  private entries = 0

  constructor(
    root: number,
    pull: () => Buffer | undefined,
    format: WhiteoutFormat,
    limits: UnpackLimits,
    private readonly aim?: UnpackAim,
  ) {
    this.tree = new Tree(root)
    this.reader = new TarReader(pull)
    this.format = format
    this.limits = limits
  }

  /** Name of the entry in hand, for messages. */
  get current(): string {
    return this.reader.current
  }

  run(): { size: number; entries: number } {
    try {
      for (let entry = this.reader.next(); entry !== undefined; entry = this.reader.next()) this.apply(entry)
      this.setDirectoryTimes()
    } finally {
      this.tree.forget()
    }
    return { size: this.size, entries: this.entries }
  }

  sync(): void {
    syncFileSystem(this.tree.root)
  }

  private apply(entry: TarEntry): void {
    if (++this.entries > this.limits.maxEntries) throw new TarError(`the archive has more than ${this.limits.maxEntries} entries`)
    this.size += entry.size
    if (this.size > this.limits.maxBytes) throw new TarError(`the archive unpacks to more than ${this.limits.maxBytes} bytes`)
    const parts = this.pathOf(entry.name)
    const base = parts.length > (this.aim?.base.length ?? 0) ? parts.pop() : undefined
    if (base === undefined) return this.applyRoot(entry)
    if (this.aim === undefined && base.startsWith(WHITEOUT)) return this.whiteout(parts, base)
    const dir = this.tree.directory(parts, true)
    const replaced = this.clear(dir, base, entry)
    this.make(dir, base, entry)
    // A hard link's attributes are its target's, whichever entry came last.
    if (entry.type !== 'link') this.attributes(dir, base, entry)
    if (replaced !== undefined && isWhiteout(replaced) && entry.type === 'directory' && this.format === 'overlay')
      this.markOpaque(dir, base)
    // What was removed may lie on the cached way.
    if (replaced !== undefined && !isRegular(replaced)) this.tree.forget()
    const path = [...parts, base].join('/')
    if (this.format === 'apply') this.remember(parts, path)
    if (entry.type === 'directory') this.directoryTimes.push({ path, sec: entry.mtimeSec, nsec: entry.mtimeNsec })
  }

  private pathOf(name: string): string[] {
    return [...(this.aim?.base ?? []), ...partsOf(name)]
  }

  private applyRoot(entry: TarEntry): void {
    // A directory that somebody else made keeps its own.
    if (this.aim !== undefined) return
    if (entry.type !== 'directory') throw new TarError('the root can only be a directory')
    this.attributes(this.tree.root, '.', entry)
    this.directoryTimes.push({ path: '', sec: entry.mtimeSec, nsec: entry.mtimeNsec })
  }

  /** Makes way for an entry: the last of a name wins, directories are kept for directories. Answers what was removed. */
  private clear(dir: number, base: string, entry: TarEntry): FileStat | undefined {
    const stat = statatIfThere(dir, base)
    if (stat === undefined) return undefined
    if (this.aim?.keepKinds === true && isDirectory(stat) !== (entry.type === 'directory')) throw new TarError(this.otherKind(stat, entry))
    if (!isDirectory(stat)) unlinkat(dir, base)
    else if (entry.type !== 'directory') removeAt(dir, base)
    else return undefined
    return stat
  }

  private otherKind(there: FileStat, entry: TarEntry): string {
    const quoted = (parts: string[]): string => JSON.stringify(`/${Buffer.from(parts.join('/'), 'latin1').toString()}`)
    const [path, into] = [quoted(this.pathOf(entry.name)), quoted(this.aim?.base ?? [])]
    return isDirectory(there)
      ? `cannot overwrite directory ${path} with non-directory ${into}`
      : `cannot overwrite non-directory ${path} with directory ${into}`
  }

  private make(dir: number, base: string, entry: TarEntry): void {
    switch (entry.type) {
      case 'directory':
        if (statatIfThere(dir, base) === undefined) mkdirat(dir, base, 0o755)
        break
      case 'file':
        this.writeFile(dir, base)
        break
      case 'symlink':
        if (entry.linkname === '') throw new TarError('the symbolic link has no target')
        symlinkat(entry.linkname, dir, base)
        break
      case 'link':
        this.hardLink(dir, base, entry)
        break
      case 'char':
        mknodat(dir, base, S_IFCHR | 0o600, entry.major, entry.minor)
        break
      case 'block':
        mknodat(dir, base, S_IFBLK | 0o600, entry.major, entry.minor)
        break
      case 'fifo':
        mknodat(dir, base, S_IFIFO | 0o600, 0, 0)
        break
    }
  }

  private writeFile(dir: number, base: string): void {
    const fd = openat(dir, base, O_CREAT | O_EXCL | O_WRONLY, 0o600)
    try {
      for (let piece = this.reader.read(); piece !== undefined; piece = this.reader.read()) writeAll(fd, piece)
    } finally {
      closeFd(fd)
    }
  }

  private hardLink(dir: number, base: string, entry: TarEntry): void {
    const parts = this.pathOf(entry.linkname)
    const target = parts.pop()
    if (target === undefined) throw new TarError('the hard link has no target')
    // The target's directory is looked up in a tree of its own, so that `dir` stays open.
    const lookup = new Tree(this.tree.root)
    try {
      linkat(lookup.directory(parts, false), target, dir, base)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw new TarError(`the hard link's target ${entry.linkname} is not in the archive`)
      throw error
    } finally {
      lookup.forget()
    }
  }

  private attributes(dir: number, base: string, entry: TarEntry): void {
    const { uid, gid } = this.aim?.owner ?? entry
    chownat(dir, base, uid, gid)
    if (entry.xattrs.length > 0) this.xattrs(dir, base, entry)
    // After chown, which clears setuid and capabilities.
    if (entry.type !== 'symlink') chmodat(dir, base, entry.mode)
    utimesat(dir, base, entry.mtimeSec, entry.mtimeNsec)
  }

  private xattrs(dir: number, base: string, entry: TarEntry): void {
    fchdir(dir)
    for (const [name, value] of entry.xattrs) {
      if (!mayCarry(name)) continue
      try {
        setXattr(base, name, value)
      } catch (error) {
        // As Docker: a file system or file type without attributes does not fail the layer.
        if (codeOf(error) !== 'ENOTSUP' && codeOf(error) !== 'EPERM') throw error
      }
    }
  }

  private whiteout(parts: string[], base: string): void {
    if (this.format === 'none') throw new TarError('whiteouts are not allowed here')
    if (base === OPAQUE) return this.opaque(parts)
    // Other names of this kind are AUFS's own bookkeeping.
    if (base.startsWith(AUFS)) return
    const name = base.slice(WHITEOUT.length)
    if (name === '' || name === '.' || name === '..') throw new TarError('the whiteout names no file')
    const dir = this.tree.directory(parts, true)
    const stat = statatIfThere(dir, name)
    if (this.format === 'overlay') {
      // Whiteouts speak of lower layers only: what this archive made itself stays.
      if (stat === undefined) mknodat(dir, name, S_IFCHR, 0, 0)
      else if (isDirectory(stat)) this.markOpaque(dir, name)
      return
    }
    if (stat === undefined) return
    this.sweep(dir, name, [...parts, name].join('/'))
    this.tree.forget()
  }

  private opaque(parts: string[]): void {
    const dir = this.tree.directory(parts, true)
    if (this.format === 'overlay') return this.markOpaque(dir, '.')
    const path = parts.join('/')
    for (const name of namesIn(dir)) this.sweep(dir, name, path === '' ? name : `${path}/${name}`)
    this.tree.forget()
  }

  /** Removes what lower layers left under a name, keeping what this archive made. */
  private sweep(dir: number, name: string, path: string): void {
    const stat = statat(dir, name)
    if (!isDirectory(stat)) {
      if (!this.made.has(path)) unlinkat(dir, name)
      return
    }
    if (!this.made.has(path) && !this.holding.has(path)) return removeAt(dir, name)
    const fd = openat(dir, name, fs.constants.O_DIRECTORY)
    try {
      for (const child of namesIn(fd)) this.sweep(fd, child, `${path}/${child}`)
    } finally {
      closeFd(fd)
    }
  }

  private remember(parents: string[], path: string): void {
    this.made.add(path)
    for (let depth = parents.length; depth > 0; depth--) {
      const parent = parents.slice(0, depth).join('/')
      if (this.holding.has(parent)) break
      this.holding.add(parent)
    }
  }

  private markOpaque(dir: number, name: string): void {
    fchdir(dir)
    if (getXattr(name, OVERLAY_OPAQUE) === undefined) setXattr(name, OVERLAY_OPAQUE, YES)
  }

  /** Last, because making files in a directory moves its time. */
  private setDirectoryTimes(): void {
    for (const { path, sec, nsec } of this.directoryTimes.reverse()) {
      const parts = path === '' ? [] : path.split('/')
      const base = parts.pop() ?? '.'
      try {
        const dir = this.tree.directory(parts, false)
        const stat = statatIfThere(dir, base)
        if (stat !== undefined && isDirectory(stat)) utimesat(dir, base, sec, nsec)
      } catch (error) {
        // Replaced by a later entry.
        if (codeOf(error) !== 'ENOENT' && !(error instanceof TarError)) throw error
      }
    }
  }
}

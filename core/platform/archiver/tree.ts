// Walks and edits below an open directory, component by component, never through a symbolic link that was not read first.
import fs from 'node:fs'
import {
  closeFd,
  fchdir,
  mkdirat,
  namesIn,
  openDirectoryAt,
  openat,
  readlinkat,
  renameat,
  statatIfThere,
  unlinkat,
} from '../../../native/bindings/openat.js'
import type { FileStat } from '../../../native/bindings/openat.js'
import { SyscallError } from '../../../native/bindings/libc.js'
import { getXattr } from '../../../native/bindings/xattr.js'
import { TarError } from './tar-reader.js'

const { S_IFMT, S_IFDIR, S_IFLNK, S_IFREG, S_IFCHR } = fs.constants

export const isDirectory = (stat: FileStat): boolean => (stat.mode & S_IFMT) === S_IFDIR
export const isSymlink = (stat: FileStat): boolean => (stat.mode & S_IFMT) === S_IFLNK
export const isRegular = (stat: FileStat): boolean => (stat.mode & S_IFMT) === S_IFREG
/** Overlay's mark of a deleted name. */
export const isWhiteout = (stat: FileStat): boolean => (stat.mode & S_IFMT) === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0

const MAX_LINKS = 40
/** Deeper directories are moved up before they are removed, so that open descriptors stay few. */
const MAX_DEPTH = 128

export const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code

/** Parts of an archive's path: absolute is taken from the root, `..` may not leave it. */
export function partsOf(name: string): string[] {
  const parts: string[] = []
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined && !name.startsWith('/')) throw new TarError('the path leads out of the root')
  }
  return parts
}

/** A directory taken as root: links inside are followed as a process chrooted there would. */
export class Tree {
  readonly root: number
  private cachedPath: string | undefined
  private cached: number[] = []

  constructor(root: number) {
    this.root = root
  }

  /** A descriptor (owned by the tree, valid until the next call) of the directory that `parts` name. */
  directory(parts: string[], create: boolean): number {
    const path = parts.join('/')
    if (this.cachedPath !== path) {
      this.forget()
      const stack: number[] = []
      try {
        this.descend(parts, create, stack)
      } catch (error) {
        stack.forEach(closeFd)
        throw error
      }
      this.cached = stack
      this.cachedPath = path
    }
    return this.cached.at(-1) ?? this.root
  }

  /** After anything on a cached way may have been replaced. */
  forget(): void {
    this.cached.forEach(closeFd)
    this.cached = []
    this.cachedPath = undefined
  }

  private descend(parts: string[], create: boolean, stack: number[]): void {
    const pending = [...parts].reverse()
    let links = 0
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === '' || part === '.') continue
      if (part === '..') {
        const gone = stack.pop()
        if (gone !== undefined) closeFd(gone)
        continue
      }
      const at = stack.at(-1) ?? this.root
      const fd = this.enter(at, part, create)
      if (fd !== undefined) {
        stack.push(fd)
        continue
      }
      if (++links > MAX_LINKS) throw new TarError(`too many symbolic links at ${part}`)
      const target = readlinkat(at, part)
      if (target.startsWith('/')) stack.splice(0).forEach(closeFd)
      pending.push(...target.split('/').reverse())
    }
  }

  /** Opens a directory, making it where asked to; undefined for a symbolic link. */
  private enter(at: number, name: string, create: boolean): number | undefined {
    try {
      return openDirectoryAt(at, name)
    } catch (error) {
      if (codeOf(error) === 'ENOENT' && create) {
        mkdirat(at, name, 0o755)
        return openDirectoryAt(at, name)
      }
      if (codeOf(error) === 'ENOTDIR' || codeOf(error) === 'ELOOP') {
        const stat = statatIfThere(at, name)
        if (stat !== undefined && isSymlink(stat)) return undefined
        throw new TarError(`${name} is not a directory`)
      }
      throw error
    }
  }
}

/** Removes what has this name, whatever it is. What is mounted below is never entered. */
export function removeAt(dir: number, name: string, top: { fd: number; moved: number } = { fd: dir, moved: 0 }, depth = 0): void {
  const stat = statatIfThere(dir, name)
  if (stat === undefined) return
  if (stat.mountRoot) throw new SyscallError('unlinkat', 16, name)
  if (!isDirectory(stat)) return unlinkat(dir, name)
  if (depth >= MAX_DEPTH) {
    // Moved beside the top and removed from there: neither path length nor descriptors grow with depth.
    const aside = `.removing.${process.pid}.${top.moved++}`
    renameat(dir, name, top.fd, aside)
    return
  }
  const fd = openDirectoryAt(dir, name)
  try {
    for (const child of namesIn(fd)) removeAt(fd, child, top, depth + 1)
  } finally {
    closeFd(fd)
  }
  unlinkat(dir, name, true)
  if (depth > 0) return
  for (let done = 0; done < top.moved; done++) removeAt(top.fd, `.removing.${process.pid}.${done}`, top, 1)
}

/** Opens a regular file for reading, not waiting for a fifo's other end should it have become one. */
export function openForRead(dir: number, name: string): number {
  return openat(dir, name, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
}

/** True for a directory of an overlay layer that hides the lower ones of its name. */
export function isOpaque(dir: number, name: string): boolean {
  fchdir(dir)
  return getXattr(name, 'trusted.overlay.opaque')?.toString('latin1') === 'y'
}

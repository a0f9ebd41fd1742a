// Copies one tree into another directory: owners, modes, times, attributes, hard links and devices are kept. Runs in the worker.
import fs from 'node:fs'
import {
  chmodat,
  chownat,
  closeFd,
  copyContent,
  fchdir,
  fstat,
  linkat,
  mkdirat,
  mknodat,
  namesIn,
  openat,
  openDirectoryAt,
  readlinkat,
  statatIfThere,
  symlinkat,
  utimesat,
} from '../../../native/bindings/openat.js'
import type { FileStat } from '../../../native/bindings/openat.js'
import { getXattr, listXattrs, setXattr } from '../../../native/bindings/xattr.js'
import { codeOf, isDirectory, isRegular, isSymlink, openForRead } from './tree.js'

const { O_CREAT, O_EXCL, O_WRONLY } = fs.constants

interface Placed {
  dir: number
  name: string
}

export class Copier {
  private readonly root: number
  private readonly copies = new Map<string, string>()

  /** `root` is the open directory copied into. */
  constructor(root: number) {
    this.root = root
  }

  run(from: number): void {
    this.content(from, this.root, '')
    this.attributes({ dir: from, name: '.' }, { dir: this.root, name: '.' }, fstat(from))
  }

  private content(from: number, into: number, prefix: string): void {
    for (const name of namesIn(from)) {
      const stat = statatIfThere(from, name)
      if (stat !== undefined) this.one(from, into, name, prefix + name, stat)
    }
  }

  private one(from: number, into: number, name: string, path: string, stat: FileStat): void {
    if (stat.nlink > 1 && !isDirectory(stat)) {
      const inode = `${stat.dev} ${stat.ino}`
      const first = this.copies.get(inode)
      if (first !== undefined) return this.link(first, into, name)
      this.copies.set(inode, path)
    }
    if (isDirectory(stat)) this.directory(from, into, name, path)
    else if (isRegular(stat)) this.file(from, into, name)
    else if (isSymlink(stat)) symlinkat(readlinkat(from, name), into, name)
    else mknodat(into, name, stat.mode, stat.rdevMajor, stat.rdevMinor)
    this.attributes({ dir: from, name }, { dir: into, name }, stat)
  }

  private directory(from: number, into: number, name: string, path: string): void {
    mkdirat(into, name, 0o700)
    const [source, target] = [openDirectoryAt(from, name), openDirectoryAt(into, name)]
    try {
      this.content(source, target, `${path}/`)
    } finally {
      closeFd(source)
      closeFd(target)
    }
  }

  private file(from: number, into: number, name: string): void {
    const source = openForRead(from, name)
    try {
      const target = openat(into, name, O_CREAT | O_EXCL | O_WRONLY, 0o600)
      try {
        copyContent(source, target)
      } finally {
        closeFd(target)
      }
    } finally {
      closeFd(source)
    }
  }

  private link(first: string, into: number, name: string): void {
    const parts = first.split('/')
    const leaf = parts.pop() ?? ''
    const opened: number[] = []
    try {
      for (const part of parts) opened.push(openDirectoryAt(opened.at(-1) ?? this.root, part))
      linkat(opened.at(-1) ?? this.root, leaf, into, name)
    } finally {
      opened.forEach(closeFd)
    }
  }

  private attributes(from: Placed, into: Placed, stat: FileStat): void {
    chownat(into.dir, into.name, stat.uid, stat.gid)
    fchdir(from.dir)
    const values = listXattrs(from.name).map((name) => [name, getXattr(from.name, name)] as const)
    if (values.length > 0) fchdir(into.dir)
    for (const [name, value] of values) {
      try {
        if (value !== undefined) setXattr(into.name, name, value)
      } catch (error) {
        if (codeOf(error) !== 'ENOTSUP' && codeOf(error) !== 'EPERM') throw error
      }
    }
    if (!isSymlink(stat)) chmodat(into.dir, into.name, stat.mode & 0o7777)
    utimesat(into.dir, into.name, stat.mtimeSec, stat.mtimeNsec)
  }
}

// Differences between two trees, and between an overlay's upper directory and what lies below it.
import fs from 'node:fs'
import { closeFd, fchdir, namesIn, openDirectoryAt, readlinkat, statatIfThere } from '../../../native/bindings/openat.js'
import type { FileStat } from '../../../native/bindings/openat.js'
import { getXattr } from '../../../native/bindings/xattr.js'
import { isDirectory, isOpaque, isSymlink, isWhiteout } from './tree.js'
import { inDirectory } from './walk.js'
import type { Visit } from './walk.js'

export interface Change {
  kind: 'modify' | 'add' | 'delete'
  /** Relative to the root, without a leading slash. */
  path: string
  /** Where it lies now; undefined for what was deleted. */
  visit: Visit | undefined
}

const { S_IFMT } = fs.constants

function sameTime(a: FileStat, b: FileStat): boolean {
  if (a.mtimeSec !== b.mtimeSec) return false
  // A tree that went through an archive has whole seconds.
  return a.mtimeNsec === b.mtimeNsec || a.mtimeNsec === 0 || b.mtimeNsec === 0
}

function capability(dir: number, name: string): string {
  fchdir(dir)
  return getXattr(name, 'security.capability')?.toString('latin1') ?? ''
}

function same(now: { dir: number; stat: FileStat }, before: { dir: number; stat: FileStat }, name: string): boolean {
  const [a, b] = [now.stat, before.stat]
  if (a.dev === b.dev && a.ino === b.ino) return true
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.rdevMajor !== b.rdevMajor || a.rdevMinor !== b.rdevMinor) return false
  if (!isDirectory(a) && (!sameTime(a, b) || a.size !== b.size)) return false
  if (isSymlink(a)) return readlinkat(now.dir, name) === readlinkat(before.dir, name)
  return capability(now.dir, name) === capability(before.dir, name)
}

/** Reports changes in byte order; a directory is reported before what changed in it, even when it is itself unchanged. */
export function compareTrees(root: number, base: number, report: (change: Change) => void): void {
  /** Unchanged directories on the way down, reported only when something below them is. */
  const unsaid: Change[] = []
  const say = (change: Change): void => {
    for (const parent of unsaid.splice(0)) report(parent)
    report(change)
  }
  const compare = (now: number, before: number | undefined, prefix: string): void => {
    const names = new Set(namesIn(now))
    const old = before === undefined ? [] : namesIn(before)
    const all = [...names, ...old.filter((name) => !names.has(name))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
    for (const name of all) {
      const path = prefix + name
      const stat = names.has(name) ? statatIfThere(now, name) : undefined
      const was = before === undefined ? undefined : statatIfThere(before, name)
      if (stat === undefined) {
        if (was !== undefined) say({ kind: 'delete', path, visit: undefined })
        continue
      }
      const change: Change = { kind: was === undefined ? 'add' : 'modify', path, visit: { dir: now, name, path, stat } }
      const unchanged = was !== undefined && before !== undefined && same({ dir: now, stat }, { dir: before, stat: was }, name)
      if (!unchanged) say(change)
      if (!isDirectory(stat)) continue
      if (unchanged) unsaid.push(change)
      inDirectory(now, name, (fd) => {
        if (before !== undefined && was !== undefined && isDirectory(was))
          inDirectory(before, name, (oldFd) => compare(fd, oldFd, `${path}/`))
        else compare(fd, undefined, `${path}/`)
      })
      if (unsaid.at(-1) === change) unsaid.pop()
    }
  }
  compare(root, base, '')
}

/** What an overlay's upper directory changes of its lower ones (topmost first). */
export function overlayChanges(upper: number, lowers: number[], report: (change: Change) => void, prefix = ''): void {
  for (const name of namesIn(upper)) {
    const stat = statatIfThere(upper, name)
    if (stat === undefined) continue
    const path = prefix + name
    if (isWhiteout(stat)) {
      report({ kind: 'delete', path, visit: undefined })
      continue
    }
    const below = lookup(lowers, name)
    report({ kind: below === undefined ? 'add' : 'modify', path, visit: { dir: upper, name, path, stat } })
    if (!isDirectory(stat)) continue
    const hidden = isOpaque(upper, name)
    const opened = hidden ? [] : openBelow(lowers, name)
    try {
      inDirectory(upper, name, (fd) => overlayChanges(fd, opened, report, `${path}/`))
    } finally {
      opened.forEach(closeFd)
    }
  }
}

function lookup(lowers: number[], name: string): FileStat | undefined {
  for (const dir of lowers) {
    const stat = statatIfThere(dir, name)
    if (stat !== undefined) return isWhiteout(stat) ? undefined : stat
  }
  return undefined
}

/** The directories of this name that are merged, down to the first that hides the rest. */
function openBelow(lowers: number[], name: string): number[] {
  const opened: number[] = []
  for (const dir of lowers) {
    const stat = statatIfThere(dir, name)
    if (stat === undefined) continue
    if ((stat.mode & S_IFMT) !== fs.constants.S_IFDIR) break
    opened.push(openDirectoryAt(dir, name))
    if (isOpaque(dir, name)) break
  }
  return opened
}

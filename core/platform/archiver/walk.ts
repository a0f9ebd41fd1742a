import { closeFd, namesIn, openDirectoryAt, statatIfThere } from '../../../native/bindings/openat.js'
import type { FileStat } from '../../../native/bindings/openat.js'
import { codeOf, isDirectory } from './tree.js'

/** One name met on a walk. `dir` is open while it is visited. */
export interface Visit {
  dir: number
  name: string
  /** Relative to the root, without a leading slash. */
  path: string
  stat: FileStat
}

/** Visits everything below an open directory, each directory before its content, names in byte order. */
export function walk(dir: number, visit: (visit: Visit) => void, prefix = ''): void {
  for (const name of namesIn(dir)) {
    const stat = statatIfThere(dir, name)
    if (stat === undefined) continue
    const path = prefix + name
    visit({ dir, name, path, stat })
    if (isDirectory(stat)) inDirectory(dir, name, (fd) => walk(fd, visit, `${path}/`))
  }
}

/** Runs with the directory open; not at all when it has gone meanwhile. */
export function inDirectory(dir: number, name: string, run: (fd: number) => void): void {
  let fd: number
  try {
    fd = openDirectoryAt(dir, name)
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return
    throw error
  }
  try {
    run(fd)
  } finally {
    closeFd(fd)
  }
}

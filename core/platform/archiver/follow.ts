import { closeFd, openDirectoryAt, readlinkat, statatIfThere } from '../../../native/bindings/openat.js'
import { TarError } from './tar-reader.js'
import { isDirectory, isSymlink } from './tree.js'

const MAX_LINKS = 255

export interface Followed {
  /** Without a link in them when they were looked at. */
  parts: string[]
  /** All of it is there. */
  found: boolean
}

/** Where a path leads below an open root once every link is followed, as far as it exists: what is missing is taken as it is written. */
export function follow(root: number, path: readonly string[]): Followed {
  const pending = [...path].reverse()
  const stack: { fd: number; name: string }[] = []
  const leave = (): void => {
    const left = stack.pop()
    if (left !== undefined && left.fd >= 0) closeFd(left.fd)
  }
  let found = true
  try {
    for (let links = 0, part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === '' || part === '.') continue
      if (part === '..') {
        leave()
        continue
      }
      const at = stack.at(-1)?.fd ?? root
      // A file, or nothing, is above what follows.
      const stat = at < 0 ? undefined : statatIfThere(at, part)
      if (stat === undefined) {
        found = false
        stack.push({ fd: -1, name: part })
      } else if (isSymlink(stat)) {
        if (++links > MAX_LINKS) throw new TarError(`too many symbolic links at ${part}`)
        const target = readlinkat(at, part)
        if (target.startsWith('/')) while (stack.length > 0) leave()
        pending.push(...target.split('/').reverse())
      } else stack.push({ fd: isDirectory(stat) ? openDirectoryAt(at, part) : -1, name: part })
    }
    return { parts: stack.map(({ name }) => name), found }
  } finally {
    while (stack.length > 0) leave()
  }
}

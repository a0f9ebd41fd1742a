import fs from 'node:fs'

const accepting = 0x10000

/**
 * Inodes of the sockets that listen at the path. The daemon binds `path.PID` and renames it into place, and the kernel remembers the first name.
 * Newest first: an older one may listen on although the path is no longer its own.
 */
export function listeners(table: string, path: string): string[] {
  const found: string[] = []
  for (const line of table.split('\n')) {
    const [, , , flags = '0', , , inode = '', ...words] = line.trim().split(/\s+/)
    const name = words.join(' ')
    const named = name === path || (name.startsWith(`${path}.`) && /^\d+$/.test(name.slice(path.length + 1)))
    if (named && (Number.parseInt(flags, 16) & accepting) !== 0) found.push(inode)
  }
  return found.toSorted((a, b) => Number(b) - Number(a))
}

function holds(pid: string, target: string): boolean {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).some((fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`) === target)
  } catch {
    // Gone, or not ours to look into.
    return false
  }
}

/** The tsd daemon that listens at the path: not a process that merely inherited the socket, and not somebody else's. */
export function daemonAt(path: string): number | undefined {
  const daemons = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isDaemon(Number(name)))
  for (const inode of listeners(fs.readFileSync('/proc/net/unix', 'utf8'), path)) {
    const pid = daemons.find((name) => holds(name, `socket:[${inode}]`))
    if (pid !== undefined) return Number(pid)
  }
  return undefined
}

export function isDaemon(pid: number): boolean {
  try {
    const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return words.some(
      (word, i) => word.endsWith('core/daemon/main.js') || (/(core\/cli\/main\.js|(^|\/)tsd)$/.test(word) && words[i + 1] === 'daemon'),
    )
  } catch {
    return false
  }
}

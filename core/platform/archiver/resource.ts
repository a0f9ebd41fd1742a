// What `docker cp` asks of a container's files. Runs in the worker, with the container's root as its own.
import fs from 'node:fs'
import { lookUpUser } from '../../base/accounts.js'
import { closeFd, fstat, openat, openDirectoryAt, statat, type FileStat } from '../../../native/bindings/openat.js'
import { follow } from './follow.js'
import { Packer } from './pack.js'
import type { ResourceStat, UnpackRules } from './protocol.js'
import { TarError } from './tar-reader.js'
import { isDirectory, isRegular, isSymlink, partsOf, Tree } from './tree.js'
import { Unpacker } from './unpack.js'

const { S_IFMT, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFSOCK, O_RDONLY } = fs.constants
const MAX_ACCOUNTS = 4 << 20

/** A path that does not exist, which the daemon tells in its own words. */
export class MissingPath extends Error {}
/** A request that the rules of its container do not allow. */
export class NotAllowed extends Error {}

const kinds = new Map([
  [S_IFDIR, 2 ** 31],
  [S_IFLNK, 2 ** 27],
  [S_IFBLK, 2 ** 26],
  [S_IFCHR, 2 ** 26 + 2 ** 21],
  [S_IFIFO, 2 ** 25],
  [S_IFSOCK, 2 ** 24],
])

/** Go's os.FileMode of a file. */
export function goMode(mode: number): number {
  const special = (mode & 0o4000 ? 2 ** 23 : 0) + (mode & 0o2000 ? 2 ** 22 : 0) + (mode & 0o1000 ? 2 ** 20 : 0)
  return (kinds.get(mode & S_IFMT) ?? 0) + special + (mode & 0o777)
}

/** `/`, `/x/` and `/x/.` speak of what a link leads to, `/x` of the link. */
const throughLinks = (path: string): boolean => /(^|\/)\.?$/.test(path)

/** The last part as Docker names it: `.` for `/x/.`. */
function baseOf(path: string): string {
  if (path.endsWith('/.')) return '.'
  return partsOf(`/${path}`).at(-1) ?? '/'
}

interface Found {
  tree: Tree
  dir: number
  name: string
  stat: FileStat
}

function find(root: number, path: string): Found {
  let parts = partsOf(`/${path}`)
  if (throughLinks(path)) {
    const followed = follow(root, parts)
    if (!followed.found) throw new MissingPath()
    parts = followed.parts
  }
  const name = parts.pop()
  const tree = new Tree(root)
  try {
    const dir = tree.directory(parts, false)
    const stat = name === undefined ? fstat(root) : statat(dir, name)
    if (throughLinks(path) && !isDirectory(stat)) throw new NotAllowed(`${JSON.stringify(textOf(path))} is not a directory`)
    return { tree, dir, name: name ?? '.', stat }
  } catch (error) {
    tree.forget()
    throw error
  }
}

const textOf = (name: string): string => Buffer.from(name, 'latin1').toString()

function describe(root: number, path: string, stat: FileStat): ResourceStat {
  const linkTarget = isSymlink(stat) ? `/${follow(root, partsOf(`/${path}`)).parts.join('/')}` : ''
  const { size, mode, mtimeSec, mtimeNsec } = stat
  return { name: baseOf(path), size, mode: goMode(mode), mtimeSec, mtimeNsec, linkTarget }
}

export function statResource(root: number, path: string): ResourceStat {
  const { tree, stat } = find(root, path)
  tree.forget()
  return describe(root, path, stat)
}

/** A line that describes it, then its archive, under the name that it was asked for. */
export function packResource(root: number, path: string, emit: (data: Buffer) => void): void {
  const found = find(root, path)
  try {
    emit(Buffer.from(JSON.stringify(describe(root, path, found.stat)) + '\n'))
    const base = baseOf(path)
    new Packer(emit, false).resource(found, base === '/' ? '' : base)
  } finally {
    found.tree.forget()
  }
}

const within = (path: string, destination: string): boolean => path === destination || path.startsWith(`${destination}/`)

function checkWritable(parts: string[], rules: UnpackRules): void {
  const path = `/${textOf(parts.join('/'))}`
  const deepest = rules.mounts
    .filter(({ destination }) => within(path, destination))
    .sort((a, b) => b.destination.length - a.destination.length)[0]
  if (deepest === undefined && rules.readonlyRoot) throw new NotAllowed('container rootfs is marked read-only')
  if (deepest?.writable === false) throw new NotAllowed('mounted volume is marked read-only')
}

function readAccounts(root: number, name: string): string {
  const { parts, found } = follow(root, ['etc', name])
  const base = parts.pop()
  if (!found || base === undefined) return ''
  const tree = new Tree(root)
  try {
    // O_NONBLOCK: it may be a fifo.
    const fd = openat(tree.directory(parts, false), base, O_RDONLY | fs.constants.O_NONBLOCK)
    try {
      const stat = fstat(fd)
      if (!isRegular(stat) || stat.size > MAX_ACCOUNTS) throw new NotAllowed(`/etc/${name} of the container is no list of accounts`)
      return fs.readFileSync(fd, 'utf8')
    } finally {
      closeFd(fd)
    }
  } finally {
    tree.forget()
  }
}

export class ResourceUnpacker {
  private unpacker: Unpacker | undefined

  get current(): string {
    return this.unpacker?.current ?? ''
  }

  run(root: number, path: string, rules: UnpackRules, pull: () => Buffer | undefined): void {
    const { parts, found } = follow(root, partsOf(`/${path}`))
    if (!found) throw new MissingPath()
    if (!this.isDirectory(root, parts)) throw new NotAllowed('extraction point is not a directory')
    checkWritable(parts, rules)
    const owner = rules.owner === undefined ? undefined : this.ownerOf(root, rules.owner)
    const limits = { maxBytes: Number.MAX_SAFE_INTEGER, maxEntries: Number.MAX_SAFE_INTEGER }
    this.unpacker = new Unpacker(root, pull, 'none', limits, { base: parts, keepKinds: rules.keepKinds, owner })
    this.unpacker.run()
  }

  private isDirectory(root: number, parts: string[]): boolean {
    const name = parts.at(-1)
    if (name === undefined) return true
    const tree = new Tree(root)
    try {
      closeFd(openDirectoryAt(tree.directory(parts.slice(0, -1), false), name))
      return true
    } catch (error) {
      if (error instanceof TarError || (error as { code?: string }).code === 'ENOTDIR') return false
      throw error
    } finally {
      tree.forget()
    }
  }

  private ownerOf(root: number, owner: string): { uid: number; gid: number } {
    const { user } = lookUpUser(owner, [], readAccounts(root, 'passwd'), readAccounts(root, 'group'))
    return { uid: user.uid, gid: user.gid }
  }
}

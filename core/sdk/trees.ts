import type { Readable } from 'node:stream'

/** A directory as an archive tells of it. Paths here are relative to the root of the tree, one latin1 character per byte. */
export interface TreeDirectory {
  path: string
  mode: number
  uid: number
  gid: number
  mtimeSec: number
}

/** Where a path leads inside a tree, all links followed. */
export interface Located {
  path: string
  kind: 'absent' | 'directory' | 'file' | 'other'
  mode?: number
  uid?: number
  gid?: number
  size?: number
  mtimeSec?: number
  /** Directories on the way that are there, the outermost first; the place itself too when it is one. */
  parents: TreeDirectory[]
  /** Names at the end of the path that are not there. */
  missing: string[]
}

/** What to pack: a file under its new path, or all that a directory holds below its new path. `from` is a located path. */
export interface GatheredItem {
  from: string
  to: string
  /** Instead of the owners that the files have. */
  owner?: { uid: number; gid: number } | undefined
}

export interface GatherOptions {
  items: GatheredItem[]
  /** Packed first, as they are given. */
  directories: TreeDirectory[]
  /** For everything but symbolic links. */
  mode?: number
  /** False: modification times are left out. */
  times: boolean
}

/** Questions about trees of hostile content: each is answered by a worker chrooted into the root. */
export interface Trees {
  locate(root: string, path: string): Promise<Located>
  /** What each pattern names (Go's filepath.Match for each component), in byte order, with where it leads. */
  match(root: string, patterns: string[]): Promise<{ name: string; place: Located }[][]>
  /** A regular file whole; undefined when it is not there. */
  read(root: string, path: string, limit: number): Promise<Buffer | undefined>
  gather(root: string, options: GatherOptions & { signal?: AbortSignal }): Readable
  /** Digest of what would be gathered: names, types, modes, owners and content, not times. */
  digest(root: string, options: GatherOptions & { signal?: AbortSignal }): Promise<string>
}

import type { Readable } from 'node:stream'
import type { Archiver, PackOptions, UnpackOptions } from '../../sdk/ports.js'
import type { GatherOptions, Located, Trees } from '../../sdk/trees.js'
import { WorkerPool, type PoolSettings } from './pool.js'
import type { Job } from './protocol.js'

/** Tar in and out of directories in worker processes, which are started on first use and end when they have nothing to do. */
export class WorkerArchiver implements Archiver, Trees {
  private readonly pool: WorkerPool

  constructor(settings: Partial<PoolSettings> = {}) {
    this.pool = new WorkerPool(settings)
  }

  async unpack(tar: Readable, options: UnpackOptions): Promise<{ size: number; entries: number }> {
    const { root, whiteouts, maxBytes = Number.MAX_SAFE_INTEGER, maxEntries = Number.MAX_SAFE_INTEGER, sync = false, signal } = options
    try {
      const result = await this.pool.run({ kind: 'unpack', root, whiteouts, maxBytes, maxEntries, sync }, { input: tar, signal })
      return result as { size: number; entries: number }
    } finally {
      tar.destroy()
    }
  }

  pack(options: PackOptions): Readable {
    const { root, whiteouts, base, signal } = options
    return this.pool.stream({ kind: 'pack', root, whiteouts, ...(base === undefined ? {} : { base }) }, signal)
  }

  async changes(options: PackOptions): Promise<{ path: string; kind: 'modify' | 'add' | 'delete' }[]> {
    const { root, whiteouts, base, lowers, signal } = options
    const job: Job = {
      kind: 'changes',
      root,
      whiteouts,
      ...(base === undefined ? {} : { base }),
      ...(lowers === undefined ? {} : { lowers }),
    }
    const found: { path: string; kind: 'modify' | 'add' | 'delete' }[] = []
    let rest: Buffer[] = []
    const output = (data: Buffer): boolean => {
      let start = 0
      for (let end = data.indexOf(0x0a); end >= 0; end = data.indexOf(0x0a, start)) {
        found.push(JSON.parse(Buffer.concat([...rest, data.subarray(start, end)]).toString()) as (typeof found)[number])
        rest = []
        start = end + 1
      }
      if (start < data.length) rest.push(data.subarray(start))
      return true
    }
    await this.pool.run(job, { signal, output })
    return found
  }

  async copy(from: string, into: string): Promise<void> {
    await this.pool.run({ kind: 'copy', from, into })
  }

  async remove(path: string): Promise<void> {
    await this.pool.run({ kind: 'remove', path })
  }

  async size(path: string): Promise<number> {
    return ((await this.pool.run({ kind: 'size', path })) as { size: number }).size
  }

  async locate(root: string, path: string): Promise<Located> {
    return (await this.pool.run({ kind: 'locate', root, path })) as Located
  }

  async match(root: string, patterns: string[]): Promise<{ name: string; place: Located }[][]> {
    return (await this.pool.run({ kind: 'match', root, patterns })) as { name: string; place: Located }[][]
  }

  async read(root: string, path: string, limit: number): Promise<Buffer | undefined> {
    const { content } = (await this.pool.run({ kind: 'read', root, path, limit })) as { content?: string }
    return content === undefined ? undefined : Buffer.from(content, 'base64')
  }

  gather(root: string, { signal, ...options }: GatherOptions & { signal?: AbortSignal }): Readable {
    return this.pool.stream({ kind: 'gather', root, options }, signal)
  }

  async digest(root: string, { signal, ...options }: GatherOptions & { signal?: AbortSignal }): Promise<string> {
    return ((await this.pool.run({ kind: 'digest', root, options }, { signal })) as { digest: string }).digest
  }

  /** Ends idle workers; those at work end with the daemon. */
  dispose(): void {
    this.pool.dispose()
  }
}

import os from 'node:os'
import { Readable } from 'node:stream'
import { cancelled } from '../../sdk/errors.js'
import type { Archiver, PackOptions, UnpackOptions } from '../../sdk/ports.js'
import type { GatherOptions, Located, Trees } from '../../sdk/trees.js'
import { WorkerProcess } from './process.js'
import type { JobStreams } from './process.js'
import type { Job } from './protocol.js'

export interface ArchiverSettings {
  /** Milliseconds after which an unused worker ends. */
  idle: number
  /** Jobs carried out side by side; archives being read by a client come on top. */
  workers: number
}

const defaults: ArchiverSettings = { idle: 5000, workers: Math.max(2, os.availableParallelism()) }

/** Tar in and out of directories in worker processes, which are started on first use and end when they have nothing to do. */
export class WorkerArchiver implements Archiver, Trees {
  private readonly settings: ArchiverSettings
  private readonly idle: { worker: WorkerProcess; timer: NodeJS.Timeout }[] = []
  private readonly waiting: (() => void)[] = []
  private busy = 0

  constructor(settings: Partial<ArchiverSettings> = {}) {
    this.settings = { ...defaults, ...settings }
  }

  async unpack(tar: Readable, options: UnpackOptions): Promise<{ size: number; entries: number }> {
    const { root, whiteouts, maxBytes = Number.MAX_SAFE_INTEGER, maxEntries = Number.MAX_SAFE_INTEGER, sync = false, signal } = options
    try {
      const result = await this.counted({ kind: 'unpack', root, whiteouts, maxBytes, maxEntries, sync }, { input: tar, signal })
      return result as { size: number; entries: number }
    } finally {
      tar.destroy()
    }
  }

  pack(options: PackOptions): Readable {
    const { root, whiteouts, base, signal } = options
    return this.streamed({ kind: 'pack', root, whiteouts, ...(base === undefined ? {} : { base }) }, signal)
  }

  /** The output of a job as a stream, which is started by its first reader. */
  private streamed(job: Job, signal: AbortSignal | undefined): Readable {
    let worker: WorkerProcess | undefined
    let finished = false
    const start = (): void => {
      worker = this.take()
      const output = (data: Buffer): boolean => stream.push(data)
      worker.run(job, { output, signal }).then(
        () => {
          finished = true
          stream.push(null)
          this.give(worker as WorkerProcess)
        },
        (error: unknown) => {
          finished = true
          this.give(worker as WorkerProcess)
          stream.destroy(error as Error)
        },
      )
    }
    const stream = new Readable({
      read: () => (worker === undefined ? start() : worker.resume()),
      destroy: (error, done) => {
        if (!finished) worker?.kill(error ?? cancelled('the archive was not read to its end'))
        done(error)
      },
    })
    return stream
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
    await this.counted(job, { signal, output })
    return found
  }

  async copy(from: string, into: string): Promise<void> {
    await this.counted({ kind: 'copy', from, into })
  }

  async remove(path: string): Promise<void> {
    await this.counted({ kind: 'remove', path })
  }

  async size(path: string): Promise<number> {
    return ((await this.counted({ kind: 'size', path })) as { size: number }).size
  }

  async locate(root: string, path: string): Promise<Located> {
    return (await this.counted({ kind: 'locate', root, path })) as Located
  }

  async match(root: string, patterns: string[]): Promise<{ name: string; place: Located }[][]> {
    return (await this.counted({ kind: 'match', root, patterns })) as { name: string; place: Located }[][]
  }

  async read(root: string, path: string, limit: number): Promise<Buffer | undefined> {
    const { content } = (await this.counted({ kind: 'read', root, path, limit })) as { content?: string }
    return content === undefined ? undefined : Buffer.from(content, 'base64')
  }

  gather(root: string, { signal, ...options }: GatherOptions & { signal?: AbortSignal }): Readable {
    return this.streamed({ kind: 'gather', root, options }, signal)
  }

  async digest(root: string, { signal, ...options }: GatherOptions & { signal?: AbortSignal }): Promise<string> {
    return ((await this.counted({ kind: 'digest', root, options }, { signal })) as { digest: string }).digest
  }

  /** Ends idle workers; those at work end with the daemon. */
  dispose(): void {
    for (const { worker, timer } of this.idle.splice(0)) {
      clearTimeout(timer)
      worker.end()
    }
  }

  private async counted(job: Job, streams: JobStreams = {}): Promise<unknown> {
    if (this.busy >= this.settings.workers) await new Promise<void>((resolve) => this.waiting.push(resolve))
    else this.busy++
    try {
      const worker = this.take()
      try {
        return await worker.run(job, streams)
      } finally {
        this.give(worker)
      }
    } finally {
      // The place is handed on, not given up and taken again.
      const next = this.waiting.shift()
      if (next !== undefined) next()
      else this.busy--
    }
  }

  private take(): WorkerProcess {
    for (let free = this.idle.pop(); free !== undefined; free = this.idle.pop()) {
      clearTimeout(free.timer)
      if (!free.worker.dead) return free.worker
    }
    return new WorkerProcess()
  }

  private give(worker: WorkerProcess): void {
    if (worker.dead) return
    const timer = setTimeout(() => {
      this.idle.splice(
        this.idle.findIndex((one) => one.worker === worker),
        1,
      )
      worker.end()
    }, this.settings.idle)
    timer.unref()
    this.idle.push({ worker, timer })
  }
}

import os from 'node:os'
import { Readable } from 'node:stream'
import { cancelled } from '../../sdk/errors.js'
import { WorkerProcess, type JobStreams } from './process.js'
import type { Job } from './protocol.js'

export interface PoolSettings {
  /** Milliseconds after which an unused worker ends. */
  idle: number
  /** Jobs carried out side by side; archives being read by a client come on top. */
  workers: number
}

const defaults: PoolSettings = { idle: 5000, workers: Math.max(2, os.availableParallelism()) }

/** Worker processes, started on first use and ended when they have nothing to do. */
export class WorkerPool {
  private readonly settings: PoolSettings
  private readonly idle: { worker: WorkerProcess; timer: NodeJS.Timeout }[] = []
  private readonly waiting: (() => void)[] = []
  private busy = 0

  constructor(settings: Partial<PoolSettings> = {}) {
    this.settings = { ...defaults, ...settings }
  }

  /** Waits for its turn. */
  async run(job: Job, streams: JobStreams = {}): Promise<unknown> {
    if (this.busy >= this.settings.workers) await new Promise<void>((resolve) => this.waiting.push(resolve))
    else this.busy++
    try {
      return await this.runNow(job, streams)
    } finally {
      // The place is handed on, not given up and taken again.
      const next = this.waiting.shift()
      if (next !== undefined) next()
      else this.busy--
    }
  }

  /** For what a client feeds or reads: it must not keep others waiting. */
  async runNow(job: Job, streams: JobStreams = {}): Promise<unknown> {
    const worker = this.take()
    try {
      return await worker.run(job, streams)
    } finally {
      this.give(worker)
    }
  }

  /** What a job writes, as its reader takes it. */
  stream(job: Job, signal?: AbortSignal): Readable {
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

  /** Ends idle workers; those at work end with the daemon. */
  dispose(): void {
    for (const { worker, timer } of this.idle.splice(0)) {
      clearTimeout(timer)
      worker.end()
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

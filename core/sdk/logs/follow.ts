import { type FSWatcher, watch } from 'node:fs'
import path from 'node:path'

/** Rotation and writes are told by inotify; where that is not to be had, or a file system says nothing, the clock does. */
const pollWatched = 1_000
const pollUnwatched = 200

/** Sleeps until the log's directory has news of the log. */
export class LogWatch {
  private watcher: FSWatcher | undefined
  private news = false
  private wake: (() => void) | undefined
  private readonly onAbort = (): void => this.tell()

  constructor(
    file: string,
    private readonly signals: AbortSignal[],
  ) {
    const base = path.basename(file)
    try {
      this.watcher = watch(path.dirname(file), { persistent: false }, (_event, name) => {
        if (name === null || name === base) this.tell()
      })
      this.watcher.on('error', () => {
        this.watcher?.close()
        this.watcher = undefined
      })
    } catch {
      this.watcher = undefined
    }
    for (const signal of signals) signal.addEventListener('abort', this.onAbort)
  }

  private tell(): void {
    this.news = true
    this.wake?.()
  }

  /** Until there is news, at most until `limit` milliseconds from now. */
  async wait(limit = Infinity): Promise<void> {
    if (!this.news) {
      const poll = Math.max(1, Math.min(limit, this.watcher === undefined ? pollUnwatched : pollWatched))
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, poll)
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.wake = undefined
    }
    this.news = false
  }

  close(): void {
    this.watcher?.close()
    for (const signal of this.signals) signal.removeEventListener('abort', this.onAbort)
  }
}

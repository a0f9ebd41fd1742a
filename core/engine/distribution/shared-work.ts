import { cancelled } from '../../sdk/errors.js'
import type { ProgressMessage } from '../images/index.js'
import type { Emit } from './progress.js'

interface Listener {
  queue: ProgressMessage[]
  wake: () => void
}

/** Work that several clients may watch. It is cancelled when the last of them has gone. */
class Work {
  private readonly listeners = new Set<Listener>()
  private readonly controller = new AbortController()
  /** What one who comes late is told: the latest of each layer, and all that concerns the whole. */
  private readonly story = new Map<string, ProgressMessage>()
  private outcome: { error?: unknown } | undefined

  constructor(work: (emit: Emit, signal: AbortSignal) => Promise<void>, done: () => void) {
    const end = (outcome: { error?: unknown }): void => {
      this.outcome = outcome
      done()
      for (const { wake } of this.listeners) wake()
    }
    work((message) => this.tell(message), this.controller.signal).then(
      () => end({}),
      (error: unknown) => end({ error }),
    )
  }

  /** Nobody can join any more. */
  get abandoned(): boolean {
    return this.controller.signal.aborted
  }

  private tell(message: ProgressMessage): void {
    const key = message.id ?? `#${this.story.size}`
    this.story.set(key, message)
    for (const { queue, wake } of this.listeners) {
      // One who reads slowly is told how far a layer is now, not how far it was.
      const moving = message.progressDetail?.total !== undefined
      const at = moving ? queue.findIndex(({ id, status }) => id === message.id && status === message.status) : -1
      if (at < 0) queue.push(message)
      else queue[at] = message
      wake()
    }
  }

  async *watch(signal: AbortSignal): AsyncGenerator<ProgressMessage> {
    const listener: Listener = { queue: [...this.story.values()], wake: () => undefined }
    this.listeners.add(listener)
    const abort = (): void => listener.wake()
    signal.addEventListener('abort', abort)
    try {
      for (;;) {
        if (signal.aborted) throw cancelled('the client went away')
        const next = listener.queue.shift()
        if (next !== undefined) yield next
        else if (this.outcome !== undefined) {
          if ('error' in this.outcome) throw this.outcome.error
          return
        } else await new Promise<void>((resolve) => (listener.wake = resolve))
      }
    } finally {
      signal.removeEventListener('abort', abort)
      this.listeners.delete(listener)
      if (this.listeners.size === 0 && this.outcome === undefined) this.controller.abort(cancelled('every client went away'))
    }
  }
}

/** Equal work is done once for all who ask for it at the same time. */
export class SharedWork {
  private readonly works = new Map<string, Work>()

  /** Watches the work of this key, begun by whoever came first. */
  join(key: string, signal: AbortSignal, begin: (emit: Emit, signal: AbortSignal) => Promise<void>): AsyncGenerator<ProgressMessage> {
    let work = this.works.get(key)
    if (work === undefined || work.abandoned) {
      const made: Work = new Work(begin, () => {
        if (this.works.get(key) === made) this.works.delete(key)
      })
      work = made
      this.works.set(key, made)
    }
    return work.watch(signal)
  }
}

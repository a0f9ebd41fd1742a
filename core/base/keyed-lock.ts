interface Waiter {
  enter(): void
}

/** One lock per key, first come first served. A key costs nothing while nobody uses it. */
export class KeyedLock {
  private readonly queues = new Map<string, Waiter[]>()

  /** Runs `work` once every earlier caller of the key is done. An aborted wait rejects with the signal's reason and keeps its place for nobody. */
  async run<T>(key: string, work: () => Promise<T> | T, options: { signal?: AbortSignal } = {}): Promise<T> {
    const release = await this.acquire(key, options)
    try {
      return await work()
    } finally {
      release()
    }
  }

  /** Takes the lock until the answer is called. Calling it twice does nothing. */
  async acquire(key: string, options: { signal?: AbortSignal } = {}): Promise<() => void> {
    options.signal?.throwIfAborted()
    const queue = this.queues.get(key)
    if (queue === undefined) this.queues.set(key, [])
    else await this.wait(queue, options.signal)
    let held = true
    return () => {
      if (!held) return
      held = false
      this.pass(key)
    }
  }

  /** True while somebody holds the key. */
  held(key: string): boolean {
    return this.queues.has(key)
  }

  private pass(key: string): void {
    const next = this.queues.get(key)?.shift()
    if (next === undefined) this.queues.delete(key)
    else next.enter()
  }

  private wait(queue: Waiter[], signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        enter: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      const onAbort = (): void => {
        const index = queue.indexOf(waiter)
        if (index < 0) return
        queue.splice(index, 1)
        reject(signal?.reason)
      }
      queue.push(waiter)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}

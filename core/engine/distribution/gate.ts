/** Lets so many in at a time, first come first served. The limit may change while some are in. */
export class Gate {
  private inside = 0
  private readonly waiting: (() => void)[] = []

  constructor(private readonly limit: () => number) {}

  get full(): boolean {
    return this.inside >= this.limit()
  }

  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    if (this.full) await this.turn(signal)
    else this.inside++
    try {
      signal.throwIfAborted()
      return await work()
    } finally {
      this.inside--
      while (!this.full && this.waiting.length > 0) {
        this.inside++
        this.waiting.shift()?.()
      }
    }
  }

  private turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = (): void => {
        this.waiting.splice(this.waiting.indexOf(enter), 1)
        reject(signal.reason as Error)
      }
      this.waiting.push(enter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
}

import type { Writable } from 'node:stream'

/** Bytes buffered for one client before its writer has to wait. */
export const clientLimit = 1024 * 1024

/** Writes to a client that may be slow or gone. Never throws and never holds more than the limit. */
export class BoundedOutput {
  private waiting: Promise<void> | undefined

  constructor(
    private readonly stream: Writable,
    private readonly limit: number = clientLimit,
  ) {}

  get gone(): boolean {
    return this.stream.destroyed || this.stream.writableEnded
  }

  /** A promise when the caller has to wait before it writes more. */
  write(...chunks: Uint8Array[]): Promise<void> | undefined {
    if (this.gone) return undefined
    if (chunks.length > 1) this.stream.cork()
    for (const chunk of chunks) this.stream.write(chunk)
    if (chunks.length > 1) this.stream.uncork()
    if (this.stream.writableLength <= this.limit) return undefined
    this.waiting ??= new Promise((resolve) => {
      const done = (): void => {
        this.stream.off('drain', done)
        this.stream.off('close', done)
        this.waiting = undefined
        resolve()
      }
      this.stream.on('drain', done)
      this.stream.on('close', done)
    })
    return this.waiting
  }
}

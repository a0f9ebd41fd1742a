import { formatDecimalSize } from '../../base/sizes.js'
import { shortId } from '../../base/ids.js'
import type { ProgressMessage } from '../images/index.js'

export type Emit = (message: ProgressMessage) => void

/** Milliseconds between two messages of how far one blob is. */
const pause = 100
const barWidth = 50

/** `[=====>      ]  1.5MB/3MB`, as older clients print it. */
export function progressBar(current: number, total: number): string {
  const done = Math.min(barWidth, Math.floor((current / total) * barWidth))
  const bar = `[${'='.repeat(done)}>${' '.repeat(barWidth - done)}] `
  const now = formatDecimalSize(current)
  return `${bar}${now.padStart(8)}/${formatDecimalSize(total)}`
}

/** What is said of one layer. */
export class LayerProgress {
  private last = 0
  private readonly id: string

  constructor(
    private readonly emit: Emit,
    digest: string,
  ) {
    this.id = shortId(digest)
  }

  status(status: string): void {
    this.last = 0
    this.emit({ status, progressDetail: {}, id: this.id })
  }

  /** Said seldom enough for a terminal. */
  bytes(status: string, current: number, total: number): void {
    const now = Date.now()
    if (now - this.last < pause && current < total) return
    this.last = now
    this.emit({ status, progressDetail: { current, total }, progress: progressBar(current, Math.max(total, 1)), id: this.id })
  }
}

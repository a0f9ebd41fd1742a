import type { ProgressMessage } from '../images/index.js'

/** Characters that a stage may have said ahead of its turn. */
const ahead = 1 << 20

interface Lane {
  messages: ProgressMessage[]
  size: number
  closed: boolean
  waiting: (() => void)[]
}

/** What stages that run side by side say, told one stage after the other. One who is far ahead of the reader waits. */
export class Transcript {
  private readonly lanes: Lane[]
  private wake: (() => void) | undefined
  private ended = false
  private failure: { error: unknown } | undefined

  constructor(lanes: number) {
    this.lanes = Array.from({ length: lanes }, () => ({ messages: [], size: 0, closed: false, waiting: [] }))
  }

  async say(lane: number, message: ProgressMessage): Promise<void> {
    const one = this.lanes[lane] as Lane
    if (this.ended) return
    one.messages.push(message)
    one.size += sizeOf(message)
    this.wake?.()
    if (one.size > ahead) await new Promise<void>((resolve) => one.waiting.push(resolve))
  }

  close(lane: number): void {
    ;(this.lanes[lane] as Lane).closed = true
    this.wake?.()
  }

  /** The end; the first one counts. After a failure only what was said up to that lane is told. */
  end(failure?: { error: unknown; lane: number }): void {
    if (this.ended) return
    this.failure = failure
    this.ended = true
    for (const [index, lane] of this.lanes.entries()) {
      lane.closed = true
      if (failure !== undefined && index > failure.lane) lane.messages.length = 0
      for (const waiter of lane.waiting.splice(0)) waiter()
    }
    this.wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ProgressMessage> {
    for (const lane of this.lanes) {
      for (;;) {
        const messages = lane.messages.splice(0)
        lane.size = 0
        for (const waiter of lane.waiting.splice(0)) waiter()
        yield* messages
        if (lane.messages.length > 0) continue
        if (lane.closed) break
        await new Promise<void>((resolve) => (this.wake = resolve))
        this.wake = undefined
      }
    }
    if (!this.ended) await new Promise<void>((resolve) => (this.wake = () => this.ended && resolve()))
    if (this.failure !== undefined) throw this.failure.error
  }
}

const sizeOf = ({ stream = '', status = '' }: ProgressMessage): number => stream.length + status.length + 64

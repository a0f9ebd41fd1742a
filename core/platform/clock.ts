import { formatTimestamp } from '../base/rfc3339.js'

/** Wall clock with nanoseconds: the monotonic clock, set by the system's time and set again when that was adjusted. */
export class SystemClock {
  private offset = 0n
  private last = 0n

  constructor() {
    this.anchor()
  }

  now(): number {
    return Date.now()
  }

  nanoseconds(): bigint {
    const wall = BigInt(Date.now()) * 1_000_000n
    let time = process.hrtime.bigint() + this.offset
    // Date.now() is cut to milliseconds; further apart means that somebody set the clock.
    const apart = time - wall
    if (apart < -1_000_000n || apart > 2_000_000n) time = this.anchor()
    // Two events of one daemon never carry the same time.
    if (time <= this.last && this.last - time < 1_000_000n) time = this.last + 1n
    this.last = time
    return time
  }

  timestamp(): string {
    return formatTimestamp(this.nanoseconds())
  }

  private anchor(): bigint {
    const time = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6))
    const wall = BigInt(Date.now()) * 1_000_000n
    const apart = time - wall
    const best = apart >= -1_000_000n && apart <= 2_000_000n ? time : wall
    this.offset = best - process.hrtime.bigint()
    return best
  }
}

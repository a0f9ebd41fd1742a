import type { LogDriver, LogSink } from 'tsd-engine/sdk'

/** Keeps nothing. Without `read`, `docker logs` is refused by the engine. Options are ignored, as Docker does for `none`. */
export class NoLog implements LogDriver {
  validate(): Promise<void> {
    return Promise.resolve()
  }

  start(): Promise<LogSink> {
    return Promise.resolve({ type: 'none' })
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }
}

import type { LogInfo } from '../../kinds/log.js'
import type { LogMessage } from '../entry.js'

/** An open way to a receiver. */
export interface Sender {
  /**
   * In order; resolves once they were handed over (or the receiver said so, where the protocol has that), and is called again only then.
   * A sender that hands over one by one takes each off the front, so that after a failure only the rest is sent again.
   */
  send(messages: LogMessage[]): Promise<void>
  /** True: it is time for another one. */
  stale?(): boolean
  close(): void
}

/** Where the messages of one container go. */
export interface Destination {
  open(signal: AbortSignal): Promise<Sender>
  /** A container does not start without its receiver. */
  required: boolean
  /** Milliseconds before the first repetition; each further wait is longer, up to `longestWait`. */
  retryWait: number
  longestWait: number
  /** Failures in a row after which messages are dropped; Infinity: never. */
  retries: number
}

/** What tells one forwarding log driver from another. */
export interface ForwardProtocol {
  /** As in `--log-driver`. */
  name: string
  /** Options that it knows, without those of the cache. */
  options: readonly string[]
  /** Throws InvalidParameter. */
  check(config: Record<string, string>): Promise<void> | void
  destination(info: LogInfo): Destination
}

export const patient: Omit<Destination, 'open' | 'required'> = { retryWait: 100, longestWait: 10_000, retries: Infinity }

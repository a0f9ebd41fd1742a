import { inject, injectable } from 'tsyringe'
import { unavailable } from '../../sdk/errors.js'
import { Clock, Logger, type LoggerPort } from '../ports/index.js'
import type { Event, EventFilter, Events } from './contract.js'
import { eventPredicate } from './filter.js'

/** Events kept for those who ask about the past. */
const historyLength = 1024
/** Events waiting for one subscriber before it is cut off. */
const queueLength = 4096

interface Recorded {
  time: bigint
  event: Event
}

type Subscriber = (recorded: Recorded) => void

/** The daemon's events: a ring of the last ones and whoever listens. Nothing of it outlives the daemon, as in Docker. */
@injectable()
export class EventLog implements Events {
  private readonly ring: Recorded[] = []
  /** Where the next event goes once the ring is full. */
  private next = 0
  private readonly subscribers = new Set<Subscriber>()

  constructor(
    @inject(Clock) private readonly clock: Clock,
    @inject(Logger) private readonly logger: LoggerPort,
  ) {}

  /** Shown by `docker info` as NEventsListener. */
  get listeners(): number {
    return this.subscribers.size
  }

  publish(type: string, action: string, actorId: string, attributes: Record<string, string>): void {
    const time = this.clock.nanoseconds()
    const event: Event = {
      ...legacyFields(type, action, actorId, attributes),
      Type: type as NonNullable<Event['Type']>,
      Action: action,
      Actor: { ID: actorId, Attributes: { ...attributes } },
      scope: 'local',
      time: Number(time / 1_000_000_000n),
      timeNano: Number(time),
    }
    const recorded = { time, event }
    if (this.ring.length < historyLength) this.ring.push(recorded)
    else {
      this.ring[this.next] = recorded
      this.next = (this.next + 1) % historyLength
    }
    for (const subscriber of this.subscribers) subscriber(recorded)
  }

  subscribe(filter: EventFilter): AsyncIterable<Event> {
    const matches = eventPredicate(filter.filters)
    const { since, until } = filter
    const queue: Event[] = []
    const past = since !== undefined || until !== undefined ? this.history(since, until) : []
    for (const { event } of past) if (matches(event)) queue.push(event)
    const remaining = until === undefined ? undefined : Number((until - this.clock.nanoseconds()) / 1_000_000n)
    const live = (remaining === undefined || remaining > 0) && !filter.signal.aborted
    if (!live) return replay(queue)

    let wake: (() => void) | undefined
    let cutOff = false
    const subscriber: Subscriber = ({ time, event }) => {
      if (cutOff || (until !== undefined && time > until) || !matches(event)) return
      if (queue.length >= queueLength) {
        cutOff = true
        this.subscribers.delete(subscriber)
        this.logger.warn(`an event subscriber was cut off: it let ${queueLength} events wait`)
      } else queue.push(event)
      wake?.()
    }
    // From here on nothing is missed, however late the iteration begins; a subscriber that never iterates is cut off like a slow one.
    this.subscribers.add(subscriber)
    const leave = (): void => {
      this.subscribers.delete(subscriber)
    }
    filter.signal.addEventListener('abort', leave, { once: true })
    const ended = (): boolean => filter.signal.aborted
    const deadline = remaining === undefined ? undefined : Date.now() + remaining

    return {
      async *[Symbol.asyncIterator]() {
        const rouse = (): void => wake?.()
        filter.signal.addEventListener('abort', rouse, { once: true })
        try {
          for (;;) {
            if (ended()) return
            yield* queue.splice(0)
            if (queue.length > 0) continue
            if (cutOff) throw unavailable('this event stream did not keep up and was ended: subscribe again with since')
            if (ended() || (deadline !== undefined && Date.now() >= deadline)) return
            await new Promise<void>((resolve) => {
              const timer = deadline === undefined ? undefined : setTimeout(resolve, Math.min(deadline - Date.now(), 2 ** 31 - 1))
              wake = () => {
                clearTimeout(timer)
                resolve()
              }
            })
            wake = undefined
          }
        } finally {
          leave()
          filter.signal.removeEventListener('abort', leave)
          filter.signal.removeEventListener('abort', rouse)
        }
      },
    }
  }

  private history(since: bigint | undefined, until: bigint | undefined): Recorded[] {
    const ordered = [...this.ring.slice(this.next), ...this.ring.slice(0, this.next)]
    return ordered.filter(({ time }) => (since === undefined || time >= since) && (until === undefined || time <= until))
  }
}

async function* replay(events: Event[]): AsyncGenerator<Event> {
  yield* events
}

/** Fields of the first event format, which some clients still read. */
function legacyFields(type: string, action: string, id: string, attributes: Record<string, string>): Partial<Event> {
  if (type === 'image') return { status: action, id }
  if (type !== 'container') return {}
  const from = attributes['image']
  return { status: action, id, ...(from === undefined ? {} : { from }) }
}

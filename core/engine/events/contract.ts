import type { EventMessage } from '../../schema/engine-api.js'

/** With the three fields that Docker still sends for containers and images beside their successors. */
export type Event = EventMessage & { status?: string; id?: string; from?: string }

export interface EventFilter {
  /** Docker's filter map: container, event, image, label, type, volume, network, daemon, scope ... Unknown keys: InvalidParameter. */
  filters: Record<string, string[]>
  /** Nanoseconds since the epoch. */
  since?: bigint
  until?: bigint
  signal: AbortSignal
}

export interface Events {
  /** How many follow the events. */
  readonly listeners: number
  publish(type: string, action: string, actorId: string, attributes: Record<string, string>): void
  /**
   * History (at least the last 256 events) from `since`, then live ones until `until` or the signal. Without since and until there is no
   * history. Unknown filter keys are thrown at once; a subscriber that does not keep up is cut off with Unavailable.
   */
  subscribe(filter: EventFilter): AsyncIterable<Event>
}
export const Events = Symbol.for('tsd.Events')

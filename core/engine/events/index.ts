export { Events, type Event, type EventFilter } from './contract.js'
export { EventLog } from './event-log.js'

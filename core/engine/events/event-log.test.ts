import 'reflect-metadata'
import test from 'ava'
import { formatTimestamp } from '../../base/rfc3339.js'
import type { Logger } from '../../sdk/ports.js'
import type { Clock } from '../ports/index.js'
import { EventLog, type Event } from './index.js'

class TestClock implements Clock {
  time = 1_700_000_000_000_000_000n
  now(): number {
    return Number(this.time / 1_000_000n)
  }
  timestamp(): string {
    return formatTimestamp(this.nanoseconds())
  }
  nanoseconds(): bigint {
    this.time += 1000n
    return this.time
  }
}

const setup = () => {
  const warnings: string[] = []
  const logger: Logger = { debug() {}, info() {}, warn: (text) => void warnings.push(text), error() {} }
  const clock = new TestClock()
  return { clock, warnings, log: new EventLog(clock, logger) }
}

async function all(events: AsyncIterable<Event>): Promise<string[]> {
  const seen: string[] = []
  for await (const event of events) seen.push(`${event.Action} ${event.Actor?.ID}`)
  return seen
}

const never = new AbortController().signal

test('the past, by time', async (t) => {
  const { log, clock } = setup()
  for (let i = 0; i < 3; i++) log.publish('container', 'start', `c${i}`, {})
  const now = clock.time
  t.deepEqual(await all(log.subscribe({ filters: {}, until: now, signal: never })), ['start c0', 'start c1', 'start c2'])
  t.deepEqual(await all(log.subscribe({ filters: {}, since: now - 1000n, until: now, signal: never })), ['start c1', 'start c2'])
  t.is(log.listeners, 0)
})

test('the ring keeps the last 1024 in order', async (t) => {
  const { log, clock } = setup()
  for (let i = 0; i < 1500; i++) log.publish('container', 'start', `c${i}`, {})
  const seen = await all(log.subscribe({ filters: {}, since: 1n, until: clock.time, signal: never }))
  t.is(seen.length, 1024)
  t.is(seen[0], 'start c476')
  t.is(seen.at(-1), 'start c1499')
})

test('live events without history, until the signal', async (t) => {
  const { log } = setup()
  log.publish('container', 'create', 'old', {})
  const controller = new AbortController()
  const seen = all(log.subscribe({ filters: {}, signal: controller.signal }))
  log.publish('container', 'start', 'new', {})
  await new Promise((resolve) => setImmediate(resolve))
  log.publish('container', 'die', 'new', {})
  setTimeout(() => controller.abort(), 20)
  t.deepEqual(await seen, ['start new', 'die new'])
  t.is(log.listeners, 0)
})

test('until in the future ends by itself', async (t) => {
  const { log, clock } = setup()
  const seen = all(log.subscribe({ filters: {}, until: clock.time + 50_000_000n, signal: never }))
  log.publish('volume', 'create', 'v', {})
  t.deepEqual(await seen, ['create v'])
})

test('filters', async (t) => {
  const { log, clock } = setup()
  log.publish('container', 'exec_create: sh -c true', 'abcdef', { name: 'web', image: 'nginx:1.25', tier: 'front' })
  log.publish('container', 'start', '123456', { name: 'db', image: 'redis' })
  log.publish('image', 'tag', 'sha256:ff', { name: 'nginx:1.25' })
  log.publish('network', 'connect', 'net1', { name: 'bridge', container: 'abcdef' })
  const find = (filters: Record<string, string[]>) => all(log.subscribe({ filters, until: clock.time, signal: never }))
  t.deepEqual(await find({ container: ['web'] }), ['exec_create: sh -c true abcdef'])
  t.deepEqual(await find({ container: ['abc', 'db'] }), ['exec_create: sh -c true abcdef', 'start 123456'])
  t.deepEqual(await find({ event: ['exec_create'] }), ['exec_create: sh -c true abcdef'])
  t.deepEqual(await find({ image: ['nginx'] }), ['exec_create: sh -c true abcdef', 'tag sha256:ff'])
  t.deepEqual(await find({ type: ['network', 'image'] }), ['tag sha256:ff', 'connect net1'])
  t.deepEqual(await find({ label: ['tier=front'] }), ['exec_create: sh -c true abcdef'])
  t.deepEqual(await find({ label: ['tier=front', 'absent'] }), [])
  t.deepEqual(await find({ type: ['container'], container: ['db'] }), ['start 123456'])
  t.throws(() => log.subscribe({ filters: { color: ['red'] }, signal: never }), { message: /invalid filter 'color'/ })
})

test('a subscriber that does not keep up is cut off, others are not', async (t) => {
  const { log, warnings } = setup()
  const controller = new AbortController()
  const slow = log.subscribe({ filters: {}, signal: controller.signal })
  for (let i = 0; i < 5000; i++) log.publish('container', 'start', `c${i}`, {})
  t.is(warnings.length, 1)
  t.is(log.listeners, 0)
  let count = 0
  await t.throwsAsync(
    async () => {
      for await (const _ of slow) count += 1
    },
    { message: /did not keep up/ },
  )
  t.is(count, 4096)
})

test('what is published cannot be changed by its publisher; old fields are there', async (t) => {
  const { log, clock } = setup()
  const attributes = { image: 'hello', name: 'a' }
  log.publish('container', 'die', 'id1', attributes)
  attributes.name = 'b'
  for await (const event of log.subscribe({ filters: {}, until: clock.time, signal: never })) {
    t.like(event, { status: 'die', id: 'id1', from: 'hello', Type: 'container', scope: 'local', time: 1_700_000_000 })
    t.is(event.Actor?.Attributes?.['name'], 'a')
  }
})

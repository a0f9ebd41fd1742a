import test from 'ava'
import fc from 'fast-check'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeyedLock } from './keyed-lock.js'

test('one at a time per key, in order, and other keys do not wait', async (t) => {
  const lock = new KeyedLock()
  const order: string[] = []
  const work = (key: string, name: string, ms: number) =>
    lock.run(key, async () => {
      order.push(`+${name}`)
      await sleep(ms)
      order.push(`-${name}`)
    })
  await Promise.all([work('a', '1', 20), work('a', '2', 5), work('a', '3', 1), work('b', 'x', 1)])
  t.deepEqual(
    order.filter((o) => !o.endsWith('x')),
    ['+1', '-1', '+2', '-2', '+3', '-3'],
  )
  t.true(order.indexOf('-x') < order.indexOf('-1'))
  t.false(lock.held('a'))
})

test('an error releases, an abort leaves the queue', async (t) => {
  const lock = new KeyedLock()
  await t.throwsAsync(
    lock.run('a', () => Promise.reject(new Error('no'))),
    { message: 'no' },
  )
  const release = await lock.acquire('a')
  const controller = new AbortController()
  const waiting = lock.run('a', () => t.fail('ran after abort'), { signal: controller.signal })
  const after = lock.run('a', () => 'after')
  controller.abort(new Error('gone'))
  await t.throwsAsync(waiting, { message: 'gone' })
  release()
  release()
  t.is(await after, 'after')
  t.false(lock.held('a'))
  await t.throwsAsync(
    lock.run('a', () => t.fail(), { signal: AbortSignal.abort(new Error('before')) }),
    { message: 'before' },
  )
})

test('never two holders, whatever aborts', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ key: fc.constantFrom('a', 'b'), abort: fc.boolean(), turns: fc.nat(3) }), { maxLength: 20 }),
      async (jobs) => {
        const lock = new KeyedLock()
        const inside = new Map<string, number>()
        await Promise.allSettled(
          jobs.map(({ key, abort, turns }) => {
            const controller = new AbortController()
            if (abort) queueMicrotask(() => controller.abort())
            return lock.run(
              key,
              async () => {
                inside.set(key, (inside.get(key) ?? 0) + 1)
                t.is(inside.get(key), 1)
                for (let i = 0; i < turns; i++) await Promise.resolve()
                inside.set(key, 0)
              },
              { signal: controller.signal },
            )
          }),
        )
        t.false(lock.held('a') || lock.held('b'))
      },
    ),
    { numRuns: 100 },
  )
})

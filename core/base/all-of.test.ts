import test from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
import { allOf } from './all-of.js'

test('answers what Promise.all answers', async (t) => {
  const [number, text, nothing] = await allOf([Promise.resolve(1), 'a', undefined])
  t.deepEqual([number, text, nothing], [1, 'a', undefined])
})

test('rejects with the first in the list that failed, once all are over', async (t) => {
  let over = false
  const slow = sleep(20).then(() => {
    over = true
    throw new Error('slow')
  })
  await t.throwsAsync(allOf([slow, Promise.reject(new Error('fast'))]), { message: 'slow' })
  t.true(over)
})

import test from 'ava'
import { Disposables } from './disposables.js'

test('unwinds last first and goes on after errors', async (t) => {
  const order: number[] = []
  const stack = new Disposables()
  stack.defer('one', () => void order.push(1))
  stack.defer('two', async () => {
    order.push(2)
    throw new Error('two failed')
  })
  t.is(
    stack.use('three', 3, (n) => void order.push(n)),
    3,
  )
  await t.throwsAsync(stack.dispose(), { message: 'two failed' })
  t.deepEqual(order, [3, 2, 1])
})

test('several errors are named, repeated dispose runs nothing twice', async (t) => {
  const stack = new Disposables()
  let runs = 0
  const fail = (): never => {
    runs++
    throw new Error('x')
  }
  stack.defer('a', fail)
  stack.defer('b', fail)
  const error = await t.throwsAsync(stack.dispose(), { message: 'failed to undo: b, a' })
  t.true(error instanceof AggregateError)
  await t.throwsAsync(stack.dispose())
  t.is(runs, 2)
})

test('keep hands the steps over, a late step runs at once', async (t) => {
  const stack = new Disposables()
  let undone = 0
  stack.defer('a', () => void undone++)
  const kept = stack.keep()
  await stack.dispose()
  t.is(undone, 0)
  await kept.dispose()
  t.is(undone, 1)
  kept.defer('late', () => void undone++)
  await kept.dispose()
  t.is(undone, 2)
})

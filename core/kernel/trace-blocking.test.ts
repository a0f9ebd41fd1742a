import test from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
import { Timings } from './timings.js'
import { traceBlocking, type BlockingSection } from './trace-blocking.js'

function spinForAWhile(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

test.serial('long sections are named, short ones are not reported', async (t) => {
  const found: BlockingSection[] = []
  const trace = traceBlocking({ threshold: 10, report: (section) => found.push(section) })
  await sleep(30)
  await new Promise<void>((resolve) =>
    setTimeout(() => {
      spinForAWhile(40)
      resolve()
    }, 1),
  )
  await sleep(5)
  await trace.stop()
  const [long] = found.filter((section) => section.name.includes('spinForAWhile'))
  t.truthy(long, JSON.stringify(found))
  t.true((long?.milliseconds ?? 0) >= 35)
  t.is(long?.resource, 'Timeout')
  t.regex(long?.name ?? '', /core\/kernel\/trace-blocking\.test\.js:\d+/)
})

test.serial('timings are a tree', async (t) => {
  const root = new Timings('boot')
  await root.span('outer', async (outer) => {
    await outer.span('inner', () => sleep(5))
    await t.throwsAsync(outer.span('failing', () => Promise.reject(new Error('x'))))
  })
  root.finish()
  t.regex(root.format(), /boot\n.*  outer\n.*    inner\n.*    failing$/)
  t.true(root.milliseconds >= 4)
})

import test from 'ava'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Timings } from './timings.js'
import { traceBlocking, type BlockingSection } from './trace-blocking.js'

const onCpu = (): number => Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]) / 1e6

/** On a CPU, however busy the machine is. */
function spinForAWhile(milliseconds: number): void {
  const end = onCpu() + milliseconds
  while (onCpu() < end) for (let i = 0; i < 300_000; i++) Math.sqrt(i)
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
  const [long] = found.filter((section) => section.resource === 'Timeout')
  t.truthy(long, JSON.stringify(found))
  t.true((long?.milliseconds ?? 0) >= 35)
  t.regex(long?.name ?? '', /core\/kernel\/trace-blocking\.test\.js:\d+/)
})

test.serial('time without a CPU is told apart', async (t) => {
  const found: BlockingSection[] = []
  const trace = traceBlocking({ threshold: 10, report: (section) => found.push(section) })
  await sleep(30)
  // More of them than there are CPUs: somebody has to wait.
  const others = availableParallelism() * 3
  const source = 'const end = Date.now() + 1500; while (Date.now() < end);'
  const busy = Array.from({ length: others }, () => spawn(process.execPath, ['-e', source]))
  await sleep(300)
  await new Promise<void>((resolve) =>
    setTimeout(() => {
      spinForAWhile(100)
      resolve()
    }, 1),
  )
  await Promise.all(busy.map((child) => once(child, 'exit')))
  await trace.stop()
  const [long] = found.filter((section) => section.resource === 'Timeout')
  t.true((long?.waitedMilliseconds ?? 0) > 10, JSON.stringify(found))
  t.true((long?.milliseconds ?? 0) >= 80)
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

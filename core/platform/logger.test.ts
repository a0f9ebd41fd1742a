import test from 'ava'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseTimestamp } from '../base/rfc3339.js'
import { SystemClock } from './clock.js'
import { createLogger } from './logger.js'

test('text and JSON lines, levels, children, errors', async (t) => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-log-'))
  const file = path.join(dir, 'log')
  const logger = createLogger({ to: file })
  const child = logger.child({ driver: 'vfs' })
  logger.debug('hidden')
  child.warn('line\nbreak', { error: new Error('no "x"'), n: 1n })
  logger.level = 'debug'
  child.debug('now seen')
  await new Promise((resolve) => setTimeout(resolve, 50))
  logger.flush()
  const lines = (await fs.readFile(file, 'utf8')).trimEnd().split('\n')
  t.is(lines.length, 2)
  t.regex(lines[0] as string, /^time="[^"]+Z" level=warning msg="line\\nbreak" driver=vfs error="no \\"x\\"" n=1$/)
  const json = createLogger({ to: path.join(dir, 'json'), format: 'json' })
  json.info('hello', { a: 1 })
  await new Promise((resolve) => setTimeout(resolve, 50))
  json.flush()
  const { level, msg, a } = JSON.parse(await fs.readFile(path.join(dir, 'json'), 'utf8')) as Record<string, unknown>
  t.deepEqual([level, msg, a], ['info', 'hello', 1])
  await fs.rm(dir, { recursive: true })
})

test('the clock is near the system time and never repeats', (t) => {
  const clock = new SystemClock()
  let last = 0n
  for (let i = 0; i < 1000; i++) {
    const time = clock.nanoseconds()
    t.true(time > last)
    last = time
  }
  t.true(Math.abs(Number(parseTimestamp(clock.timestamp()) / 1_000_000n) - Date.now()) < 50)
})

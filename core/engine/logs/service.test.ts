import 'reflect-metadata'
import test from 'ava'
import { notFound, type TsdError } from '../../sdk/errors.js'
import type { LogDriver, LogEntry, LogInfo } from '../../sdk/kinds/log.js'
import type { Drivers, EngineConfig } from '../ports/index.js'
import { LogsService } from './index.js'

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

function setUp() {
  const seen: Record<string, string>[] = []
  const taken: string[] = []
  let leases = 0
  const entries: LogEntry[] = [
    { source: 'stdout', time: '', line: Buffer.from('out\n') },
    { source: 'stderr', time: '', line: Buffer.from('err\n') },
  ]
  const plain: LogDriver = {
    validate: async (config) => void seen.push(config),
    start: async (info) => ({ type: 'fifo', path: info.logDir, mode: 'blocking', bufferSize: 0 }),
    stop: async () => undefined,
  }
  const drivers: Record<string, LogDriver> = {
    none: plain,
    refusing: {
      ...plain,
      read: () => {
        throw notFound('not this one')
      },
    },
    readable: {
      ...plain,
      async *read() {
        yield entries
      },
    },
  }
  const port = {
    lease: async (_kind: string, name: string) => {
      taken.push(name)
      const driver = drivers[name]
      if (driver === undefined) throw notFound(`no driver ${name}`)
      leases++
      return { name, driver, release: () => leases-- }
    },
  } as unknown as Drivers
  const config = { logDriver: 'readable', logOpts: { tag: 'x', mode: 'blocking' } } as unknown as EngineConfig
  return { logs: new LogsService(port, config, silent), seen, taken, leases: () => leases }
}

const info = { config: {}, containerId: 'c1', logDir: '/x' } as LogInfo
const reading = { follow: false, stopped: new AbortController().signal, signal: new AbortController().signal }

test('defaults of the daemon fill what the container does not say', async (t) => {
  const { logs, seen } = setUp()
  t.deepEqual(await logs.validate(undefined), { Type: 'readable', Config: { tag: 'x', mode: 'blocking' } })
  t.deepEqual(await logs.validate({ Type: '', Config: { tag: 'y' } }), { Type: 'readable', Config: { tag: 'y', mode: 'blocking' } })
  t.deepEqual(await logs.validate({ Type: 'none', Config: null }), { Type: 'none', Config: {} })
  t.deepEqual(seen, [{ tag: 'x' }, { tag: 'y' }, {}])
})

test('bad drivers and common options are refused', async (t) => {
  const { logs } = setUp()
  const error = await t.throwsAsync<TsdError>(logs.validate({ Type: 'nope' }), {
    message: /^logger: no log driver named 'nope' is registered/,
  })
  t.is(error.category, 'InvalidParameter')
  await t.throwsAsync(logs.validate({ Config: { mode: 'x' } }), { message: 'logger: logging mode not supported: x' })
  await t.throwsAsync(logs.validate({ Config: { 'max-buffer-size': '1m' } }), {
    message: "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
  })
  await t.notThrowsAsync(logs.validate({ Config: { mode: 'non-blocking', 'max-buffer-size': '1m' } }))
})

test('a driver that cannot read is refused; one that only has entries gives frames', async (t) => {
  const { logs, leases } = setUp()
  const error = await t.throwsAsync<TsdError>(logs.read('none', info, reading), {
    message: 'configured logging driver does not support reading',
  })
  t.is(error.category, 'NotImplemented')
  const chunks: Uint8Array[] = []
  for await (const chunk of await logs.readFrames('readable', info, { ...reading, stdout: true, stderr: true, framed: true }))
    chunks.push(chunk)
  t.is(Buffer.concat(chunks).toString('latin1'), '\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n')
  t.is(leases(), 0)
})

test('a driver that refuses to read one log is released; drivers are woken once each', async (t) => {
  const { logs, leases, taken } = setUp()
  await t.throwsAsync(logs.read('refusing', info, reading), { message: 'not this one' })
  await t.throwsAsync(logs.readFrames('refusing', info, { ...reading, stdout: true, stderr: true, framed: true }), {
    message: 'not this one',
  })
  t.is(leases(), 0)
  taken.length = 0
  logs.wake(['none', 'readable', 'none', 'nope'])
  await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual(taken, ['none', 'readable', 'nope'])
  t.is(leases(), 0)
})

import test from 'ava'
import { categoryOf } from 'tsd-engine/sdk'
import { runtimeError, runtimeMessage } from './command.js'
import { statsOf } from './stats.js'

test("the runtime's own message is what is told", (t) => {
  const log = '{"level":"warning","msg":"first"}\n{"level":"error","msg":"exec: \\"x\\": not found","time":"now"}\n'
  t.is(runtimeMessage(log), 'exec: "x": not found')
  t.is(runtimeMessage('plain text'), 'plain text')
  const error = runtimeError('runc', 'kill', new Error('container does not exist'))
  t.is(categoryOf(error), 'NotFound')
  t.is(error.message, 'OCI runtime kill failed: container does not exist')
  t.is(error.plugin, 'runc')
})

test('counters of events --stats', (t) => {
  const stats = statsOf(
    JSON.stringify({
      type: 'stats',
      data: {
        cpu: { usage: { total: 5, user: 3, kernel: 2 }, throttling: {} },
        memory: { usage: { usage: 10, limit: 18446744073709552000 }, raw: { cache: 1 } },
        pids: { current: 2 },
        blkio: { ioServiceBytesRecursive: [{ major: 8, minor: 0, op: 'Read', value: 9 }] },
      },
    }),
  )
  t.is(stats.cpu?.total, 5)
  t.is(stats.memory?.limit, Number.MAX_SAFE_INTEGER)
  t.deepEqual(stats.blkio, [{ op: 'Read', major: 8, minor: 0, value: 9, kind: 'bytes' }])
})

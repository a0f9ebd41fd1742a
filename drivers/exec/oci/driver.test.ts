import test from 'ava'
import { categoryOf } from 'tsd-engine/sdk'
import { runtimeError, runtimeMessage } from './command.js'
import { statsOf } from './stats.js'
import { lookUpUser } from './users.js'

const passwd = 'root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nweb:x:33:34:web:/srv:/bin/sh\n'
const group = 'root:x:0:\nweb:x:34:\nlogs:x:50:other,web\naudio:x:29:\n'

test('users and groups in names and numbers', (t) => {
  t.deepEqual(lookUpUser('', [], passwd, group), { user: { uid: 0, gid: 0, additionalGids: [0] }, home: '/root' })
  t.deepEqual(lookUpUser('web', [], passwd, group), { user: { uid: 33, gid: 34, additionalGids: [34, 50] }, home: '/srv' })
  t.deepEqual(lookUpUser('33', ['audio', '7'], passwd, group), {
    user: { uid: 33, gid: 34, additionalGids: [34, 50, 29, 7] },
    home: '/srv',
  })
  t.deepEqual(lookUpUser('web:audio', [], passwd, group), { user: { uid: 33, gid: 29, additionalGids: [29] }, home: '/srv' })
  t.deepEqual(lookUpUser('99:98', [], passwd, group), { user: { uid: 99, gid: 98, additionalGids: [98] }, home: '/' })
  t.deepEqual(lookUpUser('0', [], '', ''), { user: { uid: 0, gid: 0, additionalGids: [0] }, home: '/' })
  t.throws(() => lookUpUser('nosuch', [], passwd, group), { message: 'unable to find user nosuch: no matching entries in passwd file' })
  t.throws(() => lookUpUser('web:nosuch', [], passwd, group), { message: 'unable to find group nosuch: no matching entries in group file' })
  t.throws(() => lookUpUser('99999999999', [], passwd, group))
})

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

import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { testLogDriver } from 'tsd-engine/sdk/testing'
import { line } from '../../core/sdk/testing/log-lines.js'
import { Forwarded, forwardingSubject, until } from '../../test/fixtures/log-receivers.js'
import { needs, tempDir } from '../../test/fixtures/root.js'
import { journald } from './driver.js'

const program = path.resolve(import.meta.dirname, '../../../test/fixtures/datagram_receiver.py')

interface Journal {
  socket: string
  /** Fields of each message. */
  messages(): Record<string, string>[]
  stop(): void
  go(): void
}

/** The journal's own form read back: lines, and fields with a length. */
function fieldsOf(data: Buffer): Record<string, string> {
  const fields: Record<string, string> = {}
  for (let at = 0; at < data.length;) {
    const end = data.indexOf(10, at)
    const equals = data.indexOf('=', at)
    if (equals >= 0 && equals < end) {
      fields[data.toString('utf8', at, equals)] = data.toString('utf8', equals + 1, end)
      at = end + 1
    } else {
      const length = Number(data.readBigUInt64LE(end + 1))
      fields[data.toString('utf8', at, end)] = data.toString('utf8', end + 9, end + 9 + length)
      at = end + 9 + length + 1
    }
  }
  return fields
}

async function journal(t: ExecutionContext): Promise<Journal> {
  const dir = tempDir(t, 'journal')
  const [socket, out] = [path.join(dir, 'socket'), path.join(dir, 'out')]
  const child = spawn('python3', [program, socket, out], { stdio: 'inherit' })
  t.teardown(() => void child.kill('SIGKILL'))
  await until('the receiver', () => fs.existsSync(socket))
  return {
    socket,
    stop: () => void child.kill('SIGSTOP'),
    go: () => void child.kill('SIGCONT'),
    messages() {
      const data = fs.existsSync(out) ? fs.readFileSync(out) : Buffer.alloc(0)
      const found: Record<string, string>[] = []
      for (let at = 0; at + 4 <= data.length;) {
        const end = at + 4 + data.readUInt32BE(at)
        if (end > data.length) break
        found.push(fieldsOf(data.subarray(at + 4, end)))
        at = end
      }
      return found
    },
  }
}

const sockets: string[] = []
testLogDriver(
  (name, run) =>
    needs('python3')(name, async (t) => {
      const { socket } = await journal(t)
      sockets.push(socket)
      await t.notThrowsAsync(run)
    }),
  () => Promise.resolve(forwardingSubject(journald(sockets.pop()))),
  { config: { 'cache-compress': 'false' } },
)

needs('python3')('fields of messages, chosen labels and variables, pieces and lines with line ends', async (t) => {
  const log = await journal(t)
  const container = new Forwarded(t, journald(log.socket), { labels: 'com.x', env: 'B', tag: '{{.Name}}' })
  await container.driver.start(container.info)
  container.write(line(1), line(2, 'a\rb\u00fc'), line(3, 'one\ntwo\n'))
  await until('three messages', () => log.messages().length === 3)
  const [first, second, third] = log.messages()
  t.deepEqual(first, {
    MESSAGE: 'line 1',
    PRIORITY: '6',
    SYSLOG_TIMESTAMP: '2024-05-06T07:08:01.120000001Z',
    CONTAINER_ID: 'abababababab',
    CONTAINER_ID_FULL: container.info.containerId,
    CONTAINER_NAME: 'web',
    CONTAINER_TAG: 'web',
    IMAGE_NAME: 'busybox:latest',
    SYSLOG_IDENTIFIER: 'web',
    COM_X: 'y',
    B: '2',
  })
  t.like(second, {
    MESSAGE: 'a\rb\u00fc',
    PRIORITY: '3',
    CONTAINER_PARTIAL_MESSAGE: 'true',
    CONTAINER_PARTIAL_ORDINAL: '1',
    CONTAINER_PARTIAL_LAST: 'false',
  })
  t.is(third?.MESSAGE, 'one\ntwo')
})

needs('python3')('a journal that does not read is waited for, and gets everything when it does', async (t) => {
  const log = await journal(t)
  const container = new Forwarded(t, journald(log.socket), {})
  await container.driver.start(container.info)
  log.stop()
  container.writeLines(1, 2000)
  await container.driver.stop(container.info)
  // A life that ends while it waits has not delivered what it waits with.
  await container.restart()
  log.go()
  await until('everything', () => log.messages().length === 2000)
  t.deepEqual(
    log.messages().map(({ MESSAGE }) => MESSAGE),
    Array.from({ length: 2000 }, (_, at) => `line ${at + 1}`),
  )
})

test('without a journal a container does not start, and unknown options are refused', async (t) => {
  const container = new Forwarded(t, journald('/nowhere/socket'), {})
  await t.throwsAsync(container.driver.start(container.info), {
    message: /failed to initialize logging driver: journald is not enabled on this host: connect \/nowhere\/socket: ENOENT/,
  })
  await t.throwsAsync(container.driver.validate({ 'max-size': '1m' }), { message: "unknown log opt 'max-size' for journald log driver" })
})

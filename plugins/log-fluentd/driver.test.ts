import path from 'node:path'
import type { Socket } from 'node:net'
import test from 'ava'
import { testLogDriver } from 'tsd-engine/sdk/testing'
import { line, timeOf } from '../../core/sdk/testing/log-lines.js'
import { Forwarded, forwardingSubject, streamReceiver, until } from '../../test/fixtures/log-receivers.js'
import { fluentd } from './driver.js'
import { pack, readAck } from './msgpack.js'

testLogDriver(
  (name, run) => test(name, async (t) => t.notThrowsAsync(run)),
  () => Promise.resolve(forwardingSubject(fluentd)),
  { config: { 'fluentd-address': '127.0.0.1:9', 'fluentd-async': 'true', 'cache-compress': 'false' } },
)

type Unpacked = string | bigint | { seconds: number; nanos: number } | Unpacked[] | { [key: string]: Unpacked }

/** An independent reader of MessagePack: whole values only. */
function unpackAll(data: Buffer): Unpacked[] {
  let at = 0
  const take = (length: number): Buffer => {
    if (at + length > data.length) throw new RangeError('not whole')
    at += length
    return data.subarray(at - length, at)
  }
  const number = (bytes: number): number => take(bytes).readUIntBE(0, bytes)
  const items = (length: number): Unpacked[] => Array.from({ length }, () => value())
  const map = (length: number): Unpacked => Object.fromEntries(Array.from({ length }, () => [value() as string, value()]))
  const value = (): Unpacked => {
    const code = number(1)
    if (code < 0x80) return BigInt(code)
    if (code < 0x90) return map(code - 0x80)
    if (code < 0xa0) return items(code - 0x90)
    if (code < 0xc0) return take(code - 0xa0).toString()
    switch (code) {
      case 0xcf:
        return take(8).readBigUInt64BE()
      case 0xd7:
        if (number(1) !== 0) throw new Error('not a time')
        return { seconds: number(4), nanos: number(4) }
      case 0xd9:
        return take(number(1)).toString()
      case 0xda:
        return take(number(2)).toString()
      case 0xdb:
        return take(number(4)).toString()
      case 0xdc:
        return items(number(2))
      case 0xde:
        return map(number(2))
      default:
        throw new Error(`code ${code}`)
    }
  }
  const all: Unpacked[] = []
  for (;;) {
    const start = at
    if (start === data.length) return all
    try {
      all.push(value())
    } catch (error) {
      if (error instanceof RangeError) return all
      throw error
    }
  }
}

const recordOf = (message: Unpacked | undefined): Record<string, string> => (message as Unpacked[])[2] as Record<string, string>

test('options are checked when a container is created', async (t) => {
  const { driver } = new Forwarded(t, fluentd, {})
  await driver.validate({})
  await driver.validate({
    'fluentd-address': 'tls://h:1',
    'fluentd-buffer-limit': '1m',
    'fluentd-retry-wait': '1s',
    'fluentd-max-retries': '3',
    'fluentd-async-reconnect-interval': '1s',
  })
  const refused: [Record<string, string>, RegExp][] = [
    [{ 'fluentd-address': 'http://h' }, /use tcp:\/\/, tls:\/\/ or unix:\/\//],
    [{ 'fluentd-async': 'true', 'fluentd-async-connect': 'true' }, /cannot specify both/],
    [{ 'fluentd-async': 'perhaps' }, /fluentd-async must be true or false/],
    [{ 'fluentd-retry-wait': 'soon' }, /fluentd-retry-wait must be a duration/],
    [{ 'fluentd-max-retries': '-1' }, /fluentd-max-retries must be a number/],
    [{ 'fluentd-buffer-limit': '10' }, /fluentd-buffer-limit must be at least 256k/],
    [{ 'fluentd-async-reconnect-interval': '1m' }, /from 100ms to 10s/],
    [{ 'fluentd-write-timeout': '1s' }, /unknown log opt 'fluentd-write-timeout' for fluentd/],
  ]
  for (const [config, message] of refused) await t.throwsAsync(driver.validate(config), { message })
})

test('messages over tcp: tag, seconds, fields, pieces of lines', async (t) => {
  const receiver = await streamReceiver(t)
  const config = { 'fluentd-address': `127.0.0.1:${receiver.port}`, tag: 'docker.{{.Name}}', labels: 'com.x' }
  const container = new Forwarded(t, fluentd, config)
  await container.driver.start(container.info)
  const long = 'x'.repeat(70_000)
  container.write(line(1), line(2, 'without end'), line(3, `${long}\n`))
  await until('three messages', () => unpackAll(receiver.data()).length === 3)
  const [first, second, third] = unpackAll(receiver.data())
  t.deepEqual(first, [
    'docker.web',
    timeOf(1) / 1_000_000_000n,
    { container_id: container.info.containerId, container_name: '/web', source: 'stdout', log: 'line 1', 'com.x': 'y' },
    {},
  ])
  t.like(recordOf(second), { source: 'stderr', log: 'without end', partial_message: 'true', partial_ordinal: '1', partial_last: 'false' })
  t.is(recordOf(third).log, long)
})

test('a unix socket, and times with nanoseconds', async (t) => {
  const container = new Forwarded(t, fluentd, { 'fluentd-sub-second-precision': 'true' })
  const socket = path.join(container.dir, 'socket')
  const receiver = await streamReceiver(t, { path: socket })
  container.info.config['fluentd-address'] = `unix://${socket}`
  await container.driver.start(container.info)
  container.writeLines(1, 1)
  await until('a message', () => unpackAll(receiver.data()).length === 1)
  const [message] = unpackAll(receiver.data()) as Unpacked[][]
  t.is(message?.[0], 'abababababab')
  t.deepEqual(message?.[1], { seconds: Number(timeOf(1) / 1_000_000_000n), nanos: 120_000_001 })
})

test('acknowledged messages: what was not acknowledged is sent again', async (t) => {
  const acks: string[] = []
  const answer = (socket: Socket, data: Buffer): void => {
    for (const message of unpackAll(data) as Unpacked[][]) {
      const { chunk } = message[3] as Record<string, string>
      const log = recordOf(message).log ?? ''
      const refused = log === 'line 3' && !acks.includes(log)
      acks.push(log)
      if (refused) socket.destroy()
      else socket.write(pack({ ack: chunk ?? '' }))
    }
  }
  const receiver = await streamReceiver(t, { onData: answer })
  const config = { 'fluentd-address': `tcp://127.0.0.1:${receiver.port}`, 'fluentd-request-ack': 'true', 'fluentd-retry-wait': '10ms' }
  const container = new Forwarded(t, fluentd, config)
  await container.driver.start(container.info)
  container.writeLines(1, 3)
  container.writeLines(4, 4)
  await until('the fourth', () => acks.includes('line 4'))
  t.deepEqual(acks, ['line 1', 'line 2', 'line 3', 'line 3', 'line 4'])
})

test('async: a container starts without its receiver, which gets everything when it comes', async (t) => {
  const first = await streamReceiver(t)
  await first.close()
  const config = { 'fluentd-address': `127.0.0.1:${first.port}`, 'fluentd-retry-wait': '20ms' }
  const container = new Forwarded(t, fluentd, config)
  await t.throwsAsync(container.driver.start(container.info), { message: /failed to initialize logging driver: dial tcp .*ECONNREFUSED/ })
  container.info.config['fluentd-async'] = 'true'
  await container.driver.start(container.info)
  container.writeLines(1, 300)
  await until('a warning', () => container.warnings.length > 0)
  const second = await streamReceiver(t, { port: first.port })
  await until('everything', () => unpackAll(second.data()).length === 300)
  t.deepEqual(
    unpackAll(second.data()).map((message) => recordOf(message).log),
    Array.from({ length: 300 }, (_, at) => `line ${at + 1}`),
  )
})

test('a connection is made anew when it is told to', async (t) => {
  const receiver = await streamReceiver(t)
  const config = { 'fluentd-address': `127.0.0.1:${receiver.port}`, 'fluentd-async': 'true', 'fluentd-async-reconnect-interval': '100ms' }
  const container = new Forwarded(t, fluentd, config)
  await container.driver.start(container.info)
  for (let n = 1; receiver.connections() < 3; n++) {
    container.writeLines(n, n)
    await until('the line', () => receiver.data().includes(`line ${n}`))
  }
  t.deepEqual(container.warnings, [])
})

test('an answer that is none is refused', (t) => {
  t.is(readAck(pack({ ack: 'x'.repeat(40) })), 'x'.repeat(40))
  const whole = pack({ ack: 'some id' })
  for (let length = 0; length < whole.length; length++) t.is(readAck(whole.subarray(0, length)), undefined)
  for (const wrong of [pack({ nack: 'x' }), pack(['ack']), pack({ ack: 5 }), Buffer.from('HTTP/1.1 400')])
    t.throws(() => readAck(wrong), { message: /not \{"ack": id\}/ })
})

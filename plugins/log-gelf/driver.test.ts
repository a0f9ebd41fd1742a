import { gunzipSync, inflateSync } from 'node:zlib'
import test from 'ava'
import { testLogDriver } from 'tsd-engine/sdk/testing'
import { line, timeOf } from '../../core/sdk/testing/log-lines.js'
import { datagramReceiver, Forwarded, forwardingSubject, streamReceiver, until } from '../../test/fixtures/log-receivers.js'
import { chunks, gelf } from './driver.js'

testLogDriver(
  (name, run) => test(name, async (t) => t.notThrowsAsync(run)),
  () => Promise.resolve(forwardingSubject(gelf)),
  { config: { 'gelf-address': 'udp://127.0.0.1:9', 'cache-compress': 'false' } },
)

test('options are checked when a container is created', async (t) => {
  const { driver } = new Forwarded(t, gelf, {})
  await driver.validate({ 'gelf-address': 'udp://h:1', 'gelf-compression-type': 'zlib', 'gelf-compression-level': '-1' })
  await driver.validate({ 'gelf-address': 'tcp://h:1', 'gelf-tcp-max-reconnect': '3', 'gelf-tcp-reconnect-delay': '1' })
  const refused: [Record<string, string>, RegExp][] = [
    [{}, /gelf-address is a required parameter/],
    [{ 'gelf-address': 'http://h:1' }, /endpoint needs to be TCP or UDP/],
    [{ 'gelf-address': 'udp://h' }, /provide gelf-address as udp:\/\/host:port/],
    [{ 'gelf-address': 'udp://h:1', 'gelf-tcp-max-reconnect': '3' }, /only supported with TCP/],
    [{ 'gelf-address': 'tcp://h:1', 'gelf-compression-type': 'gzip' }, /only supported with UDP/],
    [{ 'gelf-address': 'udp://h:1', 'gelf-compression-type': 'lzma' }, /must be gzip, zlib or none/],
    [{ 'gelf-address': 'udp://h:1', 'gelf-compression-level': '10' }, /number from -1 to 9/],
    [{ 'gelf-address': 'udp://h:1', 'syslog-format': 'x' }, /unknown log opt 'syslog-format' for gelf/],
  ]
  for (const [config, message] of refused) await t.throwsAsync(driver.validate(config), { message })
})

const plain = { none: (data: Buffer) => data, gzip: gunzipSync, zlib: inflateSync }
for (const [type, open] of Object.entries(plain))
  test(`udp, compression ${type}`, async (t) => {
    const udp = await datagramReceiver(t)
    const config = { 'gelf-address': `udp://127.0.0.1:${udp.port}`, 'gelf-compression-type': type, labels: 'com.x', tag: '{{.Name}}' }
    const container = new Forwarded(t, gelf, config)
    await container.driver.start(container.info)
    container.write(line(1), line(2, '\n'), line(4, '\u00fc "q"\n'))
    await until('two messages', () => udp.packets.length === 2)
    const [first, second] = udp.packets.map((packet) => JSON.parse(open(packet).toString()) as Record<string, unknown>)
    t.like(first, {
      version: '1.1',
      short_message: 'line 1',
      level: 6,
      timestamp: Number(timeOf(1) / 1_000_000n) / 1000,
      _container_id: container.info.containerId,
      _container_name: 'web',
      _image_name: 'busybox:latest',
      _command: 'sh -c true',
      '_com.x': 'y',
      _tag: 'web',
    })
    t.like(second, { short_message: '\u00fc "q"', level: 3 })
  })

test('a long message comes in chunks that belong together', async (t) => {
  const udp = await datagramReceiver(t)
  const container = new Forwarded(t, gelf, { 'gelf-address': `udp://127.0.0.1:${udp.port}`, 'gelf-compression-type': 'none' })
  await container.driver.start(container.info)
  const text = Array.from({ length: 16_000 }, (_, at) => String.fromCharCode(97 + (at % 26))).join('')
  container.write(line(1, `${text}\n`))
  await until('all chunks', () => udp.packets.length > 0 && udp.packets.length === udp.packets[0]?.[11])
  const sorted = [...udp.packets].sort((a, b) => (a[10] ?? 0) - (b[10] ?? 0))
  t.true(sorted.length > 5)
  for (const packet of sorted) {
    t.true(packet.length <= 1420)
    t.is(packet.readUInt16BE(0), 0x1e0f)
    t.deepEqual(packet.subarray(2, 10), sorted[0]?.subarray(2, 10))
  }
  t.is((JSON.parse(Buffer.concat(sorted.map((packet) => packet.subarray(12))).toString()) as { short_message: string }).short_message, text)
  t.throws(() => chunks(Buffer.alloc(200_000)), { message: /too large for GELF/ })
})

test('tcp: each message ends with a zero byte; a receiver that came back gets the rest', async (t) => {
  const first = await streamReceiver(t)
  const container = new Forwarded(t, gelf, { 'gelf-address': `tcp://127.0.0.1:${first.port}` })
  await container.driver.start(container.info)
  container.writeLines(1, 2)
  const messages = (data: Buffer): string[] =>
    data
      .toString()
      .split('\0')
      .slice(0, -1)
      .map((text) => (JSON.parse(text) as { short_message: string }).short_message)
  await until('two messages', () => messages(first.data()).length === 2)
  await first.close()
  container.writeLines(3, 4)
  const second = await streamReceiver(t, { port: first.port })
  await until('the rest', () => messages(second.data()).includes('line 4'))
  t.deepEqual(messages(second.data()).slice(-2), ['line 3', 'line 4'])
})

test('after as many reconnects as allowed messages are dropped, and the log says so', async (t) => {
  const first = await streamReceiver(t)
  const config = { 'gelf-address': `tcp://127.0.0.1:${first.port}`, 'gelf-tcp-max-reconnect': '1', 'gelf-tcp-reconnect-delay': '1' }
  const container = new Forwarded(t, gelf, config)
  await container.driver.start(container.info)
  await first.close()
  container.writeLines(1, 2)
  const dropped = (text: string): boolean => /2 messages of the log are dropped after 1 retries/.test(text)
  await until('a warning', () => container.warnings.some(dropped))
  t.is(container.warnings.filter(dropped).length, 1)
})

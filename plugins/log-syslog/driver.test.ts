import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import tls from 'node:tls'
import test from 'ava'
import { testLogDriver } from 'tsd-engine/sdk/testing'
import { datagramReceiver, Forwarded, forwardingSubject, streamReceiver, until } from '../../test/fixtures/log-receivers.js'
import { needs } from '../../test/fixtures/root.js'
import { syslog } from './driver.js'

// The suite's containers log to a port where nobody listens: UDP knows nothing of that, and what is asked of the driver does not depend on it.
testLogDriver(
  (name, run) => test(name, async (t) => t.notThrowsAsync(run)),
  () => Promise.resolve(forwardingSubject(syslog)),
  { config: { 'syslog-address': 'udp://127.0.0.1:9', tag: 'x', 'cache-compress': 'false' } },
)

const linesOf = (data: Buffer): string[] => data.toString().split('\n').slice(0, -1)

test('options are checked when a container is created', async (t) => {
  const { driver } = new Forwarded(t, syslog, {})
  await driver.validate({})
  await driver.validate({ 'syslog-address': 'tcp://[::1]:601', 'syslog-facility': 'local3', labels: 'a', 'cache-disabled': 'true' })
  const refused: [Record<string, string>, RegExp][] = [
    [{ nope: '1' }, /^unknown log opt 'nope' for syslog log driver$/],
    [{ 'syslog-address': 'http://x' }, /use one of unix:\/\//],
    [{ 'syslog-address': 'tcp://host:0' }, /port must be 1 to 65535/],
    [{ 'syslog-address': 'unix://relative' }, /must be absolute/],
    [{ 'syslog-facility': 'nobody' }, /invalid syslog facility "nobody"/],
    [{ 'syslog-facility': '24' }, /invalid syslog facility/],
    [{ 'syslog-format': 'rfc1' }, /Invalid syslog format "rfc1"/],
    [{ 'syslog-tls-skip-verify': 'true' }, /need a syslog-address that begins with tcp\+tls/],
    [{ 'syslog-address': 'tcp+tls://x', 'syslog-tls-ca-cert': '/nowhere.pem' }, /syslog-tls-ca-cert: ENOENT/],
    [{ 'cache-max-file': '0' }, /cache-max-file cannot be less than 1/],
    [{ tag: '{{.Nope}}' }, /is not supported/],
  ]
  for (const [config, message] of refused) {
    const error = await t.throwsAsync(driver.validate(config), { message })
    t.is((error as unknown as { category: string }).category, 'InvalidParameter', JSON.stringify(config))
  }
})

const expectedStart: Record<string, RegExp> = {
  '': /^<30>May  6 \d\d:\d\d:01 web\/abababababab\[\d+\]: line 1$/,
  rfc3164: /^<30>May  6 \d\d:\d\d:01 \S+ web\/abababababab\[\d+\]: line 1$/,
  rfc5424: /^<30>1 2024-05-06T\d\d:\d\d:01(Z|[+-]\d\d:\d\d) \S+ web\/abababababab \d+ web\/abababababab - line 1$/,
  rfc5424micro: /^<30>1 2024-05-06T\d\d:\d\d:01\.120000(Z|[+-]\d\d:\d\d) \S+ web\/abababababab \d+ web\/abababababab - line 1$/,
}
for (const [format, expected] of Object.entries(expectedStart))
  test(`format '${format}', over tcp`, async (t) => {
    const receiver = await streamReceiver(t)
    const config = { 'syslog-address': `tcp://127.0.0.1:${receiver.port}`, tag: '{{.Name}}/{{.ID}}', 'syslog-format': format }
    const container = new Forwarded(t, syslog, config)
    await container.driver.start(container.info)
    container.writeLines(1, 2)
    await until('both lines', () => linesOf(receiver.data()).length === 2)
    const [first = '', second = ''] = linesOf(receiver.data())
    t.regex(first, expected)
    t.true(second.startsWith('<27>'))
  })

test('datagrams and unix sockets, facility by name and number', async (t) => {
  const udp = await datagramReceiver(t)
  const one = new Forwarded(t, syslog, { 'syslog-address': `udp://127.0.0.1:${udp.port}`, 'syslog-facility': 'local7' })
  await one.driver.start(one.info)
  one.writeLines(1, 3)
  await until('three datagrams', () => udp.packets.length === 3)
  t.regex(udp.packets[2]?.toString() ?? '', /^<190>.* abababababab\[\d+\]: line 3\n$/)
  const socket = path.join(one.dir, 'socket')
  const unix = await streamReceiver(t, { path: socket })
  const two = new Forwarded(t, syslog, { 'syslog-address': `unix://${socket}`, 'syslog-facility': '0' })
  await two.driver.start(two.info)
  two.writeLines(1, 1)
  await until('a line', () => linesOf(unix.data()).length === 1)
  t.true(unix.data().toString().startsWith('<6>'))
})

needs('openssl')('tls: the certificate is verified, messages of RFC 5424 are counted', async (t) => {
  const container = new Forwarded(t, syslog, {})
  const key = path.join(container.dir, 'key.pem')
  const cert = path.join(container.dir, 'cert.pem')
  const subject = ['-subj', '/CN=log', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore',
  })
  const receiver = await streamReceiver(t, {
    make: (listener) => {
      const server = tls.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) }, listener)
      server.on('tlsClientError', () => undefined)
      return server
    },
  })
  container.info.config = { 'syslog-address': `tcp+tls://127.0.0.1:${receiver.port}`, 'syslog-format': 'rfc5424' }
  await t.throwsAsync(container.driver.start(container.info), {
    message: /failed to initialize logging driver: dial tcp\+tls .*self.signed/,
  })
  container.info.config['syslog-tls-ca-cert'] = cert
  await container.driver.start(container.info)
  container.writeLines(1, 1)
  await until('a message', () => receiver.data().length > 0)
  const [, length = '', message = ''] = /^(\d+) (.*)$/s.exec(receiver.data().toString()) ?? []
  t.is(Buffer.byteLength(message), Number(length))
  t.regex(message, /^<30>1 .* - line 1\n$/)
})

test('a container does not start without its receiver, and starts again where it stopped', async (t) => {
  const first = await streamReceiver(t)
  const address = `tcp://127.0.0.1:${first.port}`
  const container = new Forwarded(t, syslog, { 'syslog-address': address })
  await container.driver.start(container.info)
  container.writeLines(1, 2)
  await until('two lines', () => linesOf(first.data()).length === 2)
  await container.driver.stop(container.info)
  await first.close()
  await t.throwsAsync(container.driver.start(container.info), { message: /failed to initialize logging driver: dial tcp .*ECONNREFUSED/ })
  const second = await streamReceiver(t, { port: first.port })
  await container.driver.start(container.info)
  container.writeLines(3, 4)
  await until('two more', () => linesOf(second.data()).length === 2)
  t.deepEqual(
    linesOf(second.data()).map((text) => text.slice(-6)),
    ['line 3', 'line 4'],
  )
})

test('a receiver that goes away: everything is kept and comes to the next, in order, whoever lives then', async (t) => {
  const first = await streamReceiver(t)
  const container = new Forwarded(t, syslog, { 'syslog-address': `tcp://127.0.0.1:${first.port}` })
  await container.driver.start(container.info)
  container.writeLines(1, 5)
  await until('five lines', () => linesOf(first.data()).length === 5)
  await first.close()
  container.writeLines(6, 500)
  await until('a warning', () => container.warnings.some((text) => text.includes('kept and tried again')))
  await container.driver.stop(container.info)
  await container.restart()
  container.writeLines(501, 600)
  const second = await streamReceiver(t, { port: first.port })
  await until('the last line', () => second.data().includes('line 600'))
  const numbers = linesOf(second.data()).map((text) => Number(/line (\d+)$/.exec(text)?.[1]))
  t.deepEqual(
    numbers.slice(-595),
    Array.from({ length: 595 }, (_, at) => at + 6),
  )
})

test('what is rotated away before it was sent is told', async (t) => {
  const first = await streamReceiver(t)
  const container = new Forwarded(t, syslog, { 'syslog-address': `tcp://127.0.0.1:${first.port}` })
  await container.driver.start(container.info)
  container.writeLines(1, 2)
  await until('two lines', () => linesOf(first.data()).length === 2)
  await container.driver.dispose()
  fs.rmSync(container.file)
  container.writeLines(50, 51)
  await container.restart()
  await until('the later lines', () => linesOf(first.data()).length === 4)
  t.true(container.warnings.some((text) => text.includes('rotated away')))
})

test('docker logs reads what was forwarded, unless the cache is disabled', async (t) => {
  const container = new Forwarded(t, syslog, { 'syslog-address': 'udp://127.0.0.1:9' })
  const sink = await container.driver.start(container.info)
  t.like(sink, { type: 'file', format: 'local', path: container.file, maxSize: 20 << 20, maxFile: 5, compress: true })
  container.writeLines(1, 2)
  const options = { follow: false, stopped: AbortSignal.abort(), signal: new AbortController().signal }
  const texts: string[] = []
  for await (const batch of container.driver.read(container.info, options))
    texts.push(...batch.map(({ line }) => Buffer.from(line).toString()))
  t.deepEqual(texts, ['line 1\n', 'line 2\n'])
  const disabled = { ...container.info, config: { ...container.info.config, 'cache-disabled': 'true' } }
  t.throws(() => container.driver.read(disabled, options), { message: 'configured logging driver does not support reading' })
})

test('the extra attributes may stand in the tag', async (t) => {
  const udp = await datagramReceiver(t)
  const config = { 'syslog-address': `udp://127.0.0.1:${udp.port}`, labels: 'com.x', env: 'B', tag: '{{.ExtraAttributes}}' }
  const container = new Forwarded(t, syslog, config)
  await container.driver.start(container.info)
  container.writeLines(1, 1)
  await until('a datagram', () => udp.packets.length === 1)
  t.regex(udp.packets[0]?.toString() ?? '', / map\[B:2 com\.x:y\]\[\d+\]: line 1\n$/)
})

test('the machine has no syslog of its own', async (t) => {
  if (fs.existsSync('/dev/log')) return t.pass('it has')
  const container = new Forwarded(t, syslog, {})
  await t.throwsAsync(container.driver.start(container.info), {
    message: /failed to initialize logging driver: Unix syslog delivery error: .*\/dev\/log/,
  })
})

test('files that cannot be read for a while are forwarded once they can', async (t) => {
  const receiver = await streamReceiver(t)
  const container = new Forwarded(t, syslog, { 'syslog-address': `tcp://127.0.0.1:${receiver.port}` })
  fs.mkdirSync(container.file)
  await container.driver.start(container.info)
  await until('a warning', () => container.warnings.some((text) => text.includes('cannot be read to be forwarded')))
  fs.rmdirSync(container.file)
  container.writeLines(1, 2)
  await until('both lines', () => linesOf(receiver.data()).length === 2)
  t.true(receiver.data().includes('line 2'))
})

import net from 'node:net'
import test from 'ava'
import { request } from './testing/client.js'
import { raw, running, type Running } from './testing/fakes.js'

let daemon: Running
test.before(async () => {
  daemon = await running()
})
test.after.always(() => daemon.stop())

const upgrade = 'Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n'
const framed = (source: 1 | 2, text: string): string => String.fromCharCode(source, 0, 0, 0, 0, 0, 0, text.length) + text
const all = 'stream=1&stdin=1&stdout=1&stderr=1'

/** Writes once the answer's head is there, half-closes once the echo is. */
const dialogue = (input: string, echo: string) => {
  let [sent, closed] = [false, false]
  return (text: string, client: { write(data: string): unknown; end(): unknown }): void => {
    if (!sent && text.includes('hello')) {
      sent = true
      client.write(input)
    }
    if (!closed && text.includes(echo)) {
      closed = true
      client.end()
    }
  }
}

test('attach with an upgrade: 101, frames, half-close', async (t) => {
  const answer = await raw(daemon.socket, (c) => c.write(`POST /v1.51/containers/one/attach?${all} HTTP/1.1\r\n${upgrade}\r\n`), {
    onText: dialogue('input', 'INPUT'),
  })
  const [head, ...rest] = answer.split('\r\n\r\n') as [string, ...string[]]
  t.true(
    head.startsWith(
      'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n',
    ),
    head,
  )
  t.true(head.includes('\r\nApi-Version: 1.51'))
  t.is(rest.join('\r\n\r\n'), framed(1, 'hello') + framed(1, 'INPUT') + framed(2, 'bye'))
})

test('attach to a terminal is raw, and so is the name for clients before 1.42', async (t) => {
  const tty = await raw(daemon.socket, (c) => c.write(`POST /containers/tty/attach?${all} HTTP/1.1\r\n${upgrade}\r\n`), {
    onText: dialogue('input', 'INPUT'),
  })
  t.true(tty.includes('Content-Type: application/vnd.docker.raw-stream\r\n'))
  t.true(tty.endsWith('\r\n\r\nhelloINPUTbye'))
  const old = await raw(daemon.socket, (c) => c.write(`POST /v1.41/containers/one/attach?${all} HTTP/1.1\r\n${upgrade}\r\n`), {
    onText: dialogue('input', 'INPUT'),
  })
  t.true(old.includes('Content-Type: application/vnd.docker.raw-stream\r\n'))
})

test('attach without an upgrade: 200 and the bare connection', async (t) => {
  const answer = await raw(
    daemon.socket,
    (c) => c.write(`POST /containers/one/attach?${all} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`),
    {
      onText: dialogue('input', 'INPUT'),
    },
  )
  t.is(
    answer,
    'HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n' +
      framed(1, 'hello') +
      framed(1, 'INPUT') +
      framed(2, 'bye'),
  )
})

test('input sent right behind the request is not lost, in either form', async (t) => {
  for (const headers of ['Host: x\r\n', upgrade]) {
    const answer = await raw(daemon.socket, (c) => c.end(`POST /containers/one/attach?${all} HTTP/1.1\r\n${headers}\r\nearly bird`))
    t.true(answer.endsWith(framed(1, 'hello') + framed(1, 'EARLY BIRD') + framed(2, 'bye')), JSON.stringify(answer))
    const exec = await raw(daemon.socket, (c) =>
      c.end(
        `POST /exec/e1/start HTTP/1.1\r\n${headers}Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{"Detach": false}early`.replace(
          '16',
          '17',
        ),
      ),
    )
    t.true(exec.endsWith(framed(1, 'EARLY') + framed(2, 'bye')), JSON.stringify(exec))
  }
})

test('large input arrives whole and in order', async (t) => {
  const input = Array.from({ length: 50_000 }, (_, i) => `line ${i}\n`).join('')
  const answer = await raw(daemon.socket, (c) => c.write(`POST /containers/tty/attach?${all} HTTP/1.1\r\n${upgrade}\r\n`), {
    onText: (() => {
      let sent = false
      return (text, client) => {
        if (sent || !text.includes('hello')) return
        sent = true
        client.end(input)
      }
    })(),
  })
  t.is(answer.slice(answer.indexOf('hello')), 'hello' + input.toUpperCase() + 'bye')
})

test('without stdin the client half-closes and still reads', async (t) => {
  const before = daemon.seen.attached.length
  const text = await raw(daemon.socket, (c) => c.end(`POST /containers/quiet/attach?stream=1&stdout=1 HTTP/1.1\r\n${upgrade}\r\n`), {
    enough: (received) => received.includes('hello'),
  })
  t.regex(text, /101 UPGRADED/)
  const mine = daemon.seen.attached.slice(before).find(({ options }) => !options.stdin)
  t.false(mine?.session.ended)
  await new Promise((resolve) => setTimeout(resolve, 50))
})

test('detach keys end the connection; a client that leaves is let go', async (t) => {
  const answer = await raw(
    daemon.socket,
    (c) => c.write(`POST /containers/tty/attach?${all}&detachKeys=ctrl-p,ctrl-q HTTP/1.1\r\n${upgrade}\r\n`),
    {
      onText: dialogue('\x10\x11', 'never'),
    },
  )
  t.true(answer.endsWith('hello'))
  await raw(daemon.socket, (c) => c.write(`POST /containers/leaving/attach?${all} HTTP/1.1\r\n${upgrade}\r\n`), {
    enough: (text) => text.includes('hello'),
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.true(daemon.seen.attached.some(({ session, options }) => session.detached && options.detachKeys === undefined))
})

test('refusals come as HTTP answers on both ways', async (t) => {
  for (const headers of ['Host: x\r\nConnection: close\r\n', upgrade]) {
    const missing = await raw(daemon.socket, (c) => c.write(`POST /containers/missing/attach HTTP/1.1\r\n${headers}\r\n`))
    t.regex(missing, /^HTTP\/1\.1 404 Not Found\r\n[^]*{"message":"No such container: missing"}/)
    t.regex(missing, /\r\nApi-Version: 1\.51\r\n/)
    const paused = await raw(daemon.socket, (c) => c.write(`POST /containers/paused/attach HTTP/1.1\r\n${headers}\r\n`))
    t.regex(paused, /^HTTP\/1\.1 409 Conflict\r\n/)
    const version = await raw(daemon.socket, (c) => c.write(`POST /v1.99/containers/one/attach HTTP/1.1\r\n${headers}\r\n`))
    t.regex(version, /^HTTP\/1\.1 400 Bad Request\r\n[^]*too new/)
  }
  const session = await raw(daemon.socket, (c) =>
    c.write(`POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`),
  )
  t.regex(session, /^HTTP\/1\.1 501 Not Implemented\r\n[^]*POST \/session/)
})

test('exec: detached, failing to start, unknown, wrong body', async (t) => {
  const { socket } = daemon
  const detached = await request(socket, 'POST', '/exec/e1/start', { Detach: true })
  t.is(detached.status, 200)
  t.is(detached.text, '')
  t.is((await request(socket, 'POST', '/exec/missing/start', { Detach: false })).message, 'No such exec instance: missing')
  const body = '{"Detach":false}'
  const failing = await raw(socket, (c) =>
    c.write(
      `POST /exec/nofile/start HTTP/1.1\r\n${upgrade}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    ),
  )
  t.true(failing.endsWith(framed(1, 'exec: "nofile": executable file not found in $PATH\r\n')), failing)
  const wrong = await raw(socket, (c) =>
    c.write(
      `POST /exec/e1/start HTTP/1.1\r\n${upgrade}Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"Detach":"no"}`.replace(
        '14',
        '15',
      ),
    ),
  )
  t.regex(wrong, /^HTTP\/1\.1 400 [^]*cannot unmarshal string into Go struct field ExecStartRequest\.Detach of type bool/)
})

test('a client that does not read makes the process wait; one that reads gets everything', async (t) => {
  const flooded = (): number => (daemon.seen.calls.filter(([name]) => name === 'flooded').at(-1)?.[1] as number | undefined) ?? 0
  const client = net.connect(daemon.socket)
  client.write(`POST /containers/flood/attach?stream=1&stdout=1 HTTP/1.1\r\n${upgrade}\r\n`)
  await new Promise((resolve) => setTimeout(resolve, 300))
  const waiting = flooded()
  t.true(waiting > 0 && waiting < 3_000_000, String(waiting))
  let received = 0
  client.on('data', (chunk) => (received += chunk.length))
  await new Promise((resolve) => client.once('end', resolve))
  t.is(flooded(), 100_000_000)
  t.true(received > 100_000_000 + 8 * 1000)
  client.destroy()
})

test('a client that leaves while it is being attached is let go', async (t) => {
  for (const headers of ['Host: x\r\n', upgrade]) {
    const before = daemon.seen.attached.length
    const client = net.connect(daemon.socket)
    client.write(`POST /containers/late/attach?${all} HTTP/1.1\r\n${headers}\r\n`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    client.destroy()
    await new Promise((resolve) => setTimeout(resolve, 250))
    const mine = daemon.seen.attached.slice(before)
    t.true(
      mine.some(({ session }) => session.detached),
      headers,
    )
  }
})

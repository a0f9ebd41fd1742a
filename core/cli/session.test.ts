import test from 'ava'
import { DetachWatch, parseDetachKeys } from './session.js'
import type { Answer, Asked } from './testing/fake-engine.js'
import { FakeEngine, cli, cliOnTerminal, frame } from './testing/fake-engine.js'

const id = 'c'.repeat(64)

interface Script {
  start?: Answer
  exitCode?: number
  tty?: boolean
}

/** A container that is created, attached, waited for and started; `ended` lets the wait answer. */
async function container(script: Script = {}): Promise<FakeEngine & { finish: () => void }> {
  let finish: () => void = () => undefined
  const ended = new Promise<void>((resolve) => (finish = resolve))
  const handler = ({ method, path }: Asked): Answer | undefined => {
    if (path === '/containers/create') return { status: 201, body: { Id: id, Warnings: [] } }
    if (path.endsWith('/start')) return script.start ?? { status: 204 }
    if (path.endsWith('/wait')) return { body: { StatusCode: script.exitCode ?? 0 }, after: ended }
    if (path.endsWith('/resize') || path.endsWith('/kill')) return { status: 200 }
    if (path.endsWith('/exec')) return { status: 201, body: { Id: 'e1' } }
    if (path === '/exec/e1/json') return { body: { ExitCode: script.exitCode ?? 0 } }
    if (method === 'GET' && path.endsWith('/json'))
      return { body: { Id: id, State: { Running: true }, Config: { Tty: script.tty ?? false, OpenStdin: true }, HostConfig: {} } }
    return undefined
  }
  const engine = await new FakeEngine(handler).listen()
  return Object.assign(engine, { finish })
}

test('run: attach and wait stand before start; streams apart; the exit code of the container', async (t) => {
  const engine = await container({ exitCode: 7 })
  engine.onHijack = (socket) => {
    const pieces = Buffer.concat([frame(1, 'out\n'), frame(2, 'err\n'), frame(1, ''), frame(1, 'out2\n')])
    // In crumbs: headers arrive in parts.
    for (let at = 0; at < pieces.length; at += 3) socket.write(pieces.subarray(at, at + 3))
    socket.end()
    engine.finish()
  }
  const { code, stdout, stderr } = await cli(engine, ['run', 'img'])
  t.is(code, 7)
  t.is(stdout, 'out\nout2\n')
  t.is(stderr, 'err\n')
  const [create, ...rest] = engine.requests
  t.is(create, 'POST /containers/create')
  t.deepEqual(rest.slice(0, 2).sort(), [`POST /containers/${id}/attach`, `POST /containers/${id}/wait`])
  t.is(rest[2], `POST /containers/${id}/start`)
  t.is(engine.asked.find((a) => a.path.endsWith('/wait'))?.query.condition, 'next-exit')
  engine.close()
})

test('run --rm waits for the removal', async (t) => {
  const engine = await container()
  engine.onHijack = (socket) => {
    socket.end()
    engine.finish()
  }
  await cli(engine, ['run', '--rm', 'img'])
  t.is(engine.asked.find((a) => a.path.endsWith('/wait'))?.query.condition, 'removed')
  engine.close()
})

test('run -i: stdin travels, its end is a half-close, output after it is still read', async (t) => {
  const engine = await container()
  let received = ''
  engine.onHijack = (socket) => {
    socket.on('data', (data: Buffer) => (received += data.toString()))
    socket.on('end', () => {
      socket.end(frame(1, `got ${received.length}\n`))
      engine.finish()
    })
  }
  const typed = 'x'.repeat(300_000)
  const { code, stdout } = await cli(engine, ['run', '-i', 'img'], { typed })
  t.is(code, 0)
  t.is(stdout, `got ${typed.length}\n`)
  engine.close()
})

test('32 MB of output arrive whole', async (t) => {
  const engine = await container()
  const piece = frame(1, 'y'.repeat(65_536))
  engine.onHijack = (socket) => {
    let left = 512
    const more = () => {
      while (left-- > 0) if (!socket.write(piece)) return void socket.once('drain', more)
      socket.end()
      engine.finish()
    }
    more()
  }
  const { stdout } = await cli(engine, ['run', 'img'])
  t.is(stdout.length, 512 * 65_536)
  engine.close()
})

for (const [reason, status] of [
  ['exec: "nope": executable file not found in $PATH', 127],
  ['exec /x: permission denied', 126],
  ['exec /: is a directory', 126],
  ['driver failed', 125],
] as const) {
  test(`start refused: ${reason}: exit ${status}`, async (t) => {
    const engine = await container({ start: { status: 400, body: { message: reason } } })
    for (const mode of [[], ['-d']]) {
      const { code, stderr, stdout } = await cli(engine, ['run', ...mode, 'img', 'nope'])
      t.is(code, status)
      t.is(stdout, '')
      t.is(stderr, `tsd: Error response from daemon: ${reason}\n\nRun 'tsd run --help' for more information\n`)
    }
    engine.close()
  })
}

test('signals go to the container', async (t) => {
  const engine = await container({ exitCode: 143 })
  let pid = 0
  engine.onHijack = (socket) => {
    const waiting = setInterval(() => {
      if (engine.requests.some((r) => r.endsWith('/start'))) process.kill(pid, 'SIGTERM')
      if (!engine.requests.some((r) => r.endsWith('/kill'))) return
      clearInterval(waiting)
      socket.end()
      engine.finish()
    }, 20)
  }
  const { code } = await cli(engine, ['run', 'img'], { onStart: (p) => (pid = p) })
  t.is(code, 143)
  t.is(engine.asked.find((a) => a.path.endsWith('/kill'))?.query.signal, 'TERM')
  engine.close()
})

test('exec answers with the code of the command', async (t) => {
  const engine = await container({ exitCode: 3 })
  engine.onHijack = (socket) => socket.end(frame(1, 'hi\n'))
  const { code, stdout } = await cli(engine, ['exec', 'web', 'sh', '-c', 'exit 3'])
  t.is(code, 3)
  t.is(stdout, 'hi\n')
  const body = JSON.parse(engine.asked.find((a) => a.path === '/containers/web/exec')?.body ?? '{}') as { Cmd: string[] }
  t.deepEqual(body.Cmd, ['sh', '-c', 'exit 3'])
  engine.close()
})

test('a terminal: raw keys, its size, and the detach keys, which leave the container running', async (t) => {
  const engine = await container({ tty: true })
  let received = ''
  engine.onHijack = (socket) => {
    socket.on('data', (data: Buffer) => (received += data.toString('latin1')))
    socket.write('prompt> ')
  }
  let type: (text: string) => void = () => undefined
  const done = cliOnTerminal(engine, ['run', '-it', 'img'], (t2) => (type = t2))
  const sized = setInterval(() => {
    if (!engine.requests.some((r) => r.endsWith('/resize'))) return
    clearInterval(sized)
    type('ab\u0003\u0010c')
    setTimeout(() => type('\u0010\u0011'), 100)
  }, 20)
  const { stdout } = await done
  t.is(received, 'ab\u0003\u0010c', 'ctrl-c is a key of the container, and a lone ctrl-p is passed on')
  t.true(stdout.includes('prompt> '))
  t.deepEqual(engine.asked.find((a) => a.path.endsWith('/resize'))?.query, { h: '33', w: '99' })
  engine.close()
})

test('-it without a terminal is refused before anything is made', async (t) => {
  const engine = await container()
  const { code, stderr } = await cli(engine, ['run', '-it', 'img'])
  t.is(code, 1)
  t.is(stderr, 'the input device is not a TTY\n')
  t.deepEqual(engine.requests, [])
  engine.close()
})

test('detach keys', (t) => {
  t.deepEqual([...parseDetachKeys('')], [16, 17])
  t.deepEqual([...parseDetachKeys('ctrl-a,x,ctrl-@,ctrl-[')], [1, 120, 0, 27])
  t.throws(() => parseDetachKeys('ctrl-ab'))
  const watch = new DetachWatch(Buffer.from([16, 17]))
  t.deepEqual(watch.feed(Buffer.from([1, 16])), { forward: Buffer.from([1]), detached: false })
  t.deepEqual(watch.feed(Buffer.from([16, 2])), { forward: Buffer.from([16, 16, 2]).subarray(0, 3), detached: false })
  t.true(watch.feed(Buffer.from([16, 17])).detached)
})

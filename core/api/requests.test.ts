import test from 'ava'
import { request } from './testing/client.js'
import { raw, running, type Running } from './testing/fakes.js'

let daemon: Running
test.before(async () => {
  daemon = await running()
})
test.after.always(() => daemon.stop())

const create = (body: Parameters<typeof request>[3], headers?: Record<string, string>) =>
  request(daemon.socket, 'POST', '/containers/create?name=/web&platform=linux/amd64', body, headers)

test.serial('create: key case is folded, exact keys win, unknown keys and nulls are left out', async (t) => {
  const answer = await create({
    image: 'hello',
    Cmd: 'ls',
    ENTRYPOINT: ['sh', '-c'],
    env: null,
    nonsense: { a: 1 },
    tty: true,
    Tty: false,
    hostconfig: { memory: 1 << 30, PortBindings: { '80/tcp': [{ hostport: '8080' }], '81/tcp': null }, Runtime: null, PidsLimit: null },
    networkingConfig: { endpointsConfig: { net: null, other: { Aliases: ['a'] } } },
    ExposedPorts: { '80/tcp': {} },
  })
  t.is(answer.status, 201)
  t.deepEqual(JSON.parse(answer.text), { Id: 'c'.repeat(64), Warnings: [] })
  const { name, body, platform } = daemon.seen.created.at(-1)!
  t.is(name, 'web')
  t.is(platform, 'linux/amd64')
  t.deepEqual(body as unknown, {
    Image: 'hello',
    Cmd: ['ls'],
    Entrypoint: ['sh', '-c'],
    Tty: false,
    HostConfig: { Memory: 1 << 30, PortBindings: { '80/tcp': [{ HostPort: '8080' }], '81/tcp': null } },
    NetworkingConfig: { EndpointsConfig: { net: {}, other: { Aliases: ['a'] } } },
    ExposedPorts: { '80/tcp': {} },
  })
})

test('create: wrong types are refused by name', async (t) => {
  for (const [body, message] of [
    ['{"Image":5}', 'invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Image of type string'],
    [
      '{"Image":"x","HostConfig":{"memory":"1g"}}',
      'invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.HostConfig.Memory of type int64',
    ],
    [
      '{"HostConfig":{"Memory":1.5}}',
      'invalid JSON: json: cannot unmarshal number 1.5 into Go struct field CreateRequest.HostConfig.Memory of type int64',
    ],
    ['{"Env":{"A":"b"}}', 'invalid JSON: json: cannot unmarshal object into Go struct field CreateRequest.Env of type []string'],
    ['{"Labels":{"a":true}}', 'invalid JSON: json: cannot unmarshal bool into Go struct field CreateRequest.Labels of type string'],
    ['[]', 'invalid JSON: json: cannot unmarshal array into Go value of type ContainerCreateRequest'],
    ['{"Labels":{"__proto__":"x"}}', 'invalid JSON: the key "__proto__" cannot be used in Labels'],
  ] as const) {
    const answer = await create(body)
    t.is(answer.status, 400, body)
    t.is(answer.message, message)
  }
  t.regex((await create('{"Image":')).message, /^invalid JSON: /)
  t.is((await create('null')).message, 'config cannot be empty in order to create a container')
  t.is((await create(undefined)).status, 400)
  t.is(
    (await create('{}', { 'Content-Type': 'text/plain' })).message,
    "unsupported Content-Type header (text/plain): must be 'application/json'",
  )
  t.is((await create('{}', { 'Content-Type': 'application/json; charset=utf-8' })).status, 201)
  const large = await create(`{"Image":"${'x'.repeat(5 << 20)}"}`)
  t.is(large.status, 400)
  t.regex(large.message, /larger than 4194304 bytes/)
})

test.serial('older clients get what they mean', async (t) => {
  await request(daemon.socket, 'POST', '/v1.39/containers/create', { Image: 'x', HostConfig: {} })
  t.like(daemon.seen.created.at(-1)!.body.HostConfig, { IpcMode: 'shareable', CgroupnsMode: 'host' })
  t.is(
    (await request(daemon.socket, 'GET', '/v1.41/images/json')).text.trim(),
    '[{"Id":"sha256:aa","RepoTags":["<none>:<none>"],"RepoDigests":["<none>@<none>"],"Size":7,"VirtualSize":7}]',
  )
  t.is(
    (await request(daemon.socket, 'GET', '/v1.51/images/json')).text.trim(),
    '[{"Id":"sha256:aa","RepoTags":[],"RepoDigests":[],"Size":7}]',
  )
  t.like(JSON.parse((await request(daemon.socket, 'GET', '/v1.41/info')).text), { ContainerdCommit: { Expected: '' } })
})

test('parameters: flags, numbers, filters in both notations', async (t) => {
  const { socket, seen } = daemon
  const list = async (query: string) => {
    const answer = await request(socket, 'GET', `/containers/json?${query}`)
    t.is(answer.status, 200, answer.text)
    return seen.calls.filter(([name]) => name === 'list').at(-1)![1] as { all: boolean; filters: Record<string, string[]> }
  }
  for (const [text, value] of [
    ['all=1', true],
    ['all=true', true],
    ['all=', false],
    ['all=False', false],
    ['all=0', false],
    ['', false],
    ['all=yes', true],
  ] as const)
    t.is((await list(text)).all, value, text)
  const filters = encodeURIComponent('{"label":{"a=b":true,"c":true}}')
  t.deepEqual({ ...(await list(`filters=${filters}`)).filters }, { label: ['a=b', 'c'] })
  t.deepEqual({ ...(await list(`filters=${encodeURIComponent('{"label":["a"]}')}`)).filters }, { label: ['a'] })
  for (const bad of ['{', '[]', '"x"', '{"a":1}', '{"a":[1]}', '{"a":{"b":"c"}}']) {
    const answer = await request(socket, 'GET', `/containers/json?filters=${encodeURIComponent(bad)}`)
    t.is(answer.status, 400, bad)
    t.regex(answer.message, /^invalid filter/)
  }
  t.is((await request(socket, 'GET', '/containers/json?limit=x')).status, 400)
  t.is((await request(socket, 'POST', '/containers/a/resize?h=x&w=1')).message, 'invalid resize height "x": invalid syntax')
  t.is((await request(socket, 'POST', '/containers/a/stop?t=5&signal=INT')).status, 204)
  t.deepEqual(seen.calls.filter(([name]) => name === 'stop').at(-1), ['stop', 'a', { signal: 'INT', timeout: 5 }])
})

test('logs: framing, timestamps, details, range', async (t) => {
  const frame = (source: 1 | 2, text: string): string => String.fromCharCode(source, 0, 0, 0, 0, 0, 0, text.length) + text
  const logs = (ref: string, query: string) => request(daemon.socket, 'GET', `/containers/${ref}/logs?${query}`)
  const plain = await logs('one', 'stdout=1&stderr=1')
  t.is(plain.headers['content-type'], 'application/vnd.docker.multiplexed-stream')
  t.is(plain.text, frame(1, 'one\n') + frame(2, 'two\n'))
  t.is((await logs('one', 'stdout=1')).text, frame(1, 'one\n'))
  const tty = await logs('tty', 'stdout=1&stderr=1&timestamps=1')
  t.is(tty.headers['content-type'], 'application/vnd.docker.raw-stream')
  t.is(tty.text, '2024-01-02T03:04:05.500000000Z one\n2024-01-02T03:04:06.000000000Z two\n')
  t.is((await logs('tty', 'stdout=1&details=1')).text, 'a=1,b=x+y one\n')
  t.is((await logs('one', 'follow=1')).message, 'Bad parameters: you must choose at least one stream')
  await logs('range', 'stdout=1&since=1700000000.5&until=2024-01-02T03:04:05Z&tail=7')
  const options = daemon.seen.calls.find(([name, ref]) => name === 'logs' && ref === 'range')![2] as Record<string, unknown>
  t.is(options['since'], 1700000000500000000n)
  t.is(options['until'], 1704164645000000000n)
  t.is(options['tail'], 7)
  t.is((await logs('one', 'stdout=1&since=yesterday')).status, 400)
  await logs('relative', 'stdout=1&since=10m&tail=all')
  const relative = daemon.seen.calls.find(([name, ref]) => name === 'logs' && ref === 'relative')![2] as Record<string, unknown>
  t.true(Math.abs(Date.now() - 600_000 - Number((relative['since'] as bigint) / 1_000_000n)) < 5_000)
  t.false('tail' in relative)
})

test('wait: headers come at once, the result when it is there', async (t) => {
  const begun = Date.now()
  let head = 0
  const answer = await raw(
    daemon.socket,
    (c) => c.write('POST /containers/one/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
    {
      onText: (text) => {
        if (head === 0 && text.includes('\r\n\r\n')) head = Date.now() - begun
      },
    },
  )
  t.true(head < 80, String(head))
  t.regex(answer, /{"StatusCode":3}/)
  t.is((await request(daemon.socket, 'POST', '/containers/one/wait?condition=maybe')).status, 400)
})

test('events stream, and end when the client leaves', async (t) => {
  const text = await raw(daemon.socket, (c) => c.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n'), {
    enough: (got) => got.includes('start'),
  })
  t.regex(text, /{"Type":"container","Action":"start"}\n/)
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.true(daemon.seen.calls.some(([name]) => name === 'events aborted'))
  t.is((await request(daemon.socket, 'GET', '/events?since=x1')).status, 400)
})

test('load: progress, and a refusal while the client still sends', async (t) => {
  const small = await request(daemon.socket, 'POST', '/images/load', Buffer.alloc(1000), { 'Content-Type': 'application/x-tar' })
  t.is(small.text, '{"stream":"Loaded 1000 bytes\\n"}\n')
  const bad = await request(daemon.socket, 'POST', '/images/load', Buffer.alloc(64 << 20), { 'Content-Type': 'application/x-tar' })
  t.is(bad.status, 409)
  t.is(bad.message, 'bad image')
})

test('load: a client that leaves in the middle', async (t) => {
  await raw(daemon.socket, (c) => {
    c.write('POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc')
    setTimeout(() => c.destroy(new Error('gone')), 50)
  }).catch(() => undefined)
  t.is((await request(daemon.socket, 'GET', '/_ping')).text, 'OK')
})

import net from 'node:net'
import type { ExecutionContext } from 'ava'
import { run, type TestDaemon } from '../fixtures/daemon.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

/** Bytes as they come, until the daemon closes. */
function raw(d: TestDaemon, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(d.socket)
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.once('error', reject)
    socket.once('close', () => resolve(Buffer.concat(chunks).toString()))
    socket.setTimeout(5000, () => socket.destroy(new Error(`no answer to ${request}`)))
    socket.write(request)
  })
}

const message = (answer: { json<T>(): T }): string => answer.json<{ message: string }>().message

async function statuses(
  t: ExecutionContext,
  d: TestDaemon,
  table: [method: string, url: string, status: number, body?: unknown][],
): Promise<void> {
  for (const [method, url, status, body] of table) {
    const answer = await d.api(method, url, body)
    t.is(answer.status, status, `${method} ${url}: ${answer.body.toString().slice(0, 300)}`)
    if (status >= 400) t.is(typeof message(answer), 'string', `${method} ${url}`)
  }
}

daemonTest('the HTTP/1.0 line of a shell gets its answer', async (t, d) => {
  // As typed: the header ends with CR LF and a bare LF.
  const { stdout } = await run('bash', ['-c', `echo -e "GET /info HTTP/1.0\\r\\n" | timeout 5 nc -U ${d.socket}`])
  const [head = '', ...rest] = stdout.split('\r\n\r\n')
  t.regex(head, /^HTTP\/1\.[01] 200 OK\r\n/)
  t.regex(head, /\r\nContent-Type: application\/json/i)
  t.notRegex(head, /Transfer-Encoding: chunked/i)
  const info = JSON.parse(rest.join('\r\n\r\n')) as { ID: string; Images: number; OSType: string }
  t.is(info.OSType, 'linux')
  t.is(info.Images, 1)
  t.regex(await raw(d, 'GET /_ping HTTP/1.0\r\n\n'), /^HTTP\/1\.[01] 200 OK\r\n[\s\S]*OK$/)
  t.regex(await raw(d, 'GET /_ping HTTP/1.0\r\n\r\n'), /OK$/)
  t.regex(await raw(d, 'GET /v1.41/_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 OK\r\n[\s\S]*OK$/)
})

daemonTest('versions are negotiated, too old and too new ones refused', async (t, d) => {
  const ping = await d.api('GET', '/_ping')
  t.is(ping.headers['api-version'], '1.51')
  t.is(ping.headers['ostype'], 'linux')
  t.is((await d.api('HEAD', '/_ping')).status, 200)
  await statuses(t, d, [
    ['GET', '/v1.24/version', 200],
    ['GET', '/v1.51/version', 200],
    ['GET', '/v1.23/version', 400],
    ['GET', '/v1.99/version', 400],
    ['GET', '/v1.51/no/such/path', 404],
    ['GET', '/nowhere', 404],
  ])
  t.regex(message(await d.api('GET', '/v1.23/version')), /client version 1\.23 is too old/)
  t.regex(message(await d.api('GET', '/v1.99/version')), /client version 1\.99 is too new/)
})

daemonTest('routes of the API that are not built say so by name', async (t, d) => {
  for (const [method, url] of [
    ['GET', '/swarm'],
    ['POST', '/swarm/init'],
    ['GET', '/services'],
    ['GET', '/nodes'],
    ['POST', '/plugins/pull?remote=x'],
    ['GET', '/secrets'],
    ['GET', '/configs'],
    ['POST', '/session'],
  ] as const) {
    const answer = await d.api(method, url, method === 'POST' ? {} : undefined)
    t.is(answer.status, 501, `${method} ${url} ${answer.body.toString()}`)
    t.regex(message(answer), new RegExp(url.split('?')[0]?.split('/')[1] ?? '', 'i'))
  }
})

daemonTest('container routes answer the statuses of the description', async (t, d) => {
  await d.ok('run', '-d', '--name', 'up', 'busybox', 'sleep', '1000')
  await d.ok('create', '--name', 'down', 'busybox', 'sleep', '1000')
  await statuses(t, d, [
    ['POST', '/containers/create', 400, {}],
    ['POST', '/containers/create', 404, { Image: 'nowhere' }],
    ['POST', '/containers/create?name=up', 409, { Image: 'busybox' }],
    ['POST', '/containers/create?name=a%20b', 400, { Image: 'busybox' }],
    ['POST', '/containers/create', 400, { Image: 7 }],
    ['POST', '/containers/create', 400, { Image: 'busybox', HostConfig: { Memory: 'much' } }],
    ['POST', '/containers/create', 400, { Image: 'busybox', HostConfig: { Memory: 1 } }],
    ['POST', '/containers/create', 400, { Image: 'busybox', StopSignal: 'SIGNOTHING' }],
    ['POST', '/containers/create', 400, Buffer.from('{')],
    ['GET', '/containers/nobody/json', 404],
    ['GET', '/containers/json?filters=nonsense', 400],
    ['GET', '/containers/json?filters=%7B%22what%22%3A%5B%22x%22%5D%7D', 400],
    ['GET', `/containers/json?filters=${encodeURIComponent('{"is-task":["perhaps"]}')}`, 400],
    ['GET', '/containers/nobody/top', 404],
    ['GET', '/containers/down/top', 409],
    ['GET', '/containers/up/top', 200],
    ['GET', '/containers/nobody/logs?stdout=1', 404],
    ['GET', '/containers/up/logs', 400],
    ['POST', '/containers/nobody/start', 404],
    ['POST', '/containers/up/start', 304],
    ['POST', '/containers/nobody/stop', 404],
    ['POST', '/containers/down/stop', 304],
    ['POST', '/containers/nobody/restart', 404],
    ['POST', '/containers/nobody/kill', 404],
    ['POST', '/containers/down/kill', 409],
    ['POST', '/containers/up/kill?signal=WHAT', 400],
    ['POST', '/containers/nobody/rename?name=x2', 404],
    ['POST', '/containers/up/rename?name=down', 409],
    ['POST', '/containers/up/rename', 400],
    ['POST', '/containers/nobody/pause', 404],
    ['POST', '/containers/down/pause', 409],
    ['POST', '/containers/up/pause', 204],
    ['POST', '/containers/up/pause', 409],
    ['POST', '/containers/up/unpause', 204],
    ['POST', '/containers/up/unpause', 500],
    ['POST', '/containers/nobody/resize?h=1&w=1', 404],
    ['POST', '/containers/up/resize?h=x&w=1', 400],
    ['POST', '/containers/nobody/wait', 404],
    ['POST', '/containers/up/wait?condition=whenever', 400],
    ['POST', '/containers/nobody/attach?stream=1', 404],
    ['POST', '/containers/nobody/exec', 404, { Cmd: ['true'] }],
    ['POST', '/containers/down/exec', 409, { Cmd: ['true'] }],
    ['POST', '/containers/up/exec', 400, {}],
    ['POST', '/containers/up/exec', 400, { Cmd: ['pwd'], WorkingDir: 'tmp' }],
    ['POST', '/exec/nobody/start', 404, {}],
    ['GET', '/exec/nobody/json', 404],
    ['POST', '/exec/nobody/resize?h=1&w=1', 404],
    ['DELETE', '/containers/nobody', 404],
    ['DELETE', '/containers/up', 409],
    ['DELETE', '/containers/down', 204],
    ['DELETE', '/containers/up?force=1', 204],
  ])
  t.is(message(await d.api('GET', '/containers/nobody/json')), 'No such container: nobody')
  t.is(message(await d.api('POST', '/exec/nobody/start', {})), 'No such exec instance: nobody')
})

daemonTest('image, volume and network routes answer the statuses of the description', async (t, d) => {
  await statuses(t, d, [
    ['GET', '/images/nowhere/json', 404],
    ['GET', '/images/busybox/json', 200],
    ['GET', '/images/json?filters=%7B%22what%22%3A%5B%22x%22%5D%7D', 400],
    ['POST', '/images/nowhere/tag?repo=x', 404],
    ['POST', '/images/busybox/tag?repo=UPPER', 400],
    ['POST', '/images/busybox/tag?repo=other&tag=1', 201],
    ['DELETE', '/images/other:1', 200],
    ['DELETE', '/images/nowhere', 404],
    ['POST', '/volumes/create', 201, { Name: 'vol' }],
    ['POST', '/volumes/create', 400, { Name: 'a b' }],
    ['POST', '/volumes/create', 400, { Name: 7 }],
    ['GET', '/volumes/nowhere', 404],
    ['DELETE', '/volumes/nowhere', 404],
    ['DELETE', '/volumes/vol', 204],
    ['POST', '/volumes/prune', 200],
    ['POST', '/networks/create', 400, {}],
    ['POST', '/networks/create', 201, { Name: 'net' }],
    ['POST', '/networks/create', 409, { Name: 'net' }],
    ['POST', '/networks/create', 404, { Name: 'net2', Driver: 'nowhere' }],
    ['GET', '/networks/nowhere', 404],
    ['POST', '/networks/nowhere/connect', 404, { Container: 'nobody' }],
    ['POST', '/networks/net/connect', 404, { Container: 'nobody' }],
    ['POST', '/networks/net/disconnect', 404, { Container: 'nobody' }],
    ['DELETE', '/networks/net', 204],
    ['DELETE', '/networks/host', 403],
    ['POST', '/networks/prune', 200],
    ['GET', '/info', 200],
    ['GET', '/version', 200],
  ])
})

daemonTest("Debian's docker CLI 20.10 works on the same socket", async (t, d) => {
  const old = (...args: string[]) => run('/usr/bin/docker', args, { env: { ...d.env(), DOCKER_CONFIG: `${d.dir}/old-docker` } })
  const version = await old('version', '--format', '{{.Client.Version}}')
  if (!version.stdout.startsWith('20.10')) {
    t.log(`/usr/bin/docker is ${version.stdout.trim() || 'absent'}, not 20.10`)
    t.pass()
    return
  }
  t.deepEqual(await old('run', '--rm', 'busybox', 'echo', 'hello'), { code: 0, stdout: 'hello\n', stderr: '' })
  t.is((await old('run', '--rm', 'busybox', 'sh', '-c', 'exit 5')).code, 5)
  t.is(
    (
      await old(
        'run',
        '-d',
        '--name',
        'old',
        '-p',
        '8090:80',
        '-v',
        'oldvol:/v',
        '-e',
        'A=b',
        'busybox',
        'sh',
        '-c',
        'echo one; echo two >&2; sleep 1000',
      )
    ).code,
    0,
  )
  t.is((await old('exec', 'old', 'sh', '-c', 'echo $A')).stdout, 'b\n')
  t.is((await old('exec', 'old', 'sh', '-c', 'exit 3')).code, 3)
  const logs = await old('logs', 'old')
  t.deepEqual([logs.stdout, logs.stderr], ['one\n', 'two\n'])
  t.regex((await old('ps', '--format', '{{.Names}} {{.Image}} {{.Ports}}')).stdout, /^old busybox 0\.0\.0\.0:8090->80\/tcp\n$/)
  t.is(
    (await old('inspect', '-f', '{{.State.Running}} {{.Config.Image}} {{.NetworkSettings.IPAddress}}', 'old')).stdout.split(' ').length,
    3,
  )
  t.regex((await old('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'old')).stdout, /^\d+\.\d+\.\d+\.\d+\n$/)
  t.regex((await old('top', 'old')).stdout, /sleep 1000/)
  t.is((await old('images', '-q')).stdout.split('\n').filter(Boolean).length, 1)
  t.is((await old('volume', 'ls', '-q')).stdout, 'oldvol\n')
  t.is((await old('network', 'ls', '--format', '{{.Name}}')).stdout, 'bridge\nhost\nnone\n')
  t.is((await old('info', '--format', '{{.Containers}} {{.ContainersRunning}}')).stdout, '1 1\n')
  t.is((await old('stop', '-t', '0', 'old')).code, 0)
  t.is((await old('rm', '-v', 'old')).code, 0)
  t.is((await old('volume', 'rm', 'oldvol')).code, 0)
})

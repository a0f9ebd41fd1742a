import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { FakeEngine, cli, cliOnTerminal, type Answer, type Asked } from '../testing/fake-engine.js'

interface Place {
  engine: FakeEngine
  dir: string
  env: NodeJS.ProcessEnv
  config(): Record<string, unknown>
}

const lines = (...messages: object[]): Answer => ({ body: Buffer.from(messages.map((one) => `${JSON.stringify(one)}\n`).join('')) })

async function place(t: ExecutionContext, handler: (asked: Asked) => Answer | undefined, config?: object): Promise<Place> {
  const engine = await new FakeEngine(handler).listen()
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-registry-'))
  t.teardown(() => {
    engine.close()
    fs.rmSync(dir, { recursive: true })
  })
  if (config !== undefined) fs.writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config))
  const env = { DOCKER_CONFIG: dir, PATH: `${dir}:${process.env.PATH}` }
  return { engine, dir, env, config: () => JSON.parse(fs.readFileSync(path.join(dir, 'config.json'), 'utf8')) as Record<string, unknown> }
}

const authOf = ({ headers }: Asked): unknown => JSON.parse(Buffer.from(String(headers['x-registry-auth']), 'base64url').toString())
const base64 = (text: string): string => Buffer.from(text).toString('base64')

const progress = [
  { status: 'Pulling from library/app', id: '1' },
  { status: 'Pulling fs layer', progressDetail: {}, id: 'aaaaaaaaaaaa' },
  { status: 'Downloading', progressDetail: { current: 500_000, total: 1_000_000 }, id: 'aaaaaaaaaaaa' },
  { status: 'Pull complete', progressDetail: {}, id: 'aaaaaaaaaaaa' },
  { status: 'Digest: sha256:x' },
  { status: 'Status: Downloaded newer image for app:1' },
]

test('pull prints a line for each change, and nothing that moves, where there is no terminal', async (t) => {
  const at = await place(t, () => lines(...progress), { auths: { 'https://index.docker.io/v1/': { auth: base64('user:pass:word') } } })
  const { stdout, stderr, code } = await cli(at.engine, ['pull', 'app:1', '--platform', 'linux/arm64'], { env: at.env })
  t.is(
    stdout,
    '1: Pulling from library/app\naaaaaaaaaaaa: Pulling fs layer\naaaaaaaaaaaa: Pull complete\nDigest: sha256:x\nStatus: Downloaded newer image for app:1\ndocker.io/library/app:1\n',
  )
  t.is(stderr, '')
  t.is(code, 0)
  const [asked] = at.engine.asked
  t.deepEqual(asked?.query, { fromImage: 'docker.io/library/app', tag: '1', platform: 'linux/arm64' })
  t.deepEqual(authOf(asked as Asked), { serveraddress: 'https://index.docker.io/v1/', username: 'user', password: 'pass:word' })
  t.is((await cli(at.engine, ['pull', '-q', 'app'], { env: at.env })).stdout, 'docker.io/library/app:latest\n')
  await cli(at.engine, ['pull', '-a', 'app'], { env: at.env })
  t.deepEqual(at.engine.asked[2]?.query, { fromImage: 'docker.io/library/app' })
  t.regex((await cli(at.engine, ['pull', '-a', 'app:1'], { env: at.env })).stderr, /tag can't be used with --all-tags/)
})

test('pull draws bars on a terminal', async (t) => {
  const at = await place(t, () => lines(...progress))
  const { stdout } = await cliOnTerminal(at.engine, ['pull', 'app:1'], () => undefined, at.env)
  // script(1) shows ESC as it is.
  t.true(stdout.includes('aaaaaaaaaaaa: Downloading [===============>              ] 500kB/1MB'), JSON.stringify(stdout))
  t.true(stdout.includes('\x1b[1A\r\x1b[2Kaaaaaaaaaaaa: Pull complete'), JSON.stringify(stdout))
})

test('an error in the stream is the error of the command', async (t) => {
  const at = await place(t, () => lines(progress[0] as object, { errorDetail: { message: 'the disk is full' }, error: 'the disk is full' }))
  const { code, stderr } = await cli(at.engine, ['pull', 'app:1'], { env: at.env })
  t.deepEqual([code, stderr], [1, 'the disk is full\n'])
})

test('push sends the tag, or all tags', async (t) => {
  const at = await place(t, () => lines({ status: 'done' }), {
    auths: { 'registry.example:5000': { identitytoken: 'token', auth: base64('user:') } },
  })
  t.is((await cli(at.engine, ['push', 'registry.example:5000/a/b'], { env: at.env })).stdout, 'Using default tag: latest\ndone\n')
  await cli(at.engine, ['push', '-a', 'registry.example:5000/a/b'], { env: at.env })
  t.deepEqual(
    at.engine.asked.map(({ path: url, query }) => [decodeURIComponent(url), query]),
    [
      ['/images/registry.example:5000/a/b/push', { tag: 'latest' }],
      ['/images/registry.example:5000/a/b/push', {}],
    ],
  )
  t.like(authOf(at.engine.asked[0] as Asked), { identitytoken: 'token', serveraddress: 'registry.example:5000' })
})

test('login asks the engine, then stores; logout forgets', async (t) => {
  let answer: Answer = { body: { Status: 'Login Succeeded', IdentityToken: '' } }
  const at = await place(t, () => answer, { HttpHeaders: { kept: 'yes' } })
  const login = () =>
    cli(at.engine, ['login', '-u', 'user', '--password-stdin', 'https://registry.example:5000/'], { env: at.env, typed: 'pass:word\n' })
  const { stdout, stderr } = await login()
  t.is(stdout, 'Login Succeeded\n')
  t.regex(stderr, /stored unencrypted in/)
  t.deepEqual(JSON.parse(at.engine.asked[0]?.body ?? ''), {
    username: 'user',
    password: 'pass:word',
    serveraddress: 'registry.example:5000',
  })
  t.deepEqual(at.config(), { HttpHeaders: { kept: 'yes' }, auths: { 'registry.example:5000': { auth: base64('user:pass:word') } } })
  t.is(fs.statSync(path.join(at.dir, 'config.json')).mode & 0o777, 0o600)
  answer = { body: { Status: 'Login Succeeded', IdentityToken: 'refresh' } }
  await login()
  t.deepEqual(at.config()['auths'], { 'registry.example:5000': { auth: base64('user:'), identitytoken: 'refresh' } })
  answer = { status: 401, body: { message: 'unauthorized: incorrect username or password' } }
  const refused = await login()
  t.deepEqual([refused.code, refused.stderr], [1, 'Error response from daemon: unauthorized: incorrect username or password\n'])
  t.deepEqual(at.config()['auths'], { 'registry.example:5000': { auth: base64('user:'), identitytoken: 'refresh' } })
  t.is(
    (await cli(at.engine, ['logout', 'registry.example:5000'], { env: at.env })).stdout,
    'Removing login credentials for registry.example:5000\n',
  )
  t.deepEqual(at.config(), { HttpHeaders: { kept: 'yes' }, auths: {} })
  t.is((await cli(at.engine, ['logout'], { env: at.env })).stdout, 'Not logged in to docker.io\n')
  t.regex((await cli(at.engine, ['login'], { env: at.env })).stderr, /Cannot perform an interactive login from a non TTY device/)
})

test('login on a terminal does not show the password', async (t) => {
  const at = await place(t, () => ({ body: { Status: 'Login Succeeded', IdentityToken: '' } }))
  const { stdout } = await cliOnTerminal(
    at.engine,
    ['login', 'registry.example'],
    (type) => {
      setTimeout(() => type('user\n'), 800)
      setTimeout(() => type('a-secret\n'), 1600)
    },
    at.env,
  )
  t.regex(stdout, /Login Succeeded/)
  t.false(stdout.includes('a-secret'))
  t.deepEqual(at.config()['auths'], { 'registry.example': { auth: base64('user:a-secret') } })
})

test('credential helpers are asked, told and made to forget', async (t) => {
  const at = await place(
    t,
    ({ path: url }) => (url === '/auth' ? { body: { Status: 'Login Succeeded', IdentityToken: '' } } : lines(...progress)),
    {
      credsStore: 'all',
      credHelpers: { 'special.example': 'special', 'missing.example': 'missing' },
    },
  )
  const helper = (name: string, script: string): void =>
    fs.writeFileSync(path.join(at.dir, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  helper('all', `cat >>${at.dir}/said; echo " $1" >>${at.dir}/said; echo '{"Username":"u","Secret":"s"}'`)
  helper('special', `echo '{"Username":"<token>","Secret":"refresh"}'`)
  const auth = async (image: string): Promise<unknown> => {
    await cli(at.engine, ['pull', image], { env: at.env })
    return authOf(at.engine.asked.at(-1) as Asked)
  }
  t.deepEqual(await auth('other.example/app'), { serveraddress: 'other.example', username: 'u', password: 's' })
  t.deepEqual(await auth('special.example/app'), { serveraddress: 'special.example', identitytoken: 'refresh' })
  t.regex(
    (await cli(at.engine, ['pull', 'missing.example/app'], { env: at.env })).stderr,
    /docker-credential-missing was not found on the path/,
  )
  helper(
    'all',
    `cat >>${at.dir}/said; echo " $1" >>${at.dir}/said; [ $1 = get ] && echo "credentials not found in native keychain" && exit 1; exit 0`,
  )
  t.deepEqual(await auth('other.example/app'), { serveraddress: 'other.example' })
  await cli(at.engine, ['login', '-u', 'me', '--password-stdin', 'new.example'], { env: at.env, typed: 'pw' })
  t.deepEqual(at.config()['auths'], { 'new.example': {} })
  await cli(at.engine, ['logout', 'new.example'], { env: at.env })
  const said = fs.readFileSync(path.join(at.dir, 'said'), 'utf8')
  t.true(said.includes('{"ServerURL":"new.example","Username":"me","Secret":"pw"} store'), said)
  t.true(said.includes('new.example erase'), said)
  helper('all', 'echo it is locked; exit 1')
  t.regex((await cli(at.engine, ['pull', 'app'], { env: at.env })).stderr, /error getting credentials: docker-credential-all: it is locked/)
})

test('a damaged configuration is named', async (t) => {
  const at = await place(t, () => lines(...progress))
  for (const text of ['{', '[]', '{"auths":7}']) {
    fs.writeFileSync(path.join(at.dir, 'config.json'), text)
    const { code, stderr } = await cli(at.engine, ['pull', 'app'], { env: at.env })
    t.is(code, 1)
    t.true(stderr.includes(`${at.dir}/config.json: `), stderr)
  }
  t.is(at.engine.asked.length, 0)
})

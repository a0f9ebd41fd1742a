import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import { Engine } from './engine.js'
import { FakeEngine, cli } from './testing/fake-engine.js'
import { verbs } from './verbs/index.js'

const nowhere = 'unix:///nonexistent/tsd.sock'

test('no engine: says where it looked', async (t) => {
  const { code, stderr } = await cli(nowhere, ['ps'])
  t.is(code, 1)
  t.is(stderr, `Cannot connect to the tsd daemon at ${nowhere}. Is the tsd daemon running? (start it with 'tsd daemon')\n`)
})

test('run on a socket that was asked for starts no daemon', async (t) => {
  const { code, stderr } = await cli(nowhere, ['run', '--rm', 'hello'])
  t.is(code, 125)
  t.true(stderr.startsWith(`tsd: Cannot connect to the tsd daemon at ${nowhere}.`))
})

test('a socket that takes connections and answers nothing is told of, a slow engine is waited for', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-cli-silent-'))
  const silent = net.createServer().listen(path.join(dir, 's'))
  await once(silent, 'listening')
  const url = `unix://${path.join(dir, 's')}`
  await t.throwsAsync(new Engine(url, 50).get('/containers/json'), {
    message: `what listens at ${url} takes connections and answers nothing: another process may hold the socket: stop it, or choose another socket with -H`,
  })
  silent.close()
  fs.rmSync(dir, { recursive: true })
  const slow = http.createServer((request, response) =>
    request.url === '/_ping' ? response.end() : setTimeout(() => response.end('{"late":true}'), 2500),
  )
  await once(slow.listen(path.join(os.tmpdir(), `${path.basename(dir)}.sock`)), 'listening')
  t.deepEqual(await new Engine(`unix://${slow.address() as string}`, 1500).get('/x'), { late: true })
  slow.close()
})

test('unknown commands and flags', async (t) => {
  t.deepEqual(await cli(nowhere, ['imagse']), {
    code: 1,
    stdout: '',
    stderr: 'tsd: unknown command: tsd imagse (did you mean "image" or "images"?)\n\nRun \'tsd --help\' for more information\n',
  })
  t.deepEqual(await cli(nowhere, ['ps', '--foo']), {
    code: 125,
    stdout: '',
    stderr: "unknown flag: --foo\n\nUsage:  tsd ps [OPTIONS]\n\nRun 'tsd ps --help' for more information\n",
  })
  t.deepEqual(await cli(nowhere, ['rm']), {
    code: 1,
    stdout: '',
    stderr:
      "tsd: 'tsd rm' requires at least 1 argument\n\nUsage:  tsd rm [OPTIONS] CONTAINER [CONTAINER...]\n\nSee 'tsd rm --help' for more information\n",
  })
})

test('an older engine is spoken to in its version', async (t) => {
  const paths: string[] = []
  const engine = await new FakeEngine(({ path: url }) => {
    paths.push(url)
    return paths.length === 1
      ? { status: 400, body: { message: 'client version 1.51 is too new. Maximum supported API version is 1.41' } }
      : { body: [] }
  }).listen()
  const { code, stdout } = await cli(engine, ['ps', '-q'])
  t.deepEqual([code, stdout, paths.length], [0, '', 2])
  engine.close()
})

test("a flag's value reaches the engine's own words", async (t) => {
  const engine = await new FakeEngine(() => ({
    status: 409,
    body: { message: 'Conflict. The container name "/x" is already in use' },
  })).listen()
  t.deepEqual(await cli(engine, ['create', '--name', 'x', 'img']), {
    code: 1,
    stdout: '',
    stderr: 'Error response from daemon: Conflict. The container name "/x" is already in use\n',
  })
  engine.close()
})

/** As installed: the launcher beside a build, and the first line of the program. */
for (const [how, command] of [
  ['the launcher', (dir: string) => [path.join(dir, 'tsd')]],
  [
    'the installed program',
    (dir: string) => [
      ...(/^#!(.*)/.exec(fs.readFileSync('dist/core/cli/main.js', 'utf8'))?.[1] ?? '').split(' '),
      path.join(dir, 'dist/core/cli/main.js'),
    ],
  ],
] as const)
  test(`an environment file is read by ${how}, not by Node`, (t) => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-cli-launcher-'))
    fs.copyFileSync('tsd', path.join(dir, 'tsd'))
    fs.symlinkSync(path.resolve('dist'), path.join(dir, 'dist'))
    const [program = '', ...words] = command(dir)
    const { status, stderr } = spawnSync(program, [...words, 'run', '--env-file', path.join(dir, 'none'), 'img'], { encoding: 'utf8' })
    t.is(stderr, `tsd: open ${path.join(dir, 'none')}: no such file or directory\n\nRun 'tsd run --help' for more information\n`)
    t.is(status, 125)
    fs.rmSync(dir, { recursive: true })
  })

test('many names: what succeeds is printed, what fails comes last, and the exit code says so', async (t) => {
  const engine = await new FakeEngine(({ path: url }) =>
    url.includes('/b/') ? { status: 404, body: { message: 'No such container: b' } } : { status: 204 },
  ).listen()
  t.deepEqual(await cli(engine, ['stop', 'a', 'b', 'c']), {
    code: 1,
    stdout: 'a\nc\n',
    stderr: 'Error response from daemon: No such container: b\n',
  })
  engine.close()
})

for (const [name, { load }] of Object.entries(verbs)) {
  test(`help of ${name}`, async (t) => {
    const verb = await load()
    t.is(verb.name, name)
    for (const { help, name: flag, hidden } of verb.flags) if (!hidden) t.not(help, '', flag)
    const shorts = verb.flags.flatMap((f) => f.short ?? [])
    t.is(new Set(shorts).size, shorts.length, 'one meaning for each letter')
    const names = verb.flags.map((f) => f.name)
    t.is(new Set(names).size, names.length)
  })
}

const isRoot = process.getuid?.() === 0
const asRoot = isRoot ? test : test.skip
const lacking = isRoot ? '' : ' [needs root]'

asRoot(`a clone that is somebody else's and not built says who can build it${lacking}`, (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-cli-clone-'))
  fs.chmodSync(dir, 0o755)
  for (const file of ['tsd', 'tsconfig.json', 'package.json', 'package-lock.json']) fs.copyFileSync(file, path.join(dir, file))
  const { status, stderr } = spawnSync(path.join(dir, 'tsd'), ['ps'], { uid: 65534, gid: 65534, encoding: 'utf8' })
  t.is(stderr, `tsd: ${dir} must be built first, and nobody cannot write to it: run ./tsd there once as root\n`)
  t.is(status, 125)
  fs.rmSync(dir, { recursive: true })
})

asRoot(`without root and without an engine: says what is missing and the way out${lacking}`, (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-cli-user-'))
  const asNobody = (env: NodeJS.ProcessEnv, ...args: string[]) =>
    spawnSync(process.execPath, [path.resolve('dist/core/cli/main.js'), ...args], {
      uid: 65534,
      gid: 65534,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, ...env },
    })
  const socket = path.join(dir, 'closed.sock')
  fs.writeFileSync(socket, '')
  fs.chmodSync(dir, 0o700)
  const denied = asNobody({ TSD_HOST: `unix://${socket}` }, 'ps')
  t.is(denied.status, 1)
  t.regex(
    denied.stderr,
    /^permission denied while trying to connect to the tsd daemon socket at .*: run as root, or as a member of the socket's group\n$/,
  )
  const doctor = asNobody({}, 'doctor')
  t.regex(doctor.stdout, /root +unproven +all +not root: nothing that needs root was checked/)
  t.regex(doctor.stdout, /nftables +unproven/)
  fs.rmSync(dir, { recursive: true })
})

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import {
  encodeFrame,
  encodePlan,
  flock,
  toShim,
  u32Payload,
  type ChildOp,
  type HostOp,
  type Plan,
  type ShimLink,
} from '../../native/index.js'
import { busyboxRootfs, needs, rootTest, tempDir } from '../../test/fixtures/root.js'
import type { LogSink } from '../sdk/kinds/log.js'
import { decodeFrames, type LogMessage } from '../sdk/logs/entry.js'
import { frameFormat } from '../sdk/logs/frames.js'
import { readRecords } from '../sdk/logs/records.js'
import type { ShimSpec } from '../sdk/ports.js'
import { ShimSpawner } from './spawner.js'

const MS = { RDONLY: 1, NOSUID: 2, BIND: 0x1000, REC: 0x4000, SLAVE: 0x80000 }
const CLONE = { NEWNS: 0x20000, NEWUTS: 0x4000000, NEWIPC: 0x8000000, NEWUSER: 0x10000000, NEWPID: 0x20000000, NEWNET: 0x40000000 }
const ALL = CLONE.NEWNS | CLONE.NEWUTS | CLONE.NEWIPC | CLONE.NEWPID | CLONE.NEWNET

interface Wanted {
  id: string
  argv: string[]
  host?: HostOp[]
  before?: ChildOp[]
  child?: ChildOp[]
  setup?: Plan['setup']
  shim?: Partial<ShimSpec>
  flags?: number
  parent?: Plan['parent']
  env?: string[]
}

class Machine {
  readonly dir: string
  readonly rootfs: string
  readonly spawner: ShimSpawner
  readonly pids: number[] = []

  constructor(t: ExecutionContext) {
    this.dir = tempDir(t, 'spawner')
    this.rootfs = busyboxRootfs(path.join(this.dir, 'lower'))
    for (const name of ['at']) fs.mkdirSync(path.join(this.dir, name))
    this.spawner = new ShimSpawner({ lockFile: path.join(this.dir, 'generation') })
    t.teardown(() => {
      for (const pid of this.pids) kill(pid)
      this.spawner.stop()
    })
  }

  log(id: string): string {
    return path.join(this.dir, `${id}.log`)
  }

  entries(id: string): { log: string; stream: string; time: string; attrs?: Record<string, string> }[] {
    return fs
      .readFileSync(this.log(id), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { log: string; stream: string; time: string })
  }

  text(id: string, stream = 'stdout'): string {
    return this.entries(id)
      .filter((entry) => entry.stream === stream)
      .map((entry) => entry.log)
      .join('')
  }

  shimOf(id: string, options: Partial<ShimSpec> = {}): ShimSpec {
    const dir = path.join(this.dir, `shim-${id}`)
    fs.mkdirSync(dir, { recursive: true })
    const sink: LogSink = { type: 'file', path: this.log(id), format: 'json-file', attrs: {}, maxSize: -1, maxFile: 1, compress: false }
    return { id, dir, terminal: false, openStdin: false, stdinOnce: false, stream: false, sink, ...options }
  }

  plan(wanted: Wanted): Plan {
    const upper = path.join(this.dir, `upper-${wanted.id}`)
    const work = path.join(this.dir, `work-${wanted.id}`)
    for (const dir of [upper, work]) fs.mkdirSync(dir, { recursive: true })
    return {
      ...(wanted.setup ? { setup: wanted.setup } : {}),
      host: [
        { op: 'fsmount', slot: 0, fstype: 'overlay', options: [`lowerdir=${this.rootfs}`, `upperdir=${upper}`, `workdir=${work}`] },
        ...(wanted.host ?? []),
      ],
      clone: [{ op: 'clone', flags: wanted.flags ?? ALL }],
      ...(wanted.parent ? { parent: wanted.parent } : {}),
      child: [
        ...(wanted.before ?? []),
        { op: 'propagation', path: '/', flags: MS.SLAVE | MS.REC },
        { op: 'moveMount', slot: 0, path: path.join(this.dir, 'at') },
        { op: 'mountIn', root: 0, path: '/proc', fstype: 'proc', source: 'proc' },
        { op: 'mountIn', root: 0, path: '/dev', fstype: 'tmpfs', source: 'tmpfs', flags: MS.NOSUID, data: 'mode=755,size=65536k' },
        {
          op: 'mountIn',
          root: 0,
          path: '/dev/pts',
          fstype: 'devpts',
          source: 'devpts',
          create: 'dir',
          data: 'newinstance,ptmxmode=0666,mode=0620',
        },
        { op: 'mknodIn', root: 0, path: '/dev/null', mode: 0o20666, major: 1, minor: 3 },
        { op: 'mknodIn', root: 0, path: '/dev/zero', mode: 0o20666, major: 1, minor: 5 },
        { op: 'pivot', root: 0 },
        ...(wanted.shim?.terminal ? [{ op: 'console', mountAt: '/dev/console' } as const] : []),
        ...(wanted.child ?? []),
        { op: 'exec', argv: wanted.argv, env: wanted.env ?? ['PATH=/bin'] },
      ],
    }
  }

  async launch(wanted: Wanted): Promise<ShimLink> {
    const started = await this.spawner.launch(this.shimOf(wanted.id, wanted.shim), encodePlan(this.plan(wanted)))
    this.pids.push(started.pid)
    return this.spawner.get(wanted.id) as ShimLink
  }

  async run(wanted: Wanted): Promise<{ code: number; stdout: string; stderr: string }> {
    const link = await this.launch({ ...wanted, shim: { ...wanted.shim, stream: true } })
    const text = { stdout: '', stderr: '' }
    link.onOutput = (source, data) => {
      text[source] += data.toString('latin1')
    }
    await link.ended
    const { code } = await link.exited
    link.close()
    return { code, ...text }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone.
  }
}

function shimPidOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

const alive = (pid: number) => fs.existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (condition()) return
    await sleep(20)
  }
  throw new Error(`waited in vain for ${what}`)
}

const containerTest = needs('root', 'overlay', 'busybox')

containerTest('a container runs through a complete plan', async (t) => {
  const m = new Machine(t)
  const script =
    'hostname; cat /proc/1/comm; id -u; id -g; umask; pwd; grep CapEff /proc/self/status; ulimit -n; ls /proc | grep -c "^[0-9]"; echo oops >&2; exit 7'
  const result = await m.run({
    id: 'a',
    argv: ['sh', '-c', script],
    child: [
      { op: 'sethostname', name: 'box' },
      { op: 'maskPath', path: '/proc/kcore' },
      { op: 'maskPath', path: '/not/there' },
      { op: 'readonlyPath', path: '/proc/sys' },
      { op: 'rlimit', resource: 7, soft: 100, hard: 200 },
      { op: 'user', uid: 1000, gid: 1001, groups: [5], umask: 0o027 },
      { op: 'caps', bounding: 1n << 10n, permitted: 1n << 10n, effective: 1n << 10n, inheritable: 1n << 10n, ambient: 1n << 10n },
      { op: 'noNewPrivs' },
      { op: 'chdir', path: '/tmp' },
    ],
  })
  t.is(result.stderr, 'oops\n')
  t.deepEqual(result.stdout.split('\n').slice(0, 8), ['box', 'sh', '1000', '1001', '0027', '/tmp', 'CapEff:\t0000000000000400', '100'])
  t.is(result.code, 7)
  t.is(m.text('a'), result.stdout)
  t.is(m.text('a', 'stderr'), 'oops\n')
  const record = JSON.parse(fs.readFileSync(path.join(m.dir, 'shim-a/exit'), 'utf8')) as Record<string, unknown>
  t.like(record, { version: 1, code: 7, signal: 0, oom: false })
  t.is(m.spawner.get('a'), undefined)
})

containerTest('a terminal: size, resize, controlling tty, log as stdout', async (t) => {
  const m = new Machine(t)
  const link = await m.launch({
    id: 'tty',
    argv: ['sh', '-c', 'tty; stty size; test -c /dev/console && echo console; read line; stty size; echo "got $line"; exit 3'],
    shim: { terminal: true, openStdin: true, stream: true, consoleSize: { height: 33, width: 99 } },
  })
  let text = ''
  link.onOutput = (source, data) => {
    t.is(source, 'stdout')
    text += data.toString()
  }
  await until(() => text.includes('console'), 'the first output')
  link.resize(10, 20)
  await link.writeStdin(Buffer.from('hello\n'))
  t.like(await link.exited, { code: 3 })
  await link.ended
  t.is(text, '/dev/pts/0\r\n33 99\r\nconsole\r\nhello\r\n10 20\r\ngot hello\r\n')
  t.is(m.text('tty'), text)
  link.close()
})

containerTest('stdin arrives whole and ends', async (t) => {
  const m = new Machine(t)
  const link = await m.launch({ id: 'in', argv: ['md5sum'], shim: { openStdin: true, stream: true } })
  let text = ''
  link.onOutput = (_, data) => {
    text += data.toString()
  }
  const data = Buffer.alloc(3 << 20, 'abcdefg')
  await link.writeStdin(data)
  link.closeStdin()
  await link.ended
  t.is(text.split(' ')[0], execFileSync('md5sum', { input: data, encoding: 'utf8' }).split(' ')[0])
  link.close()
})

containerTest('stdin that is not open is at its end', async (t) => {
  const m = new Machine(t)
  t.like(await m.run({ id: 'noin', argv: ['cat'] }), { code: 0, stdout: '' })
})

containerTest("what cannot be executed is told in Docker's words", async (t) => {
  const m = new Machine(t)
  const cases: [string, string, string][] = [
    ['nope', 'ENOENT', 'exec: "nope": executable file not found in $PATH'],
    ['/nope', 'ENOENT', 'exec: "/nope": stat /nope: no such file or directory'],
    ['/etc', 'EACCES', 'exec: "/etc": is a directory'],
    ['/etc/passwd', 'EACCES', 'exec: "/etc/passwd": permission denied'],
  ]
  for (const [index, [name, code, message]] of cases.entries()) {
    const error = await t.throwsAsync(m.launch({ id: `e${index}`, argv: [name] }))
    t.like(error, { category: 'InvalidParameter', code, message, call: 'exec' })
    t.deepEqual(fs.readdirSync(path.join(m.dir, `shim-e${index}`)), [])
    t.is(m.spawner.get(`e${index}`), undefined)
  }
})

containerTest('a failing op is named, in every phase', async (t) => {
  const m = new Machine(t)
  const none = '/sys/fs/cgroup/none/tasks'
  const host = await t.throwsAsync(m.launch({ id: 'h', argv: ['true'], host: [{ op: 'mkdir', path: '/no/such/dir' }] }))
  t.like(host, { code: 'ENOENT', call: 'mkdir' })
  t.regex(host.message, /cannot start h: mkdir \/no\/such\/dir: no such file or directory \(ENOENT\)/)
  const parent = await t.throwsAsync(m.launch({ id: 'p', argv: ['true'], parent: [{ op: 'writePid', path: none }] }))
  t.regex(parent.message, /writePid .*ENOENT/)
  const child = await t.throwsAsync(m.launch({ id: 'c', argv: ['true'], before: [{ op: 'cgroupJoin', paths: [none] }] }))
  t.regex(child.message, /cgroupJoin \/sys\/fs\/cgroup\/none\/tasks: .*ENOENT/)
  t.is((await m.run({ id: 'ok', argv: ['true'], host: [{ op: 'mkdir', path: '/no/such/dir', ignore: [2] }] })).code, 0)
})

containerTest("a refused netlink message is named with the kernel's words", async (t) => {
  const m = new Machine(t)
  // RTM_DELLINK of an interface that does not exist.
  const message = Buffer.alloc(32)
  message.writeUInt32LE(32, 0)
  message.writeUInt16LE(17, 4)
  message.writeUInt16LE(1, 6)
  message.writeInt32LE(987654, 20)
  const op = { op: 'netlink', protocol: 0, messages: message, names: ['delete link x'] } as const
  const error = await t.throwsAsync(m.spawner.run(encodePlan({ host: [op] }), { deadline: 2000, name: 'links' }))
  t.regex(error.message, /links: netlink delete link x: no such device \(ENODEV\)/)
  await t.notThrowsAsync(m.spawner.run(encodePlan({ host: [{ ...op, ignore: [19] }] }), { deadline: 2000, name: 'links' }))
})

containerTest('a parked process waits for its release', async (t) => {
  const m = new Machine(t)
  const link = await m.launch({ id: 'park', argv: ['echo', 'hi'], child: [{ op: 'park' }], shim: { stream: true } })
  t.is(link.state, 'parked')
  t.true(alive(link.pid))
  let text = ''
  link.onOutput = (_, data) => {
    text += data.toString()
  }
  await m.spawner.resume('park')
  await link.ended
  t.is(text, 'hi\n')
  link.close()
})

containerTest('a parked process that cannot be executed says so on release', async (t) => {
  const m = new Machine(t)
  await m
    .launch({ id: 'park2', argv: ['nope'], child: [{ op: 'chdir', path: '/tmp' }, { op: 'sethostname', name: 'x' }, { op: 'park' }] })
    .catch((error: Error) => {
      t.regex(error.message, /executable file not found/)
    })
  const error = await m.spawner.resume('park2').catch((failure: Error) => failure)
  t.regex((error as Error).message, /executable file not found|no shim is known/)
})

containerTest('another process joins the namespaces of a running one', async (t) => {
  const m = new Machine(t)
  const main = await m.launch({ id: 'main', argv: ['sleep', '100'], child: [{ op: 'sethostname', name: 'inside' }] })
  const names = ['net', 'ipc', 'uts', 'pid', 'mnt']
  const flags = [CLONE.NEWNET, CLONE.NEWIPC, CLONE.NEWUTS, CLONE.NEWPID, CLONE.NEWNS]
  const plan: Plan = {
    host: [
      ...names.map((name, slot): HostOp => ({ op: 'openNs', slot, path: `/proc/${main.pid}/ns/${name}` })),
      { op: 'setNs', slot: 3, flags: CLONE.NEWPID },
    ],
    clone: [{ op: 'clone' }],
    child: [
      ...[0, 1, 2, 4].map((slot): ChildOp => ({ op: 'setNs', slot, flags: flags[slot] as number })),
      { op: 'exec', argv: ['sh', '-c', 'hostname; cat /proc/1/comm; ls /bin/busybox'], env: ['PATH=/bin'] },
    ],
  }
  await m.spawner.launch(m.shimOf('exec', { stream: true }), encodePlan(plan))
  const exec = m.spawner.get('exec') as ShimLink
  let text = ''
  exec.onOutput = (_, data) => {
    text += data.toString()
  }
  await exec.ended
  t.is(text, 'inside\nsleep\n/bin/busybox\n')
  exec.close()
  main.signal(9)
  t.like(await main.exited, { code: 137, signal: 9 })
  main.close()
})

containerTest('a user namespace with its maps', async (t) => {
  const m = new Machine(t)
  const plan: Plan = {
    clone: [{ op: 'clone', flags: CLONE.NEWUSER | CLONE.NEWNS | CLONE.NEWPID, uidMap: '0 100000 65536\n', gidMap: '0 100000 65536\n' }],
    child: [{ op: 'exec', argv: ['/bin/cat', '/proc/self/uid_map'], env: [] }],
  }
  await m.spawner.launch(m.shimOf('user', { stream: true }), encodePlan(plan))
  const link = m.spawner.get('user') as ShimLink
  let text = ''
  link.onOutput = (_, data) => {
    text += data.toString()
  }
  await link.ended
  t.regex(text, /^\s+0\s+100000\s+65536\n$/)
  link.close()
})

containerTest('a killed zygote takes nothing with it and is replaced', async (t) => {
  const m = new Machine(t)
  const link = await m.launch({ id: 'z', argv: ['sleep', '100'] })
  const before = m.spawner.zygote.pid as number
  process.kill(before, 'SIGKILL')
  t.is((await m.run({ id: 'z2', argv: ['echo', 'again'] })).stdout, 'again\n')
  t.not(m.spawner.zygote.pid, before)
  t.true(alive(link.pid))
  link.signal(9)
  t.like(await link.exited, { code: 137, signal: 9 })
  link.close()
})

containerTest('a killed shim is the exit of its container, which is ended', async (t) => {
  const m = new Machine(t)
  const link = await m.launch({ id: 's', argv: ['sleep', '100'] })
  process.kill(shimPidOf(link.pid), 'SIGKILL')
  t.like(await link.exited, { code: 137, signal: 9 })
  await link.ended
  await until(() => !alive(link.pid), 'the process to end')
  t.is(m.spawner.get('s'), undefined)
})

containerTest('a container outlives its daemon and is found again', async (t) => {
  const m = new Machine(t)
  const first = new ShimSpawner({ lockFile: path.join(m.dir, 'generation') })
  const shim = m.shimOf('live', { openStdin: true, stream: true })
  const plan = encodePlan(m.plan({ id: 'live', argv: ['sh', '-c', 'i=0; while read line; do echo "$line"; i=$((i+1)); done; exit 5'] }))
  const { pid } = await first.launch(shim, plan)
  m.pids.push(pid)
  const generation = fs.openSync(path.join(m.dir, 'generation'), 'r+')
  t.false(flock(generation, 'exclusive'))
  first.stop()
  const tries = () => flock(generation, 'exclusive')
  await until(tries, 'the generation to end')
  fs.closeSync(generation)
  t.true(alive(pid))

  const link = await m.spawner.attach('live', shim.dir)
  if (link === undefined || !('pid' in link)) return t.fail('the shim was not found')
  t.is(link.pid, pid)
  t.is(m.spawner.get('live'), link)
  let text = ''
  link.onOutput = (_, data) => {
    text += data.toString()
  }
  link.stream(true)
  await link.writeStdin(Buffer.from('one\ntwo\n'))
  link.closeStdin()
  t.like(await link.exited, { code: 5 })
  await link.ended
  t.is(text, 'one\ntwo\n')
  link.close()
})

containerTest('an exit without a daemon is in the record, and all output in the log', async (t) => {
  const m = new Machine(t)
  const first = new ShimSpawner()
  const shim = m.shimOf('gone', { openStdin: true, stream: true })
  const { pid } = await first.launch(shim, encodePlan(m.plan({ id: 'gone', argv: ['sh', '-c', 'sleep 0.3; seq 1 20000; exit 9'] })))
  const keeper = shimPidOf(pid)
  first.stop()
  await until(() => !alive(keeper), 'the shim to end')
  t.like(await m.spawner.attach('gone', shim.dir), { exit: { code: 9, signal: 0, oom: false } })
  t.is(m.entries('gone').length, 20000)
  t.is(await m.spawner.attach('never', path.join(m.dir, 'nothing')), undefined)
})

containerTest('a shim killed while no daemon ran is buried by the next', async (t) => {
  const m = new Machine(t)
  const first = new ShimSpawner()
  const shim = m.shimOf('dead')
  const { pid } = await first.launch(shim, encodePlan(m.plan({ id: 'dead', argv: ['sleep', '100'] })))
  first.stop()
  process.kill(shimPidOf(pid), 'SIGKILL')
  await sleep(50)
  t.like(await m.spawner.attach('dead', shim.dir), { exit: { code: 137, signal: 9 } })
  await until(() => !alive(pid), 'the process to end')
})

containerTest('a daemon that does not read is let go, and the log goes on', async (t) => {
  const m = new Machine(t)
  const first = new ShimSpawner()
  const shim = m.shimOf('deaf')
  const script =
    'sleep 0.5; i=0; while [ $i -lt 40000 ]; do echo "line $i 0123456789012345678901234567890123456789012345678901234567890123456789"; i=$((i+1)); done'
  const { pid } = await first.launch(shim, encodePlan(m.plan({ id: 'deaf', argv: ['sh', '-c', script] })))
  m.pids.push(pid)
  first.stop()
  const fd = fs.openSync(shim.dir, 'r')
  const socket = connect(`/proc/self/fd/${fd}/socket`)
  await new Promise((resolve) => socket.once('connect', resolve))
  fs.closeSync(fd)
  socket.write(encodeFrame(toShim.stream, u32Payload(1)))
  socket.pause()
  await sleep(3000)
  t.true(m.entries('deaf').length < 40000)
  await until(() => fs.existsSync(path.join(shim.dir, 'exit')), 'the container to go on')
  t.is(m.entries('deaf').length, 40000)
  socket.destroy()
})

containerTest('a slow client holds up the container as long as the daemon answers', async (t) => {
  const m = new Machine(t)
  const link = await m.launch({
    id: 'slow',
    argv: ['sh', '-c', 'head -c 8000000 /dev/zero'],
    shim: { stream: true },
  })
  let release!: () => void
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  let size = 0
  link.onOutput = async (_, data) => {
    size += data.length
    await gate
  }
  await sleep(1000)
  t.is(link.exit, undefined)
  t.true(size <= 1 << 20)
  release()
  await link.ended
  t.is(size, 8000000)
  link.close()
})

containerTest('lines are escaped, split and stamped as Docker does', async (t) => {
  const m = new Machine(t)
  const long = 'x'.repeat(16383) + 'é' + 'y'.repeat(10)
  const pieces = ['<&>"\\\t\r\x01\x7f\u2028é\u{1F600}\n', Buffer.from([0xff, 0x41, 0xe2, 0x82, 0x0a]), `${long}\n`, '\n', 'no newline']
  fs.writeFileSync(path.join(m.rootfs, 'input'), Buffer.concat(pieces.map((piece) => Buffer.from(piece))))
  await m.run({ id: 'esc', argv: ['cat', '/input'] })
  const raw = fs.readFileSync(m.log('esc'), 'utf8').split('\n')
  t.regex(
    raw[0] ?? '',
    /^\{"log":"\\u003c\\u0026\\u003e\\"\\\\\\t\\r\\u0001\x7f\\u2028é\u{1F600}\\n","stream":"stdout","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"\}$/u,
  )
  t.regex(raw[1] ?? '', /^\{"log":"\\ufffdA\\ufffd\\ufffd\\n"/)
  const logs = m.entries('esc').map((entry) => entry.log)
  t.deepEqual(logs.slice(2), ['x'.repeat(16383), `é${'y'.repeat(10)}\n`, '\n', 'no newline'])
})

containerTest('logs rotate by size and carry attributes', async (t) => {
  const m = new Machine(t)
  const sink: LogSink = {
    type: 'file',
    path: m.log('rot'),
    format: 'json-file',
    attrs: { tag: '<t>', a: 'b' },
    maxSize: 10_000,
    maxFile: 3,
    compress: false,
  }
  await m.run({ id: 'rot', argv: ['seq', '1', '1000'], shim: { sink } })
  t.deepEqual(
    fs
      .readdirSync(m.dir)
      .filter((name) => name.startsWith('rot.log'))
      .sort(),
    ['rot.log', 'rot.log.1', 'rot.log.2'],
  )
  t.regex(fs.readFileSync(m.log('rot'), 'utf8'), /"attrs":\{"a":"b","tag":"\\u003ct\\u003e"\}/)
  const all = [2, 1]
    .flatMap((n) =>
      fs
        .readFileSync(`${m.log('rot')}.${n}`, 'utf8')
        .trim()
        .split('\n'),
    )
    .concat(fs.readFileSync(m.log('rot'), 'utf8').trim().split('\n'))
  const numbers = all.map((line) => Number((JSON.parse(line) as { log: string }).log))
  t.is(numbers.at(-1), 1000)
  t.deepEqual(
    numbers,
    numbers.map((_, index) => (numbers[0] as number) + index),
  )
  t.true(fs.statSync(`${m.log('rot')}.1`).size < 10_300)
})

containerTest("Docker's local format: pieces of a line are named and counted, a torn end is cut off, files rotate", async (t) => {
  const m = new Machine(t)
  const file = m.log('local')
  const sink: LogSink = { type: 'file', path: file, format: 'local', attrs: {}, maxSize: 60_000, maxFile: 2, compress: false }
  const options = { follow: false, stopped: AbortSignal.abort(), signal: new AbortController().signal }
  const read = async (): Promise<LogMessage[]> => {
    const all: LogMessage[] = []
    for await (const { records } of readRecords(file, frameFormat, options)) all.push(...decodeFrames(records))
    return all
  }
  fs.writeFileSync(path.join(m.rootfs, 'input'), `${'x'.repeat(16384 * 2 + 5)}\nwhole\n\nno end`)
  await m.run({ id: 'a', argv: ['sh', '-c', 'cat /input; echo err >&2'], shim: { sink } })
  const messages = await read()
  const out = messages.filter(({ source }) => source === 'stdout')
  t.deepEqual(
    out.map(({ line, partial }) => [line.length, partial?.ordinal, partial?.last]),
    [
      [16384, 1, false],
      [16384, 2, false],
      [5, 3, true],
      [5, undefined, undefined],
      [0, undefined, undefined],
      [6, 1, false],
    ],
  )
  const ids = out.map(({ partial }) => partial?.id)
  t.regex(ids[0] ?? '', /^[0-9a-f]{64}$/)
  t.is(ids[0], ids[2])
  t.not(ids[0], ids[5])
  t.is(messages.find(({ source }) => source === 'stderr')?.line.toString(), 'err')
  const age = BigInt(Date.now()) * 1_000_000n - (out[0]?.nano ?? 0n)
  t.true(age >= 0n && age < 60_000_000_000n)
  fs.appendFileSync(file, Buffer.from([0, 0, 0, 9, 1, 2]))
  await m.run({ id: 'b', argv: ['echo', 'next'], shim: { sink } })
  t.deepEqual((await read()).map(({ line }) => line.toString()).slice(-1), ['next'])
  t.is((await read()).length, messages.length + 1)
  await m.run({ id: 'c', argv: ['seq', '1', '3000'], shim: { sink } })
  t.true(fs.existsSync(`${file}.1`) && !fs.existsSync(`${file}.2`))
  const numbers = (await read()).map(({ line }) => Number(line.toString()))
  t.is(numbers.at(-1), 3000)
  t.deepEqual(
    numbers,
    numbers.map((_, index) => (numbers[0] as number) + index),
  )
})

containerTest("a log plugin's fifo gets framed entries", async (t) => {
  const m = new Machine(t)
  const fifo = path.join(m.dir, 'fifo')
  execFileSync('mkfifo', [fifo])
  const reader = fs.openSync(fifo, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  await m.run({
    id: 'fifo',
    argv: ['sh', '-c', 'echo one; echo two >&2'],
    shim: { sink: { type: 'fifo', path: fifo, mode: 'blocking', bufferSize: 0 } },
  })
  const data = Buffer.alloc(4096)
  const size = fs.readSync(reader, data)
  fs.closeSync(reader)
  const lines: string[] = []
  for (let at = 0; at < size;) {
    const end = at + 4 + data.readUInt32BE(at)
    const entry = data.subarray(at + 4, end)
    // source (8 bytes), then time as a varint, then the line.
    const source = entry.toString('latin1', 2, 8)
    let p = 9
    while ((entry[p++] as number) & 0x80);
    t.is(entry[p], (3 << 3) | 2)
    lines.push(`${source}:${entry.toString('utf8', p + 2, p + 2 + (entry[p + 1] as number))}`)
    at = end
  }
  t.deepEqual(lines.sort(), ['stderr:two', 'stdout:one'])
})

containerTest('ops are applied to a running container', async (t) => {
  const m = new Machine(t)
  const link = await m.launch({ id: 'net', argv: ['sleep', '100'] })
  const flags = Buffer.alloc(32)
  // RTM_SETLINK lo up.
  flags.writeUInt32LE(32, 0)
  flags.writeUInt16LE(19, 4)
  flags.writeUInt16LE(1, 6)
  flags.writeInt32LE(1, 20)
  flags.writeUInt32LE(1, 24)
  flags.writeUInt32LE(1, 28)
  const mark = path.join(m.dir, 'mark')
  await m.spawner.apply(
    'net',
    encodePlan({ parent: [{ op: 'writePid', path: mark, create: true }], child: [{ op: 'netlink', protocol: 0, messages: flags }] }),
  )
  t.is(fs.readFileSync(mark, 'utf8'), String(link.pid))
  t.regex(
    execFileSync('nsenter', ['-t', String(link.pid), '-n', 'cat', '/proc/net/route', '/proc/net/if_inet6'], { encoding: 'utf8' }),
    /lo/,
  )
  const error = await t.throwsAsync(m.spawner.apply('net', encodePlan({ host: [{ op: 'rmdir', path: '/nope' }] })))
  t.regex(error.message, /rmdir \/nope/)
  link.signal(9)
  await link.exited
  link.close()
})

needs(
  'root',
  'overlay',
  'busybox',
  'cgroup-v1',
)('memory kills are told and recorded', async (t) => {
  const m = new Machine(t)
  const group = `/sys/fs/cgroup/memory/tsd-spawner-${process.pid}`
  t.teardown(() => {
    if (fs.existsSync(group)) fs.rmdirSync(group)
  })
  const link = await m.launch({
    id: 'oom',
    argv: ['sh', '-c', 'sleep 0.1; x=$(yes 0123456789012345678901234567890123456789); echo $x'],
    setup: [{ op: 'watchOom', path: group, version: 'v1' }],
    host: [
      { op: 'mkdir', path: group },
      { op: 'write', path: `${group}/memory.limit_in_bytes`, data: '16777216' },
    ],
    before: [{ op: 'cgroupJoin', paths: [`${group}/tasks`] }],
  })
  let told = 0
  link.onOom = () => told++
  t.like(await link.exited, { code: 137, signal: 9, oom: true })
  t.true(told >= 1)
  link.close()
  await m.spawner.run(encodePlan({ host: [{ op: 'cgroupRemove', paths: [group], retryMs: 2000 }] }), { deadline: 3000, name: 'cgroup' })
  t.false(fs.existsSync(group))
})

containerTest('plans larger than a message and many at once', async (t) => {
  const m = new Machine(t)
  const big = await m.run({ id: 'big', argv: ['sh', '-c', 'echo ${#X}'], env: ['PATH=/bin', `X=${'v'.repeat(100_000)}`] })
  t.is(big.stdout, '100000\n')
  const all = await Promise.all(Array.from({ length: 30 }, (_, i) => m.run({ id: `many${i}`, argv: ['echo', String(i)] })))
  t.deepEqual(
    all.map(({ stdout }) => stdout),
    Array.from({ length: 30 }, (_, i) => `${i}\n`),
  )
})

const netnsOf = (pid: number | string): string => fs.readlinkSync(`/proc/${pid}/ns/net`)

/** Network namespaces that a process holds open, its own left out. */
function netnsHeld(pid: number): string[] {
  const own = netnsOf(pid)
  const links = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return fs.readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return ''
    }
  })
  return links.filter((link) => link.startsWith('net:') && link !== own)
}

/** Whether anybody is in the namespace, or keeps it by an fd. */
const netnsLives = (netns: string): boolean =>
  fs
    .readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .some((pid) => {
      try {
        return netnsOf(pid) === netns || netnsHeld(Number(pid)).includes(netns)
      } catch {
        return false
      }
    })

const zombiesOf = (pid: number): string[] =>
  fs
    .readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((child) => child.trim() !== '' && !alive(Number(child)))

async function spareOf(m: Machine): Promise<string> {
  const zygote = m.spawner.zygote.pid ?? 0
  await until(() => netnsHeld(zygote).length === 1 && zombiesOf(zygote).length === 0, 'a spare namespace, and no zombie')
  return netnsHeld(m.spawner.zygote.pid ?? 0)[0] ?? ''
}

containerTest(
  'a network namespace made ahead goes to one process, with nothing but lo in it, and its maker leaves no zombie',
  async (t) => {
    const m = new Machine(t)
    m.spawner.zygote.start()
    const zygote = m.spawner.zygote.pid ?? 0
    await sleep(200)
    t.deepEqual(netnsHeld(zygote), [], 'none before the first start: drivers may still change what it takes after')
    const seen = [netnsOf('self')]
    let expected = ''
    for (let i = 0; i < 4; i++) {
      const { pid } = await m.launch({ id: `net${i}`, argv: ['sleep', '1000'] })
      const [devices, routes] = ['dev', 'route'].map((name) => fs.readFileSync(`/proc/${pid}/net/${name}`, 'utf8'))
      t.deepEqual(devices?.match(/^ *\S+:/gm), ['    lo:'])
      t.is(routes?.trim().split('\n').length, 1, 'a header and no route')
      const netns = netnsOf(pid)
      if (expected !== '') t.is(netns, expected)
      t.false(seen.includes(netns), `${netns} is not new`)
      seen.push(netns)
      t.deepEqual(netnsHeld(shimPidOf(pid)), [], 'its shim keeps no namespace')
      expected = await spareOf(m)
    }
    t.true(m.spawner.zygote.pid === zygote, 'it is the same zygote')
    const burst = await Promise.all(Array.from({ length: 8 }, (_, i) => m.launch({ id: `burst${i}`, argv: ['sleep', '1000'] })))
    const all = [...seen, ...burst.map(({ pid }) => netnsOf(pid))]
    t.is(new Set(all).size, all.length)
    await spareOf(m)
  },
)

containerTest('who has no use for the spare network namespace does not keep it, and it goes with a killed zygote', async (t) => {
  const m = new Machine(t)
  kill((await m.launch({ id: 'first', argv: ['sleep', '1000'] })).pid)
  const spare = await spareOf(m)
  const shares = await m.launch({ id: 'shares', argv: ['sleep', '1000'], flags: ALL & ~CLONE.NEWNET })
  t.is(netnsOf(shares.pid), netnsOf('self'))
  t.is(netnsHeld(m.spawner.zygote.pid ?? 0)[0], spare, 'it is still there for another')
  t.deepEqual(netnsHeld(shimPidOf(shares.pid)), [])
  const taker = await m.launch({ id: 'taker', argv: ['sleep', '1000'] })
  t.is(netnsOf(taker.pid), spare)
  kill(taker.pid)
  await until(() => !netnsLives(spare), 'the end of a namespace whose only process has ended')

  const pending = await spareOf(m)
  const before = m.spawner.zygote.pid ?? 0
  kill(before)
  await until(() => m.spawner.zygote.pid !== before, 'the news of its death')
  t.false(netnsLives(pending))
  const after = await m.launch({ id: 'after', argv: ['sleep', '1000'] })
  t.not(netnsOf(after.pid), netnsOf('self'))
  t.not(await spareOf(m), netnsOf(after.pid))
  t.is(netnsOf(shares.pid), netnsOf('self'))
})

rootTest('helpers: output, errors, deadlines, cancellation', async (t) => {
  const spawner = new ShimSpawner()
  t.teardown(() => spawner.stop())
  const run = (host: HostOp[], deadline = 2000, signal?: AbortSignal) =>
    spawner.run(encodePlan({ host }), { deadline, name: 'help', ...(signal ? { signal } : {}) })
  const { output } = await run([{ op: 'run', argv: ['sh', '-c', 'cat; seq 1 100000'], stdin: 'in\n' }])
  t.is(Buffer.from(output).toString().split('\n').length, 100002)
  t.like(await t.throwsAsync(run([{ op: 'run', argv: ['sh', '-c', 'echo bad >&2; exit 3'] }])), {
    message: 'help: sh failed: exit status 3: bad',
  })
  t.like(await t.throwsAsync(run([{ op: 'run', argv: ['no-such-command'] }])), { category: 'System' })
  const started = Date.now()
  t.like(await t.throwsAsync(run([{ op: 'run', argv: ['sleep', '31'] }], 100)), { category: 'DeadlineExceeded' })
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 50)
  t.like(await t.throwsAsync(run([{ op: 'run', argv: ['sleep', '31'] }], 5000, controller.signal)), { category: 'Cancelled' })
  t.true(Date.now() - started < 2000)
  await sleep(100)
  t.false(fs.readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && commandOf(pid) === 'sleep\x0031\0'))
})

function commandOf(pid: string): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}

needs(
  'root',
  'runc',
  'busybox',
)("a foreign runtime's container is adopted", async (t) => {
  const m = new Machine(t)
  const bundle = path.join(m.dir, 'bundle')
  fs.mkdirSync(bundle)
  execFileSync('runc', ['spec'], { cwd: bundle })
  const file = path.join(bundle, 'config.json')
  const spec = JSON.parse(fs.readFileSync(file, 'utf8')) as { process: { terminal: boolean; args: string[] }; root: { path: string } }
  spec.process.terminal = false
  spec.process.args = ['sh', '-c', 'echo adopted; exit 4']
  spec.root.path = m.rootfs
  fs.writeFileSync(file, JSON.stringify(spec))
  const state = path.join(m.dir, 'runc')
  const id = `tsd-spawner-${process.pid}`
  const pidFile = path.join(m.dir, 'runc.pid')
  t.teardown(() => execFileSync('runc', ['--root', state, 'delete', '--force', id]))
  const plan: Plan = {
    host: [
      {
        op: 'run',
        argv: ['runc', '--root', state, '--log', path.join(m.dir, 'runc.log'), 'create', '--bundle', bundle, '--pid-file', pidFile, id],
        stdio: 'container',
        errorLog: path.join(m.dir, 'runc.log'),
      },
      { op: 'adoptPidFile', path: pidFile },
    ],
  }
  const { pid } = await m.spawner.launch(m.shimOf('runc', { stream: true }), encodePlan(plan))
  m.pids.push(pid)
  const link = m.spawner.get('runc') as ShimLink
  let text = ''
  link.onOutput = (_, data) => {
    text += data.toString()
  }
  await m.spawner.run(encodePlan({ host: [{ op: 'run', argv: ['runc', '--root', state, 'start', id] }] }), {
    deadline: 10_000,
    name: 'runc start',
  })
  t.like(await link.exited, { code: 4 })
  await link.ended
  t.is(text, 'adopted\n')
  link.close()
})

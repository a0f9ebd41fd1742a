import assert from 'node:assert/strict'
import { categoryOf, messageOf } from '../errors.js'
import type { ContainerBundle, ExecDriver } from '../kinds/exec.js'
import type { OciProcess } from '../oci.js'
import type { ShimSpec } from '../ports.js'
import type { RegisterTest } from './ipam.js'

/** The test's end of a shim: what the engine's ShimConnection has. */
export interface ExecConnection {
  readonly exited: Promise<{ code: number; signal: number }>
  readonly ended: Promise<void>
  stream(on: boolean): void
  onOutput: ((source: 'stdout' | 'stderr', data: Buffer) => Promise<void> | void) | undefined
  writeStdin(data: Uint8Array): Promise<void>
  closeStdin(): void
  resize(height: number, width: number): void
  close(): void
}

export interface ExecContainerOptions {
  args: string[]
  terminal?: boolean
  openStdin?: boolean
  user?: string
}

/** One driver, what it keeps, and a root file system with a shell (busybox will do). */
export interface ExecSubject {
  /** A new life of the driver on the same state, as after a kill. The last one is not used any more. */
  driver(): Promise<ExecDriver>
  /** A bundle that this driver can run: for drivers without `run`, with its root mounted. Limits: 64 MB of memory, 32 processes. */
  container(id: string, options: ExecContainerOptions): Promise<ContainerBundle>
  process(options: ExecContainerOptions): OciProcess
  shim(id: string, options: ExecContainerOptions): ShimSpec
  connection(shimId: string): ExecConnection
  remove(): Promise<void>
}

interface Finished {
  code: number
  signal: number
  output: string
}

async function refused(work: Promise<unknown>, ...categories: string[]): Promise<string> {
  try {
    await work
  } catch (error) {
    assert.ok(categories.includes(categoryOf(error)), `expected ${categories.join(' or ')}, got ${categoryOf(error)}: ${messageOf(error)}`)
    return messageOf(error)
  }
  return assert.fail(`expected ${categories.join(' or ')}, but the call succeeded`)
}

/** Follows a process from now on. */
function follow(connection: ExecConnection): { text(): string; finished: Promise<Finished> } {
  let output = ''
  connection.onOutput = (_source, data) => {
    output += data.toString()
  }
  connection.stream(true)
  const finished = (async () => {
    const { code, signal } = await connection.exited
    await connection.ended
    connection.close()
    return { code, signal, output }
  })()
  return { text: () => output, finished }
}

async function eventually(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + 10_000; Date.now() < end;) {
    if (await check()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.fail(`${what}: not within 10 s`)
}

let sequence = 0
const freshId = (): string => `exec-suite-${process.pid}-${sequence++}`
const SLEEP = ['sleep', '1000']
const SIGTERM = 15
const SIGKILL = 9

/** What every exec driver has to do. The driver is made anew between any two calls, and calls are repeated. */
export function testExecDriver(register: RegisterTest, make: () => Promise<ExecSubject>): void {
  const test = (name: string, run: (subject: ExecSubject) => Promise<void>): void => {
    register(`exec: ${name}`, async () => {
      const subject = await make()
      try {
        await run(subject)
      } finally {
        for (const id of await (await subject.driver()).list()) await (await subject.driver()).delete(id)
        await subject.remove()
      }
    })
  }

  /** create and start, each in a life of its own. */
  async function started(
    subject: ExecSubject,
    options: ExecContainerOptions,
  ): Promise<{ id: string; pid: number; run: ReturnType<typeof follow> }> {
    const id = freshId()
    const container = await subject.container(id, options)
    const { pid } = await (await subject.driver()).create(container)
    const run = follow(subject.connection(container.shim.id))
    await (await subject.driver()).start(id)
    return { id, pid, run }
  }

  test('a container is created, started, and its exit code comes through the shim', async (subject) => {
    const id = freshId()
    const container = await subject.container(id, { args: ['sh', '-c', 'echo out; echo err >&2; exit 7'] })
    const { pid, startTime } = await (await subject.driver()).create(container)
    assert.ok(pid > 1)
    assert.match(startTime, /^\d+$/)
    assert.deepEqual(await (await subject.driver()).state(id), { status: 'created', pid })
    const { finished, text } = follow(subject.connection(container.shim.id))
    assert.equal(text(), '')
    await (await subject.driver()).start(id)
    const { code, signal, output } = await finished
    assert.deepEqual([code, signal], [7, 0])
    assert.deepEqual(output.split('\n').sort(), ['', 'err', 'out'])
    assert.equal((await (await subject.driver()).state(id))?.status, 'stopped')
    await (await subject.driver()).delete(id)
    assert.equal(await (await subject.driver()).state(id), undefined)
  })

  test('create, start and delete may be repeated', async (subject) => {
    const id = freshId()
    const container = await subject.container(id, { args: SLEEP })
    const first = await (await subject.driver()).create(container)
    assert.equal((await (await subject.driver()).create(container)).pid, first.pid)
    await (await subject.driver()).start(id)
    await (await subject.driver()).start(id)
    assert.deepEqual(await (await subject.driver()).state(id), { status: 'running', pid: first.pid })
    assert.deepEqual(await (await subject.driver()).list(), [id])
    await (await subject.driver()).delete(id)
    await (await subject.driver()).delete(id)
    assert.deepEqual(await (await subject.driver()).list(), [])
  })

  test('run, where there is one, starts in one step and may be repeated', async (subject) => {
    const driver = await subject.driver()
    if (!driver.run) return
    const id = freshId()
    const container = await subject.container(id, { args: SLEEP })
    const { pid } = await driver.run(container)
    assert.equal((await (await subject.driver()).run?.(container))?.pid, pid)
    assert.deepEqual(await (await subject.driver()).state(id), { status: 'running', pid })
  })

  test('what cannot be run is refused and leaves nothing', async (subject) => {
    const id = freshId()
    const container = await subject.container(id, { args: ['no-such-program'] })
    const message = await refused(
      (async () => {
        await (await subject.driver()).create(container)
        await (await subject.driver()).start(id)
      })(),
      'InvalidParameter',
      'System',
      'NotFound',
    )
    assert.match(message, /no-such-program.*not found/)
    await (await subject.driver()).delete(id)
    assert.deepEqual(await (await subject.driver()).list(), [])
  })

  test('standard input reaches the process until it is closed', async (subject) => {
    const id = freshId()
    const container = await subject.container(id, { args: ['cat'], openStdin: true })
    await (await subject.driver()).create(container)
    const connection = subject.connection(container.shim.id)
    const { finished } = follow(connection)
    await (await subject.driver()).start(id)
    await connection.writeStdin(Buffer.from('over the pipe\n'))
    connection.closeStdin()
    assert.deepEqual(await finished, { code: 0, signal: 0, output: 'over the pipe\n' })
  })

  test('a terminal is one, with its size', async (subject) => {
    const { run } = await started(subject, { args: ['sh', '-c', 'test -t 0 && test -t 1 && stty size && tty'], terminal: true })
    const { code, output } = await run.finished
    assert.equal(code, 0, output)
    assert.match(output, /^24 80\r\n\/dev\/(pts\/0|console)\r\n$/)
  })

  test('a signal ends the process, and its exit says so', async (subject) => {
    const { id, run } = await started(subject, { args: ['sh', '-c', 'trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done'] })
    await eventually('the process is ready', () => run.text().includes('ready'))
    await (await subject.driver()).kill(id, SIGTERM)
    assert.equal((await run.finished).code, 5)
    const other = await started(subject, { args: SLEEP })
    await (await subject.driver()).kill(other.id, SIGKILL)
    const { code, signal } = await other.run.finished
    assert.deepEqual([code, signal], [137, SIGKILL])
    await refused((await subject.driver()).kill(id, SIGTERM), 'NotFound')
    await refused((await subject.driver()).kill('no-such-container', SIGTERM), 'NotFound')
  })

  test('exec runs another process beside the first', async (subject) => {
    const { id, pid } = await started(subject, { args: SLEEP })
    const execId = freshId()
    const options = { args: ['sh', '-c', 'cat /proc/1/cmdline | tr "\\0" " "; exit 9'] }
    const shim = subject.shim(execId, options)
    const second = await (await subject.driver()).exec(id, execId, subject.process(options), shim)
    assert.notEqual(second.pid, pid)
    const { code, output } = await follow(subject.connection(execId)).finished
    assert.equal(code, 9)
    assert.match(output, /^sleep 1000/)
    assert.equal((await (await subject.driver()).state(id))?.status, 'running')
  })

  test('exec with a terminal', async (subject) => {
    const { id } = await started(subject, { args: SLEEP })
    const execId = freshId()
    const options = { args: ['sh', '-c', 'test -t 0 && stty size'], terminal: true }
    await (await subject.driver()).exec(id, execId, subject.process(options), subject.shim(execId, options))
    assert.deepEqual(await follow(subject.connection(execId)).finished, { code: 0, signal: 0, output: '24 80\r\n' })
  })

  test('exec into what does not run is a conflict', async (subject) => {
    const { id, run } = await started(subject, { args: ['true'] })
    await run.finished
    await eventually('the container is stopped', async () => (await (await subject.driver()).state(id))?.status === 'stopped')
    const execId = freshId()
    await refused(
      (await subject.driver()).exec(id, execId, subject.process({ args: ['true'] }), subject.shim(execId, { args: ['true'] })),
      'Conflict',
    )
  })

  test('a paused container stands still', async (subject) => {
    const { id, run } = await started(subject, { args: ['sh', '-c', 'while :; do echo tick; sleep 0.02; done'] })
    await eventually('it ticks', () => run.text().length > 20)
    await (await subject.driver()).pause(id)
    await (await subject.driver()).pause(id)
    assert.equal((await (await subject.driver()).state(id))?.status, 'paused')
    await new Promise((resolve) => setTimeout(resolve, 100))
    const before = run.text().length
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.equal(run.text().length, before)
    await (await subject.driver()).resume(id)
    await (await subject.driver()).resume(id)
    assert.equal((await (await subject.driver()).state(id))?.status, 'running')
    await eventually('it ticks again', () => run.text().length > before)
  })

  test('a paused container can be deleted', async (subject) => {
    const { id, run } = await started(subject, { args: SLEEP })
    await (await subject.driver()).pause(id)
    await (await subject.driver()).delete(id)
    assert.equal((await run.finished).signal, SIGKILL)
  })

  test('processes, counters and new limits', async (subject) => {
    const { id, pid, run } = await started(subject, { args: ['sh', '-c', 'sleep 1000 & echo up; wait'] })
    await eventually('it is up', () => run.text().includes('up'))
    const pids = await (await subject.driver()).processes(id)
    assert.ok(pids.includes(pid))
    assert.equal(pids.length, 2)
    const before = await (await subject.driver()).stats(id)
    assert.equal(before.memory?.limit, 64 << 20)
    assert.equal(before.pids?.current, 2)
    assert.equal(before.pids?.limit, 32)
    assert.ok((before.cpu?.total ?? 0) > 0)
    await (await subject.driver()).update(id, { memory: { limit: 128 << 20, swap: 256 << 20 }, pids: { limit: 48 } })
    const after = await (await subject.driver()).stats(id)
    assert.deepEqual([after.memory?.limit, after.pids?.limit], [128 << 20, 48])
  })

  test('delete ends everything that runs in the container', async (subject) => {
    const { id, run } = await started(subject, { args: ['sh', '-c', 'trap "" TERM; sleep 1000 & echo up; wait'] })
    await eventually('it is up', () => run.text().includes('up'))
    const pids = await (await subject.driver()).processes(id)
    await (await subject.driver()).delete(id)
    assert.equal((await run.finished).signal, SIGKILL)
    for (const pid of pids)
      assert.throws(
        () => process.kill(pid, 0),
        (error: NodeJS.ErrnoException) => error.code === 'ESRCH',
      )
  })

  test('users are looked up in the container', async (subject) => {
    const { run } = await started(subject, { args: ['sh', '-c', 'id -u; id -g; echo $HOME'], user: 'nobody' })
    assert.equal((await run.finished).output, '65534\n65534\n/home\n')
  })
}

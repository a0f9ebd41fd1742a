import fs from 'node:fs/promises'
import path from 'node:path'
import {
  conflict,
  invalidParameter,
  isTsdError,
  notFound,
  type ContainerBundle,
  type ContainerState,
  type ContainerStats,
  type DriverContext,
  type ExecDriver,
  type ExecFeatures,
  type OciProcess,
  type OciResources,
  type OciSpec,
  type ShimSpec,
  type StartedProcess,
} from 'tsd-engine/sdk'
import { encodePlan, type HostOp } from 'tsd-engine/native'
import { RuntimeCommands, runtimeError, type Runtime } from './command.js'
import { statsOf } from './stats.js'
import { resolveProcess } from './users.js'

const QUICK = 20_000
const CREATE_CONSOLE = 10_000
const ENOENT = 2

const idSyntax = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/

/** Written before the runtime is called. */
interface Stored {
  version: 1
  id: string
  bundle: string
  root: string
}

async function startTimeOf(pid: number): Promise<string | undefined> {
  const text = await fs.readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields === undefined || fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

/** Any runtime that has runc's command line. The root file system is mounted before create. */
export class OciExec implements ExecDriver {
  readonly #ctx: DriverContext
  readonly #commands: RuntimeCommands
  readonly #launching = new Map<string, Promise<StartedProcess>>()

  constructor(ctx: DriverContext, runtime: Runtime) {
    this.#ctx = ctx
    this.#commands = new RuntimeCommands(ctx.name, runtime, path.join(ctx.runDir, 'runtime'), ctx.spawner)
  }

  #dir(id: string): string {
    if (!idSyntax.test(id)) throw invalidParameter(`invalid container id "${id}"`)
    return path.join(this.#ctx.runDir, 'containers', id)
  }

  async #read(id: string): Promise<Stored | undefined> {
    const text = await fs.readFile(path.join(this.#dir(id), 'state.json'), 'utf8').catch(() => undefined)
    return text === undefined ? undefined : (JSON.parse(text) as Stored)
  }

  async #need(id: string): Promise<Stored> {
    const stored = await this.#read(id)
    if (!stored) throw notFound(`container ${id} is unknown to the exec driver ${this.#ctx.name}`)
    return stored
  }

  async features(): Promise<ExecFeatures> {
    const text = await this.#commands.version()
    return {
      ociVersionMin: '1.0.0',
      ociVersionMax: /^spec:\s*(\S+)/m.exec(text)?.[1] ?? '1.0.0',
      version: /version\s+(\S+)/.exec(text)?.[1] ?? text.split('\n', 1)[0] ?? '',
      capabilities: { pause: true, update: true, exec: true, stats: true, checkpoint: false },
    }
  }

  #once(key: string, make: () => Promise<StartedProcess>): Promise<StartedProcess> {
    let pending = this.#launching.get(key)
    if (!pending) {
      pending = make().finally(() => this.#launching.delete(key))
      this.#launching.set(key, pending)
    }
    return pending
  }

  create(container: ContainerBundle): Promise<StartedProcess> {
    return this.#once(container.id, () => this.#create(container))
  }

  async #create(container: ContainerBundle): Promise<StartedProcess> {
    const { id, bundle, spec } = container
    const dir = this.#dir(id)
    if (await this.#read(id)) {
      const state = await this.#runtimeState(id)
      if (state && state.pid > 0 && state.status !== 'stopped') return { pid: state.pid, startTime: (await startTimeOf(state.pid)) ?? '' }
      if (state?.status === 'stopped') throw conflict(`container ${id} has run already: delete it first`)
      // A create that was cut off: whatever the runtime holds of it goes first.
      await this.delete(id)
    }
    if (container.network && container.network.host.length + container.network.container.length > 0)
      throw invalidParameter(`container ${id}: the exec driver ${this.#ctx.name} joins a network namespace by path and makes none itself`)
    const root = path.resolve(bundle, spec.root.path)
    const process = await resolveProcess(this.#ctx.spawner, spec.process, root)
    await fs.mkdir(dir, { recursive: true, mode: 0o700 })
    await writeWhole(path.join(dir, 'state.json'), JSON.stringify({ version: 1, id, bundle, root } satisfies Stored))
    await writeWhole(path.join(bundle, 'config.json'), JSON.stringify(runtimeSpec(spec, process)))
    const started = await this.#launch('create', dir, 'init', container.shim, process, (files) => [
      'create',
      '--bundle',
      bundle,
      '--pid-file',
      files.pid,
      ...files.console,
      id,
    ]).catch(async (error: unknown) => {
      await this.delete(id).catch(() => undefined)
      throw error
    })
    return started
  }

  async #launch(
    call: string,
    dir: string,
    name: string,
    shim: ShimSpec,
    process: OciProcess,
    command: (files: { pid: string; console: string[] }) => string[],
  ): Promise<StartedProcess> {
    const pid = path.join(dir, `${name}.pid`)
    const log = path.join(dir, `${name}.log`)
    // Short: the path of a unix socket has room for 107 bytes.
    const socket = path.join(shim.dir, 'console')
    await Promise.all([pid, log, socket].map((file) => fs.rm(file, { force: true })))
    const terminal = process.terminal === true
    const host: HostOp[] = [
      ...(terminal ? [{ op: 'listenConsole', path: socket } as const] : []),
      this.#commands.runOp(log, command({ pid, console: terminal ? ['--console-socket', socket] : [] }), 'container'),
      ...(terminal
        ? [{ op: 'receiveConsole', timeoutMs: CREATE_CONSOLE } as const, { op: 'unlink', path: socket, ignore: [ENOENT] } as const]
        : []),
      { op: 'adoptPidFile', path: pid },
    ]
    try {
      return await this.#ctx.spawner.launch(shim, encodePlan({ host }))
    } catch (error) {
      const logged = await fs.readFile(log, 'utf8').catch(() => '')
      throw runtimeError(this.#ctx.name, call, logged.includes('"msg"') ? new Error(logged, { cause: error }) : error)
    }
  }

  async start(id: string): Promise<void> {
    const stored = await this.#need(id)
    const state = await this.#runtimeState(id)
    if (state && (state.status === 'running' || state.status === 'paused')) return
    const log = path.join(this.#dir(id), 'start.log')
    const plan = encodePlan({ host: [this.#commands.runOp(log, ['start', stored.id], 'capture')] })
    try {
      await this.#ctx.spawner.run(plan, { deadline: QUICK, name: `${this.#ctx.name} start` })
    } catch (error) {
      // A repeated start of one that was quick to end is no failure.
      const now = await this.#runtimeState(id)
      if (state?.status === 'created' && now?.status === 'stopped' && !isTsdError(error)) return
      const logged = await fs.readFile(log, 'utf8').catch(() => '')
      throw runtimeError(this.#ctx.name, 'start', logged.includes('"msg"') ? new Error(logged, { cause: error }) : error)
    }
  }

  exec(id: string, execId: string, process: OciProcess, shim: ShimSpec): Promise<StartedProcess> {
    return this.#once(`${id}/${execId}`, () => this.#exec(id, execId, process, shim))
  }

  async #exec(id: string, execId: string, wanted: OciProcess, shim: ShimSpec): Promise<StartedProcess> {
    const stored = await this.#need(id)
    if (!idSyntax.test(execId)) throw invalidParameter(`invalid exec id "${execId}"`)
    const dir = this.#dir(id)
    const name = `exec-${execId}`
    const earlier = Number.parseInt(await fs.readFile(path.join(dir, `${name}.pid`), 'latin1').catch(() => ''), 10)
    const startTime = earlier > 0 ? await startTimeOf(earlier) : undefined
    if (startTime !== undefined) return { pid: earlier, startTime }
    const state = await this.#runtimeState(id)
    if (state?.status !== 'running') throw conflict(`container ${id} is not running`)
    const process = await resolveProcess(this.#ctx.spawner, wanted, stored.root)
    const file = path.join(dir, `${name}.json`)
    // The process runs before its terminal is received: the runtime itself must set the size.
    await writeWhole(file, JSON.stringify(process.terminal && shim.consoleSize ? { ...process, consoleSize: shim.consoleSize } : process))
    return this.#launch('exec', dir, name, shim, process, (files) => [
      'exec',
      '--detach',
      '--process',
      file,
      '--pid-file',
      files.pid,
      ...files.console,
      id,
    ])
  }

  async kill(id: string, signal: number, options: { all?: boolean } = {}): Promise<void> {
    await this.#need(id)
    if (!Number.isInteger(signal) || signal < 0 || signal > 64) throw invalidParameter(`invalid signal: ${signal}`)
    await this.#commands.run('kill', ['kill', ...(options.all ? ['--all'] : []), id, String(signal)], { deadline: QUICK })
  }

  async pause(id: string): Promise<void> {
    await this.#need(id)
    if ((await this.#runtimeState(id))?.status !== 'paused') await this.#commands.run('pause', ['pause', id], { deadline: QUICK })
  }

  async resume(id: string): Promise<void> {
    await this.#need(id)
    if ((await this.#runtimeState(id))?.status === 'paused') await this.#commands.run('resume', ['resume', id], { deadline: QUICK })
  }

  async update(id: string, resources: OciResources): Promise<void> {
    await this.#need(id)
    const { devices: _devices, ...limits } = resources
    await this.#commands.run('update', ['update', '--resources', '-', id], { deadline: QUICK, stdin: JSON.stringify(limits) })
  }

  async processes(id: string): Promise<number[]> {
    await this.#need(id)
    const text = await this.#commands.run('ps', ['ps', '--format', 'json', id], { deadline: QUICK })
    const list: unknown = JSON.parse(text.trim() || '[]')
    return Array.isArray(list) ? list.map(Number) : []
  }

  async stats(id: string): Promise<ContainerStats> {
    await this.#need(id)
    return statsOf(await this.#commands.run('events', ['events', '--stats', id], { deadline: QUICK }))
  }

  async #runtimeState(id: string): Promise<ContainerState | undefined> {
    try {
      const state = JSON.parse(await this.#commands.run('state', ['state', id], { deadline: QUICK })) as { status: string; pid: number }
      const status = state.status === 'created' || state.status === 'running' || state.status === 'paused' ? state.status : 'stopped'
      return { status, pid: status === 'stopped' ? 0 : state.pid }
    } catch (error) {
      if (isTsdError(error) && error.category === 'NotFound') return undefined
      throw error
    }
  }

  async state(id: string): Promise<ContainerState | undefined> {
    return (await this.#read(id)) ? ((await this.#runtimeState(id)) ?? { status: 'stopped', pid: 0 }) : undefined
  }

  async delete(id: string): Promise<void> {
    const dir = this.#dir(id)
    if (await this.#read(id)) {
      const state = await this.#runtimeState(id)
      // runc cannot kill what is frozen.
      if (state?.status === 'paused') await this.resume(id)
      if (state) await this.#commands.run('delete', ['delete', '--force', id], { deadline: QUICK })
    }
    await fs.rm(dir, { recursive: true, force: true })
  }

  async list(): Promise<string[]> {
    return fs.readdir(path.join(this.#ctx.runDir, 'containers')).catch(() => [])
  }
}

async function writeWhole(file: string, text: string): Promise<void> {
  await fs.writeFile(`${file}.tmp`, text, { mode: 0o600 })
  await fs.rename(`${file}.tmp`, file)
}

/** Without what only tsd's own drivers understand. */
function runtimeSpec(spec: OciSpec, process: OciProcess): OciSpec {
  return {
    ...spec,
    process,
    mounts: spec.mounts.map((mount) =>
      mount.options?.includes('rro') ? { ...mount, options: mount.options.filter((option) => option !== 'rro') } : mount,
    ),
  }
}

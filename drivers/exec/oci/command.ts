import { encodePlan, type HostOp } from 'tsd-engine/native'
import { conflict, isTsdError, messageOf, notFound, systemError, type Spawner, type TsdError } from 'tsd-engine/sdk'

export interface Runtime {
  path: string
  /** Global arguments, before the command. */
  args: string[]
}

const ENVIRONMENT = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C']

/** The last complaint in a runtime's JSON log, or the text itself. */
export function runtimeMessage(text: string): string {
  let last: string | undefined
  for (const match of text.matchAll(/"msg"\s*:\s*("(?:[^"\\]|\\.)*")/g)) {
    try {
      last = JSON.parse(match[1] ?? '""') as string
    } catch {
      continue
    }
  }
  return last ?? text
}

/** What a runtime said, as an error that names it. */
export function runtimeError(runtime: string, call: string, error: unknown): TsdError {
  if (isTsdError(error) && (error.category === 'DeadlineExceeded' || error.category === 'Cancelled')) return error
  const message = runtimeMessage(messageOf(error))
  const make = /does not exist|container not running|no such process|process already finished/i.test(message)
    ? notFound
    : /container with id exists|already exists|cannot exec in a|cannot (pause|resume)|not paused|container not/i.test(message)
      ? conflict
      : systemError
  return make(`OCI runtime ${call} failed: ${message}`, { cause: error, plugin: runtime, call: `ExecDriver.${call}` })
}

export class RuntimeCommands {
  readonly name: string
  readonly #runtime: Runtime
  readonly #root: string
  readonly #spawner: Spawner

  constructor(name: string, runtime: Runtime, root: string, spawner: Spawner) {
    this.name = name
    this.#runtime = runtime
    this.#root = root
    this.#spawner = spawner
  }

  /** The command line, with errors as JSON in `log`. */
  argv(log: string | undefined, command: readonly string[]): string[] {
    return [
      this.#runtime.path,
      ...this.#runtime.args,
      '--root',
      this.#root,
      ...(log === undefined ? [] : ['--log', log, '--log-format', 'json']),
      ...command,
    ]
  }

  runOp(log: string | undefined, command: readonly string[], stdio: 'capture' | 'container', stdin?: string): HostOp {
    return {
      op: 'run',
      argv: this.argv(log, command),
      env: ENVIRONMENT,
      stdio,
      ...(log === undefined ? {} : { errorLog: log }),
      ...(stdin === undefined ? {} : { stdin }),
    }
  }

  /** Runs a command to its end in a helper; answers what it printed. */
  async run(call: string, command: readonly string[], options: { deadline: number; stdin?: string }): Promise<string> {
    const plan = encodePlan({ host: [this.runOp(undefined, command, 'capture', options.stdin)] })
    try {
      const { output } = await this.#spawner.run(plan, { deadline: options.deadline, name: `${this.name} ${call}` })
      return Buffer.from(output).toString('utf8')
    } catch (error) {
      throw runtimeError(this.name, call, error)
    }
  }

  async version(): Promise<string> {
    const plan = encodePlan({ host: [{ op: 'run', argv: [this.#runtime.path, '--version'], env: ENVIRONMENT, stdio: 'capture' }] })
    const { output } = await this.#spawner.run(plan, { deadline: 10_000, name: `${this.name} --version` })
    return Buffer.from(output).toString('utf8')
  }
}

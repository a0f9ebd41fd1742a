import { mkdir, rm } from 'node:fs/promises'
import { inject, injectable } from 'tsyringe'
import { randomId } from '../../base/ids.js'
import type { ExecConfig, ExecInspectResponse } from '../../schema/engine-api.js'
import { conflict, invalidParameter, isTsdError, messageOf, notFound, systemError } from '../../sdk/errors.js'
import type { Logger } from '../../sdk/ports.js'
import { Containers, defaultDetachKeys, parseDetachKeys, StdioHub, type StdioClient, type StdioSession } from '../containers/index.js'
import { EngineConfig, Logger as LoggerToken, RunLedger, Shims, type ShimConnection } from '../ports/index.js'
import type { Execs } from './contract.js'

interface Exec {
  id: string
  containerId: string
  config: ExecConfig
  hub: StdioHub
  state: 'created' | 'starting' | 'running' | 'ended'
  exitCode: number | undefined
  pid: number
  shim: ShimConnection | undefined
  finishedMs: number
}

/** Ended execs stay inspectable this long. */
const keepEndedMs = 5 * 60_000

/** Further processes in running containers. Their records live as long as the daemon; their shims are in the ledger. */
@injectable()
export class ExecService implements Execs {
  private readonly execs = new Map<string, Exec>()

  constructor(
    @inject(Containers) private readonly containers: Containers,
    @inject(EngineConfig) private readonly config: EngineConfig,
    @inject(RunLedger) private readonly ledger: RunLedger,
    @inject(Shims) private readonly shims: Shims,
    @inject(LoggerToken) private readonly logger: Logger,
  ) {}

  create(reference: string, config: ExecConfig): Promise<{ Id: string }> {
    const target = this.containers.execTarget(reference)
    if (!config.Cmd?.length) throw invalidParameter('No exec command specified')
    if (config.DetachKeys) parseDetachKeys(config.DetachKeys)
    target.process(config)
    const exec: Exec = {
      id: randomId(),
      containerId: target.id,
      config,
      hub: new StdioHub(),
      state: 'created',
      exitCode: undefined,
      pid: 0,
      shim: undefined,
      finishedMs: 0,
    }
    this.forgetEnded()
    this.execs.set(exec.id, exec)
    target.addExec(exec.id)
    target.publish(`exec_create: ${config.Cmd.join(' ')}`, { execID: exec.id })
    return Promise.resolve({ Id: exec.id })
  }

  async start(
    id: string,
    options: { detach: boolean; tty: boolean; consoleSize?: [number, number] },
    client: StdioClient | undefined,
  ): Promise<StdioSession | undefined> {
    const exec = this.get(id)
    if (exec.state === 'ended') throw conflict(`Error: Exec command ${id} has already run`)
    if (exec.state !== 'created') throw conflict(`Error: Exec command ${id} is already running`)
    const target = this.containers.execTarget(exec.containerId)
    exec.state = 'starting'
    const { config } = exec
    const session = options.detach || !client ? undefined : this.join(exec, client)
    const [height = 0, width = 0] = options.consoleSize ?? config.ConsoleSize ?? []
    const shimId = `${exec.id.slice(0, 24)}`
    const dir = `${this.config.execRoot}/shims/${shimId}`
    const resource = { kind: 'exec-shim', key: shimId, data: { dir } }
    this.ledger.intend(target.id, [resource])
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 })
      target.publish(`exec_start: ${(config.Cmd ?? []).join(' ')}`, { execID: exec.id })
      const started = await target.driver.exec(target.id, exec.id, target.process(config), {
        id: shimId,
        dir,
        terminal: config.Tty === true,
        consoleSize: height > 0 && width > 0 ? { height, width } : undefined,
        openStdin: config.AttachStdin === true && !options.detach,
        stdinOnce: config.AttachStdin === true,
        sink: { type: 'none' },
        stream: session !== undefined,
      })
      const shim = this.shims.get(shimId)
      if (!shim) throw systemError(`exec driver ${target.driverName} started ${id} without its shim`)
      this.ledger.fact(target.id, [resource])
      Object.assign(exec, { shim, pid: started.pid, state: 'running' })
      exec.hub.bind(shim)
      this.follow(exec, shim, dir, target.publish)
      return session
    } catch (error) {
      exec.state = 'ended'
      exec.exitCode = isTsdError(error) && /executable file not found|no such file/.test(error.message) ? 127 : 126
      exec.finishedMs = Date.now()
      exec.hub.release()
      target.dropExec(id)
      await rm(dir, { recursive: true, force: true })
      this.ledger.released(target.id, [resource])
      throw execError(error)
    }
  }

  hasTty(id: string): Promise<boolean> {
    return Promise.resolve(this.get(id).config.Tty === true)
  }

  resize(id: string, height: number, width: number): Promise<void> {
    const exec = this.get(id)
    if (exec.state !== 'running' || !exec.shim) throw conflict(`exec ${id} is not running`)
    exec.shim.resize(height, width)
    return Promise.resolve()
  }

  inspect(id: string): Promise<ExecInspectResponse> {
    const { config, ...exec } = this.get(id)
    const [entrypoint = '', ...args] = config.Cmd ?? []
    return Promise.resolve({
      ID: id,
      Running: exec.state === 'running' || exec.state === 'starting',
      ExitCode: (exec.exitCode ?? null) as number | undefined,
      ProcessConfig: {
        tty: config.Tty === true,
        entrypoint,
        arguments: args,
        privileged: config.Privileged === true,
        user: config.User || undefined,
      },
      OpenStdin: config.AttachStdin === true,
      OpenStderr: config.AttachStderr === true,
      OpenStdout: config.AttachStdout === true,
      CanRemove: exec.state === 'ended',
      ContainerID: exec.containerId,
      DetachKeys: config.DetachKeys ?? '',
      Pid: exec.pid,
    })
  }

  /** At boot: execs of an earlier daemon run on unseen; what ended is cleaned away, what lives is when it ends. */
  async restore(): Promise<void> {
    for (const entry of this.ledger.entries()) {
      if (entry.kind !== 'exec-shim') continue
      const dir = typeof entry.data?.['dir'] === 'string' ? entry.data['dir'] : ''
      const shim = await this.shims.attach(entry.key, dir)
      const done = async (): Promise<void> => {
        if (dir !== '') await rm(dir, { recursive: true, force: true })
        this.ledger.released(entry.owner, [entry])
      }
      if (shim && 'ended' in shim)
        void shim.exited
          .then(async () => {
            await shim.ended
            shim.close()
            await done()
          })
          .catch((error: unknown) => this.logger.warn(`exec ${entry.key}: ${messageOf(error)}`))
      else await done()
    }
  }

  private join(exec: Exec, client: StdioClient): StdioSession {
    const { config } = exec
    const keys = config.DetachKeys ? parseDetachKeys(config.DetachKeys) : defaultDetachKeys
    return exec.hub.join({
      client,
      stdin: config.AttachStdin === true,
      stdout: config.AttachStdout === true,
      stderr: config.AttachStderr === true,
      detachKeys: config.Tty && config.AttachStdin ? keys : undefined,
      closesStdin: config.AttachStdin === true && config.Tty !== true,
      tty: config.Tty === true,
    })
  }

  private follow(
    exec: Exec,
    shim: ShimConnection,
    dir: string,
    publish: (action: string, attributes: Record<string, string>) => void,
  ): void {
    const finish = async (): Promise<void> => {
      const exit = await shim.exited
      exec.exitCode = exit.signal > 0 ? 128 + exit.signal : exit.code
      exec.state = 'ended'
      exec.finishedMs = Date.now()
      exec.pid = 0
      publish('exec_die', { execID: exec.id, exitCode: String(exec.exitCode) })
      await shim.ended
      shim.close()
      await rm(dir, { recursive: true, force: true })
      this.ledger.released(exec.containerId, [{ kind: 'exec-shim', key: shim.id }])
    }
    finish().catch((error: unknown) => this.logger.warn(`exec ${exec.id}: ${messageOf(error)}`))
  }

  private forgetEnded(): void {
    const limit = Date.now() - keepEndedMs
    for (const exec of this.execs.values()) if (exec.state === 'ended' && exec.finishedMs < limit) this.execs.delete(exec.id)
  }

  private get(id: string): Exec {
    const exec = this.execs.get(id)
    if (!exec) throw notFound(`No such exec instance: ${id}`)
    return exec
  }
}

function execError(error: unknown): Error {
  if (!isTsdError(error)) return error instanceof Error ? error : systemError(String(error))
  if (/exec: /.test(error.message)) return invalidParameter(`OCI runtime exec failed: ${error.message}`, { cause: error })
  return error
}

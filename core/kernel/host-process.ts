import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DriverInstance, Kind, ProbeResult } from '../sdk/driver.js'
import { messageOf, systemError, unavailable } from '../sdk/errors.js'
import { type Backoff, PluginClient } from '../sdk/http/client.js'
import { fold } from '../sdk/http/fold.js'
import { wireOf } from '../sdk/http/wires.js'
import type { DriverContext, Logger } from '../sdk/ports.js'
import { serveHttp, type Served } from '../sdk/serve-http.js'
import type { DriverServices } from './contexts.js'
import type { HostedDriver, PluginHost } from './host.js'
import type { Manifest } from './manifest.js'
import type { ProcessHostLine, ProcessHostRequest, ProcessHostStart } from './process-host-entry.js'
import { serviceHandlers } from './services-wire.js'

/** While a crashed child starts again, calls wait for its socket. */
const backoff: Backoff = { delays: [50, 100, 200, 400, 800, 1600, 3000], budget: 30_000 }
const restartDelays = [0, 200, 1000, 5000, 30_000]
/** A child that lived this long has its crashes forgotten. */
const steadyMilliseconds = 60_000
const readyMilliseconds = 20_000
const stopMilliseconds = 5_000
const callMilliseconds = 120_000
const maxSocketPath = 107

export interface ProcessHostOptions {
  /** Where sockets of hosts are made: `<exec-root>/hosts`. */
  directory: string
  services: DriverServices
  logger: Logger
  /** Told of each child, for the fence. */
  onStart?: (pid: number) => void
  /** Descriptors that the child inherits: the generation's lock. */
  inherit?: readonly number[]
}

/** Runs one plugin in a child process of its own, and starts it again when it dies. */
export class ProcessHost implements PluginHost {
  readonly type = 'process'
  private readonly directory: string
  private readonly created = new Map<string, ProcessHostRequest>()
  private running: Promise<ChildProcess> | undefined
  private services: Served | undefined
  private control: PluginClient | undefined
  private stopping = false
  private restarts = 0
  private crashes = 0
  private pid: number | undefined

  constructor(
    private readonly manifest: Manifest,
    private readonly folder: () => Promise<string>,
    private readonly options: ProcessHostOptions,
  ) {
    const plain = path.join(options.directory, manifest.name)
    const short = createHash('sha256').update(manifest.name).digest('hex').slice(0, 12)
    this.directory = plain.length + 24 > maxSocketPath ? path.join(options.directory, short) : plain
  }

  async driver<K extends Kind>(kind: K, name: string): Promise<HostedDriver<K>> {
    const wire = await wireOf(kind)
    return {
      probe: async (ctx) => {
        await this.start()
        const { Result: result } = fold(await this.ask('/Host.Probe', this.request(kind, name, ctx)), ['Result'])
        return result as ProbeResult
      },
      create: async (ctx) => {
        await this.start()
        const request = this.request(kind, name, ctx)
        await this.ask('/Host.Create', request)
        this.created.set(request.socket, request)
        const timeouts = this.manifest.kinds.find((one) => one.kind === kind && one.name === name)?.timeouts ?? {}
        const client = new PluginClient({
          name: this.manifest.name,
          address: { socket: request.socket },
          backoff,
          timeout: callMilliseconds,
          timeouts,
          idempotent: true,
        })
        const driver = wire.client(client.caller(wire.subsystem, wire.errorMember, true)) as DriverInstance<K>
        driver.dispose = async () => {
          this.created.delete(request.socket)
          await client.close()
          if (this.pid !== undefined && !this.stopping) await this.ask('/Host.Dispose', request)
        }
        return driver
      },
    }
  }

  inspect(): Record<string, unknown> {
    return { Pid: this.pid ?? 0, Restarts: this.restarts }
  }

  async dispose(): Promise<void> {
    this.stopping = true
    const child = await this.running?.catch(() => undefined)
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.stdin?.end()
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMilliseconds)
      await gone
      clearTimeout(timer)
    }
    await this.control?.close()
    await this.services?.close()
  }

  /** A plugin's process is started when its first driver is wanted. */
  private start(): Promise<ChildProcess> {
    if (this.stopping) return Promise.reject(unavailable(`plugin ${this.manifest.name} is being stopped`))
    this.running ??= this.launch().catch((error: unknown) => {
      this.running = undefined
      throw error
    })
    return this.running
  }

  private request(kind: Kind, name: string, ctx: DriverContext): ProcessHostRequest {
    const { name: alias, dataDir, runDir, options, daemon } = ctx
    const id = createHash('sha256').update(`${kind}/${alias}`).digest('hex').slice(0, 12)
    return { kind, name, socket: path.join(this.directory, `${id}.sock`), context: { name: alias, dataDir, runDir, options, daemon } }
  }

  private async ask(call: string, request: ProcessHostRequest): Promise<unknown> {
    if (this.control === undefined) throw unavailable(`plugin ${this.manifest.name} does not run`)
    return this.control.call(call, request, 'Err', { timeout: callMilliseconds, retry: false })
  }

  private async launch(): Promise<ChildProcess> {
    const folder = await this.folder()
    await fs.mkdir(this.directory, { recursive: true, mode: 0o700 })
    const start: ProcessHostStart = {
      manifest: this.manifest,
      folder,
      control: path.join(this.directory, 'host'),
      services: path.join(this.directory, 'tsd'),
    }
    this.services ??= await serveHttp({ drivers: {}, socket: start.services, extra: serviceHandlers(this.options.services) })
    const entry = fileURLToPath(new URL('./process-host-entry.js', import.meta.url))
    const child = spawn(process.execPath, ['--max-semi-space-size=1', entry], {
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['pipe', 'pipe', 'pipe', ...(this.options.inherit ?? [])],
      detached: true,
    })
    if (child.pid !== undefined) this.options.onStart?.(child.pid)
    const born = performance.now()
    child.stdin?.on('error', () => undefined)
    child.on('error', () => undefined)
    const ready = this.follow(child)
    child.stdin?.write(`${JSON.stringify(start)}\n`)
    try {
      await ready
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    }
    this.pid = child.pid
    this.control = new PluginClient({ name: this.manifest.name, address: { socket: start.control }, idempotent: true })
    child.once('exit', (code, signal) => void this.ended(code, signal, performance.now() - born))
    return child
  }

  /** Passes the child's log on, and resolves once it serves. */
  private follow(child: ChildProcess): Promise<void> {
    const { logger, services } = this.options
    const about = { plugin: this.manifest.name }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(unavailable(`plugin ${this.manifest.name}: its process was not ready within ${readyMilliseconds / 1000} s`)),
        readyMilliseconds,
      )
      const settle = (error?: Error): void => {
        clearTimeout(timer)
        if (error === undefined) resolve()
        else reject(error)
      }
      child.once('error', (error) =>
        settle(systemError(`plugin ${this.manifest.name}: cannot start its process: ${error.message}`, { cause: error })),
      )
      child.once('exit', (code, signal) =>
        settle(unavailable(`plugin ${this.manifest.name}: its process ended (${signal ?? `exit code ${code}`}) before it was ready`)),
      )
      if (child.stdout !== null) {
        createInterface({ input: child.stdout }).on('line', (text) => {
          const line = parseLine(text)
          if (line === undefined) logger.info(text.slice(0, 4096), about)
          else if ('ready' in line) settle()
          else if ('failed' in line) settle(systemError(line.failed, { plugin: this.manifest.name }))
          else services.loggerFor(line.driver)[line.level](line.message, line.fields)
        })
      }
      if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', (text) => logger.warn(text.slice(0, 4096), about))
    })
  }

  private async ended(code: number | null, signal: string | null, lived: number): Promise<void> {
    this.pid = undefined
    this.running = undefined
    await this.control?.close()
    this.control = undefined
    if (this.stopping) return
    if (lived > steadyMilliseconds) this.crashes = 0
    const delay = restartDelays[Math.min(this.crashes++, restartDelays.length - 1)] as number
    this.options.logger.error('the process of a plugin ended and is started again', {
      plugin: this.manifest.name,
      reason: signal ?? `exit code ${code}`,
      delay,
    })
    await sleep(delay, undefined, { ref: false })
    await this.revive()
  }

  /** The drivers that were made before are made again: they keep nothing that they cannot rebuild. */
  private async revive(): Promise<void> {
    if (this.stopping || this.created.size === 0) return
    try {
      await this.start()
      this.restarts++
      for (const request of this.created.values()) await this.ask('/Host.Create', request)
    } catch (error) {
      this.options.logger.error('a plugin could not be started again', { plugin: this.manifest.name, error: messageOf(error) })
      // A child that came up and refused is as good as dead; its end brings the next attempt.
      const child = await this.running?.catch(() => undefined)
      if (child !== undefined) child.kill('SIGKILL')
      else {
        await sleep(restartDelays[Math.min(this.crashes++, restartDelays.length - 1)] as number, undefined, { ref: false })
        await this.revive()
      }
    }
  }
}

const levels: readonly string[] = ['debug', 'info', 'warn', 'error']

function parseLine(text: string): ProcessHostLine | undefined {
  try {
    const line = JSON.parse(text) as ProcessHostLine & {
      level?: unknown
      failed?: unknown
      ready?: unknown
      message?: unknown
      driver?: unknown
    }
    if (typeof line !== 'object' || line === null) return undefined
    if (line.ready === true || typeof line.failed === 'string') return line
    return levels.includes(line.level as string) && typeof line.message === 'string' && typeof line.driver === 'string' ? line : undefined
  } catch {
    return undefined
  }
}

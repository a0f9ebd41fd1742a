// Entry of the child process that runs one plugin. The first line of standard input says which; its end means that the daemon is gone.
import { createInterface } from 'node:readline'
import { messageOf } from '../sdk/errors.js'
import type { DriverDefinition, DriverInstance, Kind } from '../sdk/driver.js'
import type { WireHandler } from '../sdk/http/wire.js'
import type { DaemonFacts, DriverContext, Logger } from '../sdk/ports.js'
import { serveHttp, type Served } from '../sdk/serve-http.js'
import { loadDefinitions } from './host-in-process.js'
import type { Manifest } from './manifest.js'
import { remoteServices } from './services-wire.js'

/** First line from the daemon. */
export interface ProcessHostStart {
  manifest: Manifest
  folder: string
  /** Sockets: of this host's own calls, and of the daemon's services. */
  control: string
  services: string
}

/** What probe and create are asked with. */
export interface ProcessHostRequest {
  kind: Kind
  name: string
  socket: string
  context: { name: string; dataDir: string; runDir: string; options: Record<string, unknown>; daemon: DaemonFacts }
}

/** A line on standard output. */
export type ProcessHostLine =
  { ready: true } | { failed: string } | { level: keyof Logger; driver: string; message: string; fields?: Record<string, unknown> }

/** Shorter than the successor's patience with helpers of this generation. */
const lastMilliseconds = 4_000

const say = (line: ProcessHostLine): void => {
  process.stdout.write(
    `${JSON.stringify(line, (_, value: unknown) => (value instanceof Error ? value.message : typeof value === 'bigint' ? String(value) : value))}\n`,
  )
}

function loggerOf(driver: string): Logger {
  const at =
    (level: keyof Logger) =>
    (message: string, fields?: Record<string, unknown>): void =>
      say({ level, driver, message, ...(fields === undefined ? {} : { fields }) })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

async function run(start: ProcessHostStart): Promise<() => Promise<void>> {
  process.title = `tsd-driver ${start.manifest.name}`
  const definitions = await loadDefinitions(start.manifest, start.folder)
  const services = remoteServices(start.services)
  const drivers = new Map<string, { instance: DriverInstance<Kind>; served: Served }>()
  const definitionOf = (kind: Kind, name: string): DriverDefinition =>
    definitions.find((one) => one.kind === kind && one.name === name) as unknown as DriverDefinition
  const contextOf = ({ kind, context }: ProcessHostRequest): DriverContext => ({
    ...context,
    logger: loggerOf(`${kind}/${context.name}`),
    spawner: services.spawner,
    mounter: services.mounter,
    archiver: services.archiver,
  })
  const idOf = ({ kind, context }: ProcessHostRequest): string => `${kind}/${context.name}`
  const end = async (id: string): Promise<void> => {
    const driver = drivers.get(id)
    drivers.delete(id)
    await driver?.served.close()
    await driver?.instance.dispose?.()
  }
  const extra: Record<string, WireHandler> = {
    '/Host.Probe': async (call) => {
      const request = (await call.json()) as ProcessHostRequest
      return { Result: (await definitionOf(request.kind, request.name).probe?.(contextOf(request))) ?? { ok: true } }
    },
    '/Host.Create': async (call) => {
      const request = (await call.json()) as ProcessHostRequest
      if (drivers.has(idOf(request))) return {}
      const instance = (await definitionOf(request.kind, request.name).create(contextOf(request))) as DriverInstance<Kind>
      const served = await serveHttp({ drivers: { [request.kind]: instance }, socket: request.socket })
      drivers.set(idOf(request), { instance, served })
      return {}
    },
    '/Host.Dispose': async (call) => {
      await end(idOf((await call.json()) as ProcessHostRequest))
      return {}
    },
  }
  const control = await serveHttp({ drivers: {}, socket: start.control, extra })
  return async () => {
    await control.close()
    for (const id of [...drivers.keys()].reverse()) await end(id)
    await services.close()
  }
}

function main(): void {
  // The daemon's death must not become ours before what is in hand is done.
  process.stdout.on('error', () => undefined)
  let stop: Promise<() => Promise<void>> | undefined
  const lines = createInterface({ input: process.stdin })
  lines.once('line', (line) => {
    stop = run(JSON.parse(line) as ProcessHostStart)
    stop.then(
      () => say({ ready: true }),
      (error: unknown) => {
        say({ failed: messageOf(error) })
        process.stdin.destroy()
        process.exitCode = 1
      },
    )
  })
  lines.once('close', () => {
    setTimeout(() => process.exit(1), lastMilliseconds).unref()
    const ended = stop === undefined ? Promise.resolve() : stop.then((dispose) => dispose())
    ended.then(
      () => process.exit(),
      () => process.exit(1),
    )
  })
}

main()

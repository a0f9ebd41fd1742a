// `tsd run hello`: the image that comes with tsd, and a word on what ran it.
import fs from 'node:fs'
import type { EventMessage, SystemInfo } from '../schema/engine-api.js'
import type { Engine } from './engine.js'
import { jsonLines } from './engine.js'
import { localParts } from './local.js'
import { EngineError, messageOf } from './status.js'
import type { Invocation } from './verb.js'
import type { DriverSummary } from './verbs/drivers.js'
import { loadArchive } from './verbs/images.js'

async function haveImage(engine: Engine): Promise<void> {
  try {
    await engine.get('/images/hello/json')
  } catch (error) {
    if (!(error instanceof EngineError) || error.status !== 404 || !fs.existsSync(localParts.helloImage)) throw error
    const quiet = async (stream: NodeJS.ReadableStream) => {
      for await (const message of jsonLines<{ error?: string }>(stream))
        if (message.error !== undefined) throw new Error(`loading ${localParts.helloImage}: ${message.error}`)
    }
    await loadArchive(engine, fs.createReadStream(localParts.helloImage), true, '', quiet)
  }
}

const unix = (milliseconds: number): string => (milliseconds / 1000).toFixed(3)

/** Nanoseconds between two events of the newest container of the image since we began. */
async function startTimes(engine: Engine, from: number): Promise<string> {
  const filters = JSON.stringify({ type: { container: true }, image: { hello: true }, event: { create: true, start: true, die: true } })
  const stream = await engine.stream('GET', '/events', { query: { since: unix(from - 1), until: unix(Date.now() + 1), filters } })
  const at: Record<string, number> = {}
  for await (const event of jsonLines<EventMessage>(stream)) at[event.Action ?? ''] = event.timeNano ?? 0
  const { create, start, die } = at
  const span = (a: number, b: number) => `${((b - a) / 1e6).toFixed(1)} ms`
  const parts = [create && start && `created to started ${span(create, start)}`, start && die && `started to ended ${span(start, die)}`]
  return parts.filter(Boolean).join(', ')
}

function chosen(drivers: readonly DriverSummary[], info: SystemInfo): string {
  const kinds = ['graph', 'exec', 'network', 'ipam', 'volume', 'log']
  const runtime = info.DefaultRuntime ?? ''
  const defaults: Record<string, string | undefined> = { graph: info.Driver, exec: runtime, log: info.LoggingDriver }
  return kinds
    .map((kind) => [kind, drivers.find((d) => d.kind === kind && d.selected)?.name ?? defaults[kind]] as const)
    .filter(([, name]) => name !== undefined && name !== '')
    .map(([kind, name]) => `${kind} ${name}`)
    .join(', ')
}

export async function runHello(invocation: Invocation, run: (invocation: Invocation) => Promise<number>): Promise<number> {
  const { engine } = invocation
  await haveImage(engine)
  const began = Date.now()
  const clock = performance.now()
  const status = await run(invocation)
  const took = performance.now() - clock
  if (status !== 0 || invocation.values.bool('detach')) return status
  try {
    const [drivers, info, times] = await Promise.all([
      engine.get<DriverSummary[]>('/tsd/v1/drivers').catch(() => []),
      engine.get<SystemInfo>('/info'),
      startTimes(engine, began).catch(() => ''),
    ])
    process.stdout.write(
      `\nDrivers: ${chosen(drivers, info)}\nTime:    ${took.toFixed(1)} ms for create, attach, start, run and remove${times ? ` (${times})` : ''}\n`,
    )
  } catch (error) {
    process.stderr.write(`tsd: the engine did not say which drivers were chosen: ${messageOf(error)}\n`)
  }
  return status
}

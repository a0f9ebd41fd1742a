import { mkdir } from 'node:fs/promises'
import { randomId } from '../../base/ids.js'
import { removeFiles } from '../../base/remove-files.js'
import type { ContainerConfig } from '../../schema/engine-api.js'
import { systemError } from '../../sdk/errors.js'
import type { Container, Running } from './container.js'
import { publish, type ContainersContext } from './context.js'
import { execProcess } from './exec-process.js'

export interface Probe {
  args: string[]
  intervalMs: number
  timeoutMs: number
  startPeriodMs: number
  startIntervalMs: number
  retries: number
}

const maxOutput = 4096
const sigkill = 9
/** How long output is waited for that a child of the probe may hold open. */
const graceMs = 500

const milliseconds = (nanoseconds: number | undefined, fallback: number): number => (nanoseconds ? nanoseconds / 1e6 : fallback)

/** What is run to learn of a container's health; undefined when nothing is. */
export function probeOf({ Healthcheck, Shell }: ContainerConfig): Probe | undefined {
  const [type, ...rest] = Healthcheck?.Test ?? []
  const args = type === 'CMD' ? rest : type === 'CMD-SHELL' ? [...(Shell?.length ? Shell : ['/bin/sh', '-c']), ...rest] : []
  if (args.length === 0) return undefined
  const { Interval, Timeout, StartPeriod, StartInterval, Retries } = Healthcheck ?? {}
  return {
    args,
    intervalMs: milliseconds(Interval, 30_000),
    timeoutMs: milliseconds(Timeout, 30_000),
    startPeriodMs: milliseconds(StartPeriod, 0),
    startIntervalMs: milliseconds(StartInterval, 5_000),
    retries: Retries && Retries > 0 ? Retries : 3,
  }
}

export interface ProbeResult {
  exitCode: number
  output: string
}

/** Runs the probe once. One that takes too long, or is no longer wanted, is killed. */
export async function runProbe(
  ctx: ContainersContext,
  container: Container,
  running: Running,
  probe: Probe,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const { id } = container
  const execId = randomId()
  const shimId = execId.slice(0, 24)
  const dir = `${ctx.config.execRoot}/shims/${shimId}`
  const resource = { kind: 'exec-shim', key: shimId, data: { dir } }
  const command = probe.args.join(' ')
  ctx.ledger.intend(id, [resource])
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    publish(ctx, container, `exec_create: ${command}`, { execID: execId })
    publish(ctx, container, `exec_start: ${command}`, { execID: execId })
    const process = execProcess(ctx, container, { Cmd: probe.args })
    await running.exec.driver.exec(id, execId, process, {
      id: shimId,
      dir,
      terminal: false,
      openStdin: false,
      stdinOnce: false,
      sink: { type: 'none' },
      stream: true,
    })
    const shim = ctx.shims.get(shimId)
    if (!shim) throw systemError(`exec driver ${running.exec.name} started a health check without its shim`)
    ctx.ledger.fact(id, [resource])
    const kept: Buffer[] = []
    let size = 0
    shim.onOutput = (_source, data) => {
      if (size < maxOutput) kept.push(Buffer.from(data))
      size += data.length
    }
    const ended = await Promise.race([shim.exited.then(() => true), elapsed(probe.timeoutMs, signal)])
    if (!ended) shim.signal(sigkill)
    const exit = await shim.exited
    await Promise.race([shim.ended, elapsed(graceMs, signal)])
    shim.close()
    const exitCode = exit.signal > 0 ? 128 + exit.signal : exit.code
    publish(ctx, container, 'exec_die', { execID: execId, exitCode: String(exitCode) })
    const output = Buffer.concat(kept).toString().slice(0, maxOutput)
    if (ended) return { exitCode, output }
    const late = `Health check exceeded timeout (${probe.timeoutMs / 1000}s)`
    return { exitCode: -1, output: output === '' ? late : `${late}: ${output}` }
  } finally {
    await removeFiles(dir)
    ctx.ledger.released(id, [resource])
  }
}

/** Answers false after this time, or at the signal. */
function elapsed(ms: number, signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve(false)
    }
    const timer = setTimeout(done, ms)
    timer.unref()
    if (signal.aborted) done()
    else signal.addEventListener('abort', done)
  })
}

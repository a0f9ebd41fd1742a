import { conflict } from '../../sdk/errors.js'
import { defaultDetachKeys, parseDetachKeys } from './detach-keys.js'
import type { Container } from './container.js'
import { publish, type ContainersContext } from './context.js'
import type { AttachOptions, LogsOptions, StdioClient, StdioSession } from './contract.js'
import { logInfoOf } from './log-info.js'
import type { LogEntry, LogReadOptions } from '../../sdk/kinds/log.js'

const finished: StdioSession = { tty: false, input: () => Promise.resolve(true), inputEnd: () => undefined, detach: () => undefined }

async function replay(ctx: ContainersContext, container: Container, options: AttachOptions, client: StdioClient): Promise<void> {
  const { entries } = await containerLogs(ctx, container, {
    stdout: options.stdout,
    stderr: options.stderr,
    follow: false,
    signal: new AbortController().signal,
  })
  for await (const batch of entries) {
    for (const entry of batch) {
      if (entry.source === 'stdout' ? options.stdout : options.stderr) await client.output(entry.source, entry.line)
    }
  }
}

/** Wires a client in. A container that does not run yet gets its client at start. */
export async function attachContainer(
  ctx: ContainersContext,
  container: Container,
  options: AttachOptions,
  client: StdioClient,
): Promise<StdioSession> {
  const { record } = container
  if (record.state.status === 'paused') throw conflict(`container ${record.id} is paused, unpause the container before attach`)
  if (record.state.status === 'restarting') throw conflict(`container ${record.id} is restarting, wait until the container is running`)
  const detachKeys = options.detachKeys === undefined ? defaultDetachKeys : parseDetachKeys(options.detachKeys)
  const tty = record.config.Tty === true
  if (options.logs) await replay(ctx, container, options, client)
  if (!options.stream) {
    client.end()
    return { ...finished, tty }
  }
  publish(ctx, container, 'attach')
  return container.hub.join({
    client,
    stdin: options.stdin && record.config.OpenStdin === true,
    stdout: options.stdout,
    stderr: options.stderr,
    detachKeys: tty && options.stdin ? detachKeys : undefined,
    closesStdin: record.config.StdinOnce === true && !tty,
    tty,
  })
}

/** An abort that follows the end of the container's output. */
function stoppedSignal(container: Container): AbortSignal {
  const controller = new AbortController()
  const { running } = container
  if (running) void running.shim.ended.then(() => controller.abort())
  else controller.abort()
  return controller.signal
}

function readOptions(container: Container, { since, until, tail, follow, signal }: LogsOptions): LogReadOptions {
  return { since, until, tail, follow, stopped: stoppedSignal(container), signal }
}

export async function containerLogs(
  ctx: ContainersContext,
  container: Container,
  options: LogsOptions,
): Promise<{ tty: boolean; entries: AsyncIterable<LogEntry[]> }> {
  const { record } = container
  const entries = await ctx.logs.read(record.logConfig.Type, logInfoOf(ctx, record), readOptions(container, options))
  return { tty: record.config.Tty === true, entries }
}

export async function containerLogFrames(
  ctx: ContainersContext,
  container: Container,
  options: LogsOptions,
): Promise<{ tty: boolean; frames: AsyncIterable<Uint8Array> }> {
  const { record } = container
  const tty = record.config.Tty === true
  const frames = await ctx.logs.readFrames(record.logConfig.Type, logInfoOf(ctx, record), {
    ...readOptions(container, options),
    stdout: options.stdout,
    stderr: options.stderr,
    framed: !tty,
  })
  return { tty, frames }
}

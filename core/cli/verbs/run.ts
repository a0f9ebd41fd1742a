import type { IncomingMessage } from 'node:http'
import { containerRequest } from '../container/config.js'
import { createContainer } from '../container/create.js'
import { containerFlags } from '../container/flags.js'
import type { Engine } from '../engine.js'
import { defaultHost, readAll, segment } from '../engine.js'
import type { Values } from '../flags.js'
import { flag } from '../flags.js'
import { followSize, join, parseDetachKeys, proxySignals } from '../session.js'
import { EngineError, ExitStatus, NoEngine, messageOf } from '../status.js'
import type { Invocation, Verb } from '../verb.js'

/** Docker's exit codes for a container that never began: 127 not found, 126 cannot be executed, else 125. */
export function startStatus(reason: string): number {
  const text = reason.toLowerCase()
  if (
    text.includes('executable file not found') ||
    text.includes('no such file or directory') ||
    text.includes('system cannot find the file specified')
  )
    return 127
  return text.includes('permission denied') || text.includes('is a directory') ? 126 : 125
}

export interface WaitAnswer {
  StatusCode?: number
  Error?: { Message?: string } | null
}

/** Registered when this resolves: the engine sends the header at once and the body at the exit. */
export async function beginWait(
  engine: Engine,
  id: string,
  condition: 'next-exit' | 'removed' | 'not-running',
): Promise<(quiet?: boolean) => Promise<number>> {
  const response: IncomingMessage = await engine.stream('POST', `/containers/${segment(id)}/wait`, { query: { condition } })
  const body = readAll(response)
  body.catch(() => undefined)
  return async (quiet = false) => {
    const answer = JSON.parse(await body) as WaitAnswer
    if (answer.Error?.Message) {
      if (!quiet) process.stderr.write(`Error waiting for container: ${answer.Error.Message}\n`)
      return 125
    }
    return answer.StatusCode ?? 0
  }
}

async function start(engine: Engine, id: string): Promise<void> {
  try {
    await engine.post(`/containers/${id}/start`)
  } catch (error) {
    const status = error instanceof EngineError ? startStatus(error.reason) : 125
    throw new ExitStatus(status, `tsd: ${messageOf(error)}\n\nRun 'tsd run --help' for more information`)
  }
}

async function foreground(
  engine: Engine,
  values: Values,
  id: string,
  streams: { tty: boolean; stdin: boolean; stdout: boolean; stderr: boolean },
): Promise<number> {
  const detachKeys = values.string('detach-keys')
  parseDetachKeys(detachKeys)
  const signals = values.bool('sig-proxy') && !streams.tty ? proxySignals(engine, id) : () => undefined
  const query = {
    stream: true,
    stdin: streams.stdin || undefined,
    stdout: streams.stdout || undefined,
    stderr: streams.stderr || undefined,
    detachKeys: detachKeys || undefined,
  }
  const [socket, exited] = await Promise.all([
    engine.hijack(`/containers/${id}/attach`, { query }),
    beginWait(engine, id, values.bool('rm') ? 'removed' : 'next-exit'),
  ])
  const joined = join(socket, { ...streams, detachKeys })
  joined.catch(() => undefined)
  try {
    await start(engine, id)
  } catch (error) {
    socket.destroy()
    // An auto-removed container is gone when the wait answers; its name is free again then.
    if (values.bool('rm')) await exited(true).catch(() => 0)
    throw error
  }
  const stopFollowing = streams.tty ? followSize(engine, `/containers/${id}`) : () => undefined
  try {
    const detached = await joined
    return detached ? 0 : await exited()
  } finally {
    stopFollowing()
    signals()
  }
}

export async function runContainer({ values, args, engine }: Invocation): Promise<number> {
  const [image = '', ...command] = args
  const detach = values.bool('detach')
  if (detach && values.has('attach')) throw new ExitStatus(125, 'conflicting options: cannot specify both --attach and --detach')
  const request = containerRequest(values, image, command)
  const tty = values.bool('tty')
  if (!detach && tty && request.attach.stdin && !process.stdin.isTTY) throw new ExitStatus(1, 'the input device is not a TTY')
  if (detach) Object.assign(request.body, { AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false })
  const id = await createContainer(engine, values, request)
  if (detach) {
    await start(engine, id)
    process.stdout.write(`${id}\n`)
    return 0
  }
  const { attach } = request
  if (!attach.stdout && !attach.stderr && !attach.stdin) return 0
  return foreground(engine, values, id, { tty, ...attach })
}

async function runImage(invocation: Invocation): Promise<number> {
  if (!/^hello(:latest)?$/.test(invocation.args[0] ?? '')) return runContainer(invocation)
  const { runHello } = await import('../hello.js')
  return runHello(invocation, runContainer)
}

export const verb: Verb = {
  name: 'run',
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  summary: 'Create and run a new container from an image',
  aliases: ['container run', 'run'],
  flags: [
    ...containerFlags,
    flag('bool', 'd,detach', 'Run container in background and print container ID'),
    flag('string', 'detach-keys', 'Override the key sequence for detaching a container'),
    flag('bool', 'sig-proxy', 'Proxy received signals to the process', { default: 'true' }),
  ],
  args: [1, Infinity],
  interspersed: false,
  failure: 125,
  hint: true,
  async run(invocation) {
    try {
      return await runImage(invocation)
    } catch (error) {
      if (!(error instanceof NoEngine) || !['ENOENT', 'ECONNREFUSED'].includes(error.code) || invocation.engine.host.url !== defaultHost)
        throw error
      const { startDaemon } = await import('../background.js')
      await startDaemon(invocation.engine)
      return runImage(invocation)
    }
  },
}

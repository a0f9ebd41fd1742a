import type { ContainerInspectResponse } from '../../schema/engine-api.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { followSize, join, parseDetachKeys, proxySignals } from '../session.js'
import { EngineError, ExitStatus, UsageError, messageOf } from '../status.js'
import type { Invocation, Verb } from '../verb.js'
import { beginWait } from './run.js'

async function attached({ values, args, engine }: Invocation): Promise<number> {
  if (args.length > 1) throw new UsageError('you cannot start and attach multiple containers at once')
  const { Id: id = '', Config, HostConfig } = await engine.get<ContainerInspectResponse>(`/containers/${segment(args[0] as string)}/json`)
  const tty = Config?.Tty === true
  const stdin = values.bool('interactive') && Config?.OpenStdin === true
  if (tty && stdin && !process.stdin.isTTY) throw new ExitStatus(1, 'the input device is not a TTY')
  const detachKeys = values.string('detach-keys')
  parseDetachKeys(detachKeys)
  const signals = tty ? () => undefined : proxySignals(engine, id)
  const query = { stream: true, stdin: stdin || undefined, stdout: true, stderr: true, detachKeys: detachKeys || undefined }
  const [socket, exited] = await Promise.all([
    engine.hijack(`/containers/${id}/attach`, { query }),
    beginWait(engine, id, HostConfig?.AutoRemove ? 'removed' : 'next-exit'),
  ])
  const joined = join(socket, { tty, stdin, stdout: true, stderr: true, detachKeys })
  joined.catch(() => undefined)
  await engine.post(`/containers/${id}/start`)
  const stopFollowing = tty ? followSize(engine, `/containers/${id}`) : () => undefined
  try {
    return (await joined) ? 0 : await exited()
  } finally {
    stopFollowing()
    signals()
  }
}

export const verb: Verb = {
  name: 'start',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Start one or more stopped containers',
  aliases: ['container start', 'start'],
  flags: [
    flag('bool', 'a,attach', 'Attach STDOUT/STDERR and forward signals'),
    flag('string', 'checkpoint', 'Restore from this checkpoint', { refused: 'checkpoints are not built', hidden: true }),
    flag('string', 'checkpoint-dir', 'Use a custom checkpoint storage directory', { refused: 'checkpoints are not built', hidden: true }),
    flag('string', 'detach-keys', 'Override the key sequence for detaching a container'),
    flag('bool', 'i,interactive', "Attach container's STDIN"),
  ],
  args: [1, Infinity],
  async run(invocation) {
    const { values, args, engine } = invocation
    if (values.bool('attach') || values.bool('interactive')) return attached(invocation)
    const failed: string[] = []
    for (const name of args) {
      try {
        await engine.post(`/containers/${segment(name)}/start`)
        process.stdout.write(`${name}\n`)
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
        process.stderr.write(`${messageOf(error)}\n`)
        failed.push(name)
      }
    }
    if (failed.length > 0) throw new ExitStatus(1, `Error: failed to start containers: ${failed.join(', ')}`)
    return 0
  },
}

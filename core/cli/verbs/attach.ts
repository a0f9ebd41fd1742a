import type { ContainerInspectResponse } from '../../schema/engine-api.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { followSize, join, parseDetachKeys, proxySignals } from '../session.js'
import { ExitStatus } from '../status.js'
import type { Verb } from '../verb.js'
import { beginWait } from './run.js'

export const verb: Verb = {
  name: 'attach',
  usage: '[OPTIONS] CONTAINER',
  summary: 'Attach local standard input, output, and error streams to a running container',
  aliases: ['container attach', 'attach'],
  flags: [
    flag('string', 'detach-keys', 'Override the key sequence for detaching a container'),
    flag('bool', 'no-stdin', 'Do not attach STDIN'),
    flag('bool', 'sig-proxy', 'Proxy all received signals to the process', { default: 'true' }),
  ],
  args: [1, 1],
  async run({ values, args, engine }) {
    const path = `/containers/${segment(args[0] as string)}`
    const { Id: id = '', Config, State } = await engine.get<ContainerInspectResponse>(`${path}/json`)
    if (!State?.Running) throw new Error('You cannot attach to a stopped container, start it first')
    if (State.Paused) throw new Error('You cannot attach to a paused container, unpause it first')
    if (State.Restarting) throw new Error('You cannot attach to a restarting container, wait until it is running')
    const tty = Config?.Tty === true
    const stdin = !values.bool('no-stdin') && Config?.OpenStdin === true
    if (tty && stdin && !process.stdin.isTTY) throw new ExitStatus(1, 'the input device is not a TTY')
    const detachKeys = values.string('detach-keys')
    parseDetachKeys(detachKeys)
    const signals = values.bool('sig-proxy') && !tty ? proxySignals(engine, id) : () => undefined
    const query = { stream: true, stdin: stdin || undefined, stdout: true, stderr: true, detachKeys: detachKeys || undefined }
    const [socket, exited] = await Promise.all([engine.hijack(`/containers/${id}/attach`, { query }), beginWait(engine, id, 'not-running')])
    const stopFollowing = tty ? followSize(engine, `/containers/${id}`) : () => undefined
    try {
      return (await join(socket, { tty, stdin, stdout: true, stderr: true, detachKeys })) ? 0 : await exited()
    } finally {
      stopFollowing()
      signals()
    }
  },
}

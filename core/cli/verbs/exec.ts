import type { ContainerInspectResponse, ExecConfig, ExecInspectResponse } from '../../schema/engine-api.js'
import { environmentOf } from '../container/environment.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { followSize, join, parseDetachKeys } from '../session.js'
import { ExitStatus } from '../status.js'
import type { Verb } from '../verb.js'

export const verb: Verb = {
  name: 'exec',
  usage: '[OPTIONS] CONTAINER COMMAND [ARG...]',
  summary: 'Execute a command in a running container',
  aliases: ['container exec', 'exec'],
  flags: [
    flag('bool', 'd,detach', 'Detached mode: run command in the background'),
    flag('string', 'detach-keys', 'Override the key sequence for detaching a container'),
    flag('list', 'e,env', 'Set environment variables', {
      check: (v) => (v.startsWith('=') ? `invalid environment variable: ${v}` : undefined),
    }),
    flag('list', 'env-file', 'Read in a file of environment variables'),
    flag('bool', 'i,interactive', 'Keep STDIN open even if not attached'),
    flag('bool', 'privileged', 'Give extended privileges to the command'),
    flag('bool', 't,tty', 'Allocate a pseudo-TTY'),
    flag('string', 'u,user', 'Username or UID (format: "<name|uid>[:<group|gid>]")'),
    flag('string', 'w,workdir', 'Working directory inside the container'),
  ],
  args: [2, Infinity],
  interspersed: false,
  async run({ values, args, engine }) {
    const [container = '', ...command] = args
    const detach = values.bool('detach')
    const tty = values.bool('tty')
    const stdin = values.bool('interactive')
    const detachKeys = values.string('detach-keys')
    parseDetachKeys(detachKeys)
    // Before the exec is made: a wrong container is reported rather than a wrong terminal.
    await engine.get<ContainerInspectResponse>(`/containers/${segment(container)}/json`)
    if (!detach && tty && stdin && !process.stdin.isTTY) throw new ExitStatus(1, 'the input device is not a TTY')
    const env = environmentOf(values.list('env-file'), values.list('env'))
    const size = !detach && tty && process.stdout.isTTY ? [process.stdout.rows, process.stdout.columns] : undefined
    const config: ExecConfig = {
      User: values.string('user'),
      Privileged: values.bool('privileged'),
      Tty: tty,
      ...(size ? { ConsoleSize: size } : {}),
      AttachStdin: !detach && stdin,
      AttachStderr: !detach,
      AttachStdout: !detach,
      DetachKeys: detachKeys,
      Env: env.length > 0 ? env : null,
      WorkingDir: values.string('workdir'),
      Cmd: command,
    }
    const { Id: id } = await engine.post<{ Id: string }>(`/containers/${segment(container)}/exec`, undefined, { ...config, Detach: detach })
    if (detach) {
      await engine.post(`/exec/${id}/start`, undefined, { Detach: true, Tty: tty })
      return 0
    }
    const socket = await engine.hijack(`/exec/${id}/start`, { body: { Detach: false, Tty: tty, ...(size ? { ConsoleSize: size } : {}) } })
    const stopFollowing = tty ? followSize(engine, `/exec/${id}`) : () => undefined
    try {
      if (await join(socket, { tty, stdin, stdout: true, stderr: true, detachKeys })) return 0
    } finally {
      stopFollowing()
    }
    const { ExitCode } = await engine.get<ExecInspectResponse>(`/exec/${id}/json`)
    return ExitCode ?? 0
  },
}

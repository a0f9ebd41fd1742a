// Verbs that send one request for each container.
import type { ContainerInspectResponse, ContainerTopResponse, ContainerWaitResponse } from '../../schema/engine-api.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import type { Flag } from '../flags.js'
import { layOut } from '../format/listing.js'
import { EngineError, ExitStatus } from '../status.js'
import type { Invocation, Verb } from '../verb.js'
import { forEach } from './each.js'

const many = 'CONTAINER [CONTAINER...]'

function perContainer(
  name: string,
  summary: string,
  flags: readonly Flag[],
  action: (container: string, invocation: Invocation) => Promise<string | void>,
): Verb {
  return {
    name,
    usage: flags.length > 0 ? `[OPTIONS] ${many}` : many,
    summary,
    aliases: [`container ${name}`, ...(name === 'rm' ? ['container remove'] : []), name],
    flags,
    args: [1, Infinity],
    run: (invocation) => forEach(invocation.args, (container) => action(container, invocation)),
  }
}

const pathOf = (container: string): string => `/containers/${segment(container)}`
const stopFlags = [
  flag('string', 's,signal', 'Signal to send to the container'),
  flag('int', 't,timeout', 'Seconds to wait before killing the container'),
  flag('int', 'time', 'Seconds to wait before killing the container', { hidden: true }),
]
const stopQuery = ({ values }: Invocation) => ({
  signal: values.string('signal') || undefined,
  t: values.has('timeout') ? values.int('timeout') : values.has('time') ? values.int('time') : undefined,
})

export const stop = perContainer('stop', 'Stop one or more running containers', stopFlags, (c, i) =>
  i.engine.post(`${pathOf(c)}/stop`, stopQuery(i)),
)
export const restart = perContainer('restart', 'Restart one or more containers', stopFlags, (c, i) =>
  i.engine.post(`${pathOf(c)}/restart`, stopQuery(i)),
)
export const pause = perContainer('pause', 'Pause all processes within one or more containers', [], (c, i) =>
  i.engine.post(`${pathOf(c)}/pause`),
)
export const unpause = perContainer('unpause', 'Unpause all processes within one or more containers', [], (c, i) =>
  i.engine.post(`${pathOf(c)}/unpause`),
)
export const kill = perContainer(
  'kill',
  'Kill one or more running containers',
  [flag('string', 's,signal', 'Signal to send to the container')],
  (c, i) => i.engine.post(`${pathOf(c)}/kill`, { signal: i.values.string('signal') || undefined }),
)

const waitBase = perContainer(
  'wait',
  'Block until one or more containers stop, then print their exit codes',
  [],
  async (container, { engine }) => {
    const answer = await engine.post<ContainerWaitResponse>(`${pathOf(container)}/wait`)
    if (answer.Error?.Message) throw new Error(answer.Error.Message)
    return String(answer.StatusCode)
  },
)
export const wait = waitBase

const rmFlags = [
  flag('bool', 'f,force', 'Force the removal of a running container (uses SIGKILL)'),
  flag('bool', 'l,link', 'Remove the specified link'),
  flag('bool', 'v,volumes', 'Remove anonymous volumes associated with the container'),
]
export const rm: Verb = {
  ...perContainer('rm', 'Remove one or more containers', rmFlags, () => Promise.resolve()),
  async run({ values, args, engine }) {
    const force = values.bool('force')
    let failed = false
    for (const given of args) {
      const name = given.replace(/^\/+/, '')
      if (name === '') {
        process.stderr.write('container name cannot be empty\n')
        failed = true
        continue
      }
      try {
        await engine.delete(pathOf(name), {
          force: force || undefined,
          link: values.bool('link') || undefined,
          v: values.bool('volumes') || undefined,
        })
        process.stdout.write(`${given}\n`)
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
        process.stderr.write(`${error.message}\n`)
        if (!(force && error.status === 404)) failed = true
      }
    }
    return failed ? 1 : 0
  },
}

export const rename: Verb = {
  name: 'rename',
  usage: 'CONTAINER NEW_NAME',
  summary: 'Rename a container',
  aliases: ['container rename', 'rename'],
  flags: [],
  args: [2, 2],
  async run({ args, engine }) {
    const [container = '', name = ''] = args.map((a) => a.trim())
    if (container === '' || name === '') throw new Error('Error: Neither old nor new names may be empty')
    await engine.post(`${pathOf(container)}/rename`, { name })
  },
}

export const top: Verb = {
  name: 'top',
  usage: 'CONTAINER [ps OPTIONS]',
  summary: 'Display the running processes of a container',
  aliases: ['container top', 'top'],
  flags: [],
  args: [1, Infinity],
  interspersed: false,
  async run({ args, engine }) {
    const [container = '', ...options] = args
    const answer = await engine.get<ContainerTopResponse>(`${pathOf(container)}/top`, {
      ps_args: options.length > 0 ? options.join(' ') : undefined,
    })
    process.stdout.write(
      await layOut(
        [answer.Titles ?? [], ...(answer.Processes ?? [])].map((cells) => cells.join('\t')),
        20,
      ),
    )
  },
}

export const port: Verb = {
  name: 'port',
  usage: 'CONTAINER [PRIVATE_PORT[/PROTO]]',
  summary: 'List port mappings or a specific mapping for the container',
  aliases: ['container port', 'port'],
  flags: [],
  args: [1, 2],
  async run({ args, engine }) {
    const [container = '', wanted] = args
    const { NetworkSettings } = await engine.get<ContainerInspectResponse>(`${pathOf(container)}/json`)
    const ports = NetworkSettings?.Ports ?? {}
    const address = (binding: { HostIp?: string; HostPort?: string }) =>
      `${binding.HostIp?.includes(':') ? `[${binding.HostIp}]` : (binding.HostIp ?? '')}:${binding.HostPort ?? ''}`
    if (wanted !== undefined) {
      const [number = '', protocol = 'tcp'] = wanted.split('/')
      if (!/^\d+$/.test(number) || Number(number) > 65535) throw new Error(`Error: invalid port (${number})`)
      const bindings = ports[`${number}/${protocol}`]
      if (!bindings || bindings.length === 0) throw new ExitStatus(1, `Error: No public port '${wanted}' published for ${container}`)
      process.stdout.write(bindings.map((b) => `${address(b)}\n`).join(''))
      return
    }
    const lines = Object.entries(ports).flatMap(([from, bindings]) => (bindings ?? []).map((b) => `${from} -> ${address(b)}`))
    const number = (line: string) => Number.parseInt(line, 10)
    process.stdout.write(
      lines
        .toSorted((a, b) => number(a) - number(b) || (a < b ? -1 : 1))
        .map((line) => `${line}\n`)
        .join(''),
    )
  },
}

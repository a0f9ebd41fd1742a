// Instructions that change an image's configuration and none of its files.
import { invalidParameter } from '../../sdk/errors.js'
import { exposedPort, setVariable } from '../images/index.js'
import type { Instruction } from './dockerfile/instruction.js'
import { expandWords } from './dockerfile/words.js'
import { argvOf, expand } from './stage-state.js'
import type { StageState } from './stage-state.js'

const quoted = (words: readonly string[]): string => `[${words.map((word) => JSON.stringify(word)).join(' ')}]`

/** `80-82/tcp`, and with a host's port before it, which an image has no use for. */
function portsOf(text: string): string[] {
  const [range = '', protocol = 'tcp'] = text.slice(text.lastIndexOf(':') + 1).split('/')
  const [low = '', high = low] = range.split('-')
  const [first, last] = [Number(low), Number(high)]
  if (!/^\d{1,5}$/.test(low) || !/^\d{1,5}$/.test(high) || last < first || last > 65535)
    throw invalidParameter(`Invalid containerPort: ${text}`)
  return Array.from({ length: last - first + 1 }, (_, index) => exposedPort(`${first + index}/${protocol.toLowerCase()}`))
}

function expose(state: StageState, values: readonly string[]): string {
  const variables = state.arguments.variables(state.config.Env)
  const words = values.flatMap((value) => expandWords(value, variables, state.escape))
  const ports = words.flatMap(portsOf)
  state.config.ExposedPorts = { ...state.config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) }
  return `EXPOSE ${[...words].sort().join(' ')}`
}

function volume(state: StageState, values: readonly string[]): string {
  const variables = state.arguments.variables(state.config.Env)
  const paths = values.flatMap((value) => expandWords(value, variables, state.escape)).map((path) => path.trim())
  if (paths.some((path) => path === '')) throw invalidParameter('VOLUME specified can not be an empty string')
  state.config.Volumes = { ...state.config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) }
  return `VOLUME [${paths.join(' ')}]`
}

function argument(state: StageState, args: readonly { name: string; value: string | undefined }[]): string {
  const said = args.map(({ name: written, value: fallback }) => {
    const name = expand(state, written)
    const value = fallback === undefined ? undefined : expand(state, fallback)
    state.arguments.declare(name, value)
    return value === undefined ? name : `${name}=${value}`
  })
  return `ARG ${said.join(' ')}`
}

/** Applies one to the stage; answers what history says of it, or undefined when it is of another kind. */
export function applyMetadata(state: StageState, step: Instruction): string | undefined {
  const { config } = state
  switch (step.kind) {
    case 'arg':
      return argument(state, step.args)
    case 'env': {
      const pairs = step.pairs.map(([key, value]) => [expand(state, key), expand(state, value)] as const)
      for (const [key, value] of pairs) config.Env = setVariable(config.Env, key, value)
      return `ENV ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}`
    }
    case 'label': {
      const pairs = step.pairs.map(([key, value]) => [expand(state, key), expand(state, value)] as const)
      config.Labels = { ...config.Labels, ...Object.fromEntries(pairs) }
      return `LABEL ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}`
    }
    case 'maintainer':
      state.author = step.value
      return `MAINTAINER ${step.value}`
    case 'cmd':
      config.Cmd = argvOf(state, step.command)
      config.ArgsEscaped = false
      state.commandSaid = true
      return `CMD ${quoted(config.Cmd)}`
    case 'entrypoint':
      config.Entrypoint = argvOf(state, step.command)
      if (config.Entrypoint.length === 0) config.Entrypoint = null
      if (!state.commandSaid) config.Cmd = null
      return `ENTRYPOINT ${quoted(config.Entrypoint ?? [])}`
    case 'shell':
      config.Shell = step.shell
      return `SHELL [${step.shell.join(' ')}]`
    case 'healthcheck':
      config.Healthcheck = step.healthcheck
      return `HEALTHCHECK ${JSON.stringify(step.healthcheck)}`
    case 'onbuild':
      config.OnBuild = [...(config.OnBuild ?? []), step.text]
      return `ONBUILD ${step.text}`
    case 'expose':
      return expose(state, step.values)
    case 'volume':
      return volume(state, step.values)
    case 'user':
      config.User = expand(state, step.value)
      return `USER ${config.User}`
    case 'stopsignal': {
      const signal = expand(state, step.value)
      if (!/^([0-9]{1,2}|(SIG)?[A-Za-z]+[0-9+-]*)$/.test(signal)) throw invalidParameter(`invalid signal: ${signal}`)
      config.StopSignal = signal
      return `STOPSIGNAL ${signal}`
    }
    default:
      return undefined
  }
}

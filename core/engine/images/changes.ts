// Dockerfile instructions that `import --change` and `commit --change` may carry.
import { parseDuration } from '../../base/duration.js'
import { invalidParameter } from '../../sdk/errors.js'
import type { ImageRuntimeConfig } from './config.js'

export function emptyConfig(): ImageRuntimeConfig {
  return {
    User: '',
    ExposedPorts: {},
    Env: [],
    Entrypoint: null,
    Cmd: null,
    Volumes: {},
    WorkingDir: '',
    Labels: {},
    StopSignal: '',
    Shell: null,
    Healthcheck: null,
    ArgsEscaped: false,
  }
}

/** The JSON form `["a", "b"]`, or undefined. */
function list(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? (value as string[]) : undefined
  } catch {
    return undefined
  }
}

/** Words as a Dockerfile quotes them. */
function words(text: string): string[] {
  const found: string[] = []
  let word: string | undefined
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const c = text[at] as string
    if (c === '\\' && quote !== "'" && at + 1 < text.length) word = (word ?? '') + (text[++at] as string)
    else if (quote !== '') {
      if (c === quote) quote = ''
      else word += c
    } else if (c === '"' || c === "'") {
      quote = c
      word ??= ''
    } else if (/\s/.test(c)) {
      if (word !== undefined) found.push(word)
      word = undefined
    } else word = (word ?? '') + c
  }
  if (quote !== '') throw invalidParameter(`unterminated quote in ${JSON.stringify(text)}`)
  return word === undefined ? found : [...found, word]
}

/** `A=1 B=2`, or the old form `A the rest`. */
function pairs(instruction: string, text: string): [key: string, value: string][] {
  const parts = words(text)
  if (parts.length === 0) throw invalidParameter(`${instruction} requires at least one argument`)
  if (!(parts[0] as string).includes('=')) {
    const match = /^(\S+)\s+([\s\S]*)$/.exec(text)
    if (match === null) throw invalidParameter(`${instruction} must have two arguments`)
    return [[match[1] as string, match[2] as string]]
  }
  return parts.map((part) => {
    const equals = part.indexOf('=')
    if (equals <= 0) throw invalidParameter(`Syntax error - can't find = in ${JSON.stringify(part)}. Must be of the form: name=value`)
    return [part.slice(0, equals), part.slice(equals + 1)]
  })
}

const shellForm = (text: string): string[] => list(text) ?? ['/bin/sh', '-c', text]

export function setVariable(env: string[], key: string, value: string): string[] {
  const entry = `${key}=${value}`
  const at = env.findIndex((one) => one.startsWith(`${key}=`))
  return at < 0 ? [...env, entry] : env.with(at, entry)
}

export function exposedPort(text: string): string {
  const match = /^([0-9]{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text)
  if (match === null || Number(match[1]) > 65535 || Number(match[1]) < 1) throw invalidParameter(`invalid containerPort: ${text}`)
  return `${match[1]}/${match[2] ?? 'tcp'}`
}

const probeFlags: Record<string, 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval' | 'Retries'> = {
  interval: 'Interval',
  timeout: 'Timeout',
  'start-period': 'StartPeriod',
  'start-interval': 'StartInterval',
  retries: 'Retries',
}
const shortestProbe = 1_000_000n

/** `NONE`, or `[--interval=30s ...] CMD command`. */
function healthcheck(text: string): NonNullable<ImageRuntimeConfig['Healthcheck']> {
  const check: NonNullable<ImageRuntimeConfig['Healthcheck']> = {}
  let rest = text
  for (let match = /^--([a-z-]+)=(\S+)\s*/.exec(rest); match !== null; match = /^--([a-z-]+)=(\S+)\s*/.exec(rest)) {
    const [whole, name = '', value = ''] = match
    const field = probeFlags[name]
    if (field === undefined) throw invalidParameter(`Unknown flag: ${name}`)
    if (field === 'Retries') {
      if (!/^\d{1,9}$/.test(value)) throw invalidParameter(`--retries must be at least 0 (not ${value})`)
      check.Retries = Number(value)
    } else {
      const duration = parseDuration(value)
      if (duration !== 0n && duration < shortestProbe) throw invalidParameter(`Interval ${JSON.stringify(name)} cannot be less than 1ms`)
      check[field] = Number(duration)
    }
    rest = rest.slice(whole.length)
  }
  const match = /^([A-Za-z]+)(?:\s+([\s\S]+))?$/.exec(rest)
  const type = match?.[1]?.toUpperCase()
  const command = match?.[2] ?? ''
  if (type === 'NONE') {
    if (command !== '') throw invalidParameter('HEALTHCHECK NONE takes no arguments')
    return { Test: ['NONE'] }
  }
  if (type !== 'CMD') throw invalidParameter(`Unknown type ${JSON.stringify(type ?? '')} in HEALTHCHECK (try CMD)`)
  if (command === '') throw invalidParameter('Missing command after HEALTHCHECK CMD')
  const words = list(command)
  return { ...check, Test: words === undefined ? ['CMD-SHELL', command] : ['CMD', ...words] }
}

/** Applies one instruction. */
export function applyChange(config: ImageRuntimeConfig, change: string): void {
  const match = /^\s*([A-Za-z]+)\s+([\s\S]+?)\s*$/.exec(change)
  if (match === null) throw invalidParameter(`change ${JSON.stringify(change)} is no Dockerfile instruction`)
  const instruction = (match[1] as string).toUpperCase()
  const text = match[2] as string
  switch (instruction) {
    case 'CMD':
      config.Cmd = shellForm(text)
      return
    case 'ENTRYPOINT':
      config.Entrypoint = shellForm(text)
      return
    case 'ENV':
      for (const [key, value] of pairs(instruction, text)) config.Env = setVariable(config.Env, key, value)
      return
    case 'LABEL':
      config.Labels = { ...config.Labels, ...Object.fromEntries(pairs(instruction, text)) }
      return
    case 'EXPOSE':
      for (const one of words(text)) config.ExposedPorts[exposedPort(one)] = {}
      return
    case 'VOLUME':
      for (const one of list(text) ?? words(text)) config.Volumes[one] = {}
      return
    case 'USER':
      config.User = text
      return
    case 'WORKDIR':
      config.WorkingDir = text.startsWith('/') ? text : `${config.WorkingDir === '/' ? '' : config.WorkingDir}/${text}`
      return
    case 'HEALTHCHECK':
      config.Healthcheck = healthcheck(text)
      return
    case 'STOPSIGNAL':
      config.StopSignal = text
      return
    case 'ONBUILD':
      config.OnBuild = [...(config.OnBuild ?? []), text]
      return
    default:
      throw invalidParameter(`${instruction} is not a valid change command`)
  }
}

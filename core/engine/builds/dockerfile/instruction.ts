// One instruction, taken apart. Nothing is expanded yet.
import { syntaxError } from './source.js'
import type { Heredoc, SourceLine } from './source.js'
import { Flags, takeFlags } from './flags.js'
import { parseHealthcheck } from './healthcheck.js'
import type { Healthcheck } from './healthcheck.js'
import { jsonList } from './json-form.js'
import { rawWords } from './words.js'

export type Pair = [key: string, value: string]

/** `["a", "b"]`, or text for a shell. */
export type Command = { exec: string[] } | { shell: string }

export interface CopyInstruction {
  kind: 'copy'
  name: 'COPY' | 'ADD'
  sources: string[]
  target: string
  heredocs: Heredoc[]
  flags: Flags
}

export interface RunInstruction {
  kind: 'run'
  command: Command
  heredocs: Heredoc[]
  flags: Flags
}

export type Instruction =
  | { kind: 'from'; image: string; stage: string; platform: string }
  | { kind: 'arg'; args: { name: string; value: string | undefined }[] }
  | { kind: 'env' | 'label'; pairs: Pair[] }
  | CopyInstruction
  | RunInstruction
  | { kind: 'cmd' | 'entrypoint'; command: Command }
  | { kind: 'shell'; shell: string[] }
  | { kind: 'healthcheck'; healthcheck: Healthcheck }
  | { kind: 'onbuild'; text: string }
  | { kind: 'expose' | 'volume'; values: string[] }
  | { kind: 'user' | 'workdir' | 'stopsignal' | 'maintainer'; value: string }

export type Step = Instruction & { line: SourceLine }

const command = (text: string): Command => {
  const exec = jsonList(text)
  return exec === undefined ? { shell: text } : { exec }
}

const blankDelimited = (text: string): string[] => text.split(/[ \t]+/).filter((word) => word !== '')

/** `A=1 B=2`, or the old form `A the rest`. */
function pairs(name: string, text: string, escape: string, line: number): Pair[] {
  const words = rawWords(text, escape)
  const [first = ''] = words
  if (!first.includes('=')) {
    const [, key, value] = /^(\S+)[ \t]+([\s\S]+)$/.exec(text) ?? []
    if (key === undefined || value === undefined) throw syntaxError(line, `${name} must have two arguments`)
    return [[key, value]]
  }
  return words.map((word) => {
    const equals = word.indexOf('=')
    if (equals < 0) throw syntaxError(line, `can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`)
    if (equals === 0) throw syntaxError(line, `${name} names can not be blank`)
    return [word.slice(0, equals), word.slice(equals + 1)]
  })
}

function parseFrom(text: string, flags: Flags, line: number): Instruction {
  const words = blankDelimited(text)
  const [image = '', as, stage = ''] = words
  if (words.length !== 1 && !(words.length === 3 && as?.toUpperCase() === 'AS'))
    throw syntaxError(line, 'FROM requires either one or three arguments')
  const name = stage.toLowerCase()
  if (words.length === 3 && !/^[a-z][a-z0-9-_.]*$/.test(name))
    throw syntaxError(line, `invalid name for build stage: ${JSON.stringify(stage)}, name can't start with a number or contain symbols`)
  return { kind: 'from', image, stage: name, platform: flags.one('platform') ?? '' }
}

function parseArg(text: string, escape: string, line: number): Instruction {
  const args = rawWords(text, escape).map((word) => {
    const equals = word.indexOf('=')
    if (equals === 0) throw syntaxError(line, 'ARG names can not be blank')
    return equals < 0 ? { name: word, value: undefined } : { name: word.slice(0, equals), value: word.slice(equals + 1) }
  })
  if (args.length === 0) throw syntaxError(line, 'ARG requires at least one argument')
  return { kind: 'arg', args }
}

function parseCopy(name: 'COPY' | 'ADD', text: string, flags: Flags, heredocs: Heredoc[], line: number): Instruction {
  const words = jsonList(text) ?? blankDelimited(text)
  if (words.length < 2)
    throw syntaxError(line, `${name} requires at least two arguments, but only one was provided. Destination could not be determined.`)
  const isHeredoc = (word: string): boolean => heredocs.length > 0 && /^\d*<</.test(word)
  const target = words.at(-1) as string
  return { kind: 'copy', name, sources: words.slice(0, -1).filter((word) => !isHeredoc(word)), target, heredocs, flags }
}

function parseOnbuild(text: string, line: number): Instruction {
  const trigger = /^\S*/.exec(text)?.[0].toUpperCase() ?? ''
  if (trigger === 'ONBUILD') throw syntaxError(line, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
  if (trigger === 'FROM' || trigger === 'MAINTAINER') throw syntaxError(line, `${trigger} isn't allowed as an ONBUILD trigger`)
  return { kind: 'onbuild', text }
}

const flagsOf: Record<string, readonly string[]> = {
  FROM: ['platform'],
  RUN: ['mount', 'network', 'security'],
  COPY: ['from', 'chown', 'chmod', 'link', 'parents', 'exclude'],
  ADD: ['chown', 'chmod', 'link', 'checksum', 'keep-git-dir', 'exclude', 'unpack'],
  HEALTHCHECK: ['interval', 'timeout', 'start-period', 'start-interval', 'retries'],
}

function parse(name: string, text: string, flags: Flags, { number, heredocs }: SourceLine, escape: string): Instruction {
  switch (name) {
    case 'FROM':
      return parseFrom(text, flags, number)
    case 'ARG':
      return parseArg(text, escape, number)
    case 'ENV':
      return { kind: 'env', pairs: pairs(name, text, escape, number) }
    case 'LABEL':
      return { kind: 'label', pairs: pairs(name, text, escape, number) }
    case 'COPY':
    case 'ADD':
      return parseCopy(name, text, flags, heredocs, number)
    case 'RUN':
      return { kind: 'run', command: command(text), heredocs, flags }
    case 'CMD':
      return { kind: 'cmd', command: command(text) }
    case 'ENTRYPOINT':
      return { kind: 'entrypoint', command: command(text) }
    case 'SHELL': {
      const shell = jsonList(text)
      if (shell === undefined || shell.length === 0) throw syntaxError(number, 'SHELL requires the arguments to be in JSON form')
      return { kind: 'shell', shell }
    }
    case 'HEALTHCHECK':
      return { kind: 'healthcheck', healthcheck: parseHealthcheck(text, flags, number) }
    case 'ONBUILD':
      return parseOnbuild(text, number)
    case 'EXPOSE':
      return { kind: 'expose', values: blankDelimited(text) }
    case 'VOLUME':
      return { kind: 'volume', values: jsonList(text) ?? blankDelimited(text) }
    case 'USER':
    case 'WORKDIR':
    case 'STOPSIGNAL':
    case 'MAINTAINER':
      return { kind: name.toLowerCase() as 'user', value: text }
    default:
      throw syntaxError(number, `unknown instruction: ${name}`)
  }
}

export function parseInstruction(line: SourceLine, escape: string): Step {
  const [, word = '', after = ''] = /^(\S+)[ \t]*([\s\S]*)$/.exec(line.text) ?? []
  const name = word.toUpperCase()
  const { flags, rest } =
    name in flagsOf ? takeFlags(after, escape, name, flagsOf[name] ?? [], line.number) : { flags: new Flags([]), rest: after }
  if (rest === '' && !['CMD', 'ENTRYPOINT'].includes(name) && /^[A-Z]+$/.test(name) && known.has(name))
    throw syntaxError(line.number, `${name} requires ${atLeastOne.has(name) ? 'at least one argument' : 'exactly one argument'}`)
  return { ...parse(name, rest, flags, line, escape), line }
}

const atLeastOne = new Set(['ARG', 'ENV', 'LABEL', 'EXPOSE', 'VOLUME', 'RUN', 'COPY', 'ADD', 'ONBUILD', 'HEALTHCHECK', 'SHELL'])
const known = new Set([...atLeastOne, 'FROM', 'USER', 'WORKDIR', 'STOPSIGNAL', 'MAINTAINER'])

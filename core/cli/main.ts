#!/usr/bin/env -S node --
// The -- keeps Node from reading our --env-file as its own.
// Finds the verb, reads its flags, runs it, and turns what it throws into Docker's words and exit codes.
import { Engine, defaultHost } from './engine.js'
import { Values, flag, parseFlags } from './flags.js'
import { EngineError, ExitStatus, UsageError, messageOf } from './status.js'
import type { Verb } from './verb.js'
import { aliases, groups, verbs } from './verbs/index.js'

const globalFlags = [
  flag('list', 'H,host', `Daemon socket to connect to (default "${defaultHost}")`),
  flag('bool', 'D,debug', 'Print the stack of an unexpected error'),
  flag('bool', 'v,version', 'Print version information and quit'),
  flag('bool', 'help', 'Print usage'),
  flag('bool', 'h,help-short', 'Print usage', { hidden: true }),
]

interface Found {
  name: string
  rest: string[]
}

/** Two words first: `volume create`; then one. */
function findVerb(words: readonly string[]): Found | undefined {
  for (const count of [2, 1]) {
    const given = words.slice(0, count).join(' ')
    const name = aliases[given] ?? given
    if (words.length >= count && Object.hasOwn(verbs, name)) return { name, rest: words.slice(count) }
  }
  return undefined
}

const hostOf = (values: Values): string => {
  const hosts = values.list('host')
  if (hosts.length > 1) throw new UsageError('Specify only one -H')
  return hosts[0] ?? (process.env.TSD_HOST || process.env.DOCKER_HOST || defaultHost)
}

async function main(argv: readonly string[]): Promise<number> {
  const { values, args } = parseFlags(argv, globalFlags, false)
  const debug = values.bool('debug')
  const asksHelp = values.bool('help') || values.bool('help-short')
  try {
    if (values.bool('version')) return await (await import('./overview.js')).printVersion()
    if (args[0] === 'help') return await main([...args.slice(1), '--help'])
    const found = findVerb(args)
    if (!found) return await (await import('./overview.js')).overview(args, globalFlags, groups)
    const verb = await (verbs[found.name] as { load: () => Promise<Verb> }).load()
    return await invoke(verb, asksHelp ? ['--help'] : found.rest, hostOf(values))
  } catch (error) {
    if (debug && !(error instanceof EngineError) && !(error instanceof UsageError)) console.error(error)
    throw error
  }
}

async function invoke(verb: Verb, rest: readonly string[], host: string): Promise<number> {
  const flags = verb.flags.some((f) => f.name === 'help')
    ? verb.flags
    : [...verb.flags, flag('bool', 'help', 'Print usage', { hidden: true })]
  try {
    if (verb.passThrough) return (await verb.run({ values: new Values([]), args: [...rest], engine: new Engine(host) })) ?? 0
    const { values, args } = parseFlags(rest, flags, verb.interspersed ?? true)
    if (values.bool('help') || (rest.includes('-h') && !flags.some((f) => f.short === 'h'))) {
      process.stdout.write((await import('./usage.js')).helpOf(verb))
      return 0
    }
    const [least, most] = verb.args
    if (args.length < least || args.length > most) throw new UsageError(countMessage(verb.name, least, most), 'arguments')
    return (await verb.run({ values, args, engine: new Engine(host) })) ?? 0
  } catch (error) {
    throw await explained(error, verb, rest)
  }
}

function countMessage(name: string, least: number, most: number): string {
  const plural = (n: number) => `${n} argument${n === 1 ? '' : 's'}`
  if (most === 0) return `'tsd ${name}' accepts no arguments`
  if (least === most) return `'tsd ${name}' requires ${plural(least)}`
  return most === Infinity ? `'tsd ${name}' requires at least ${plural(least)}` : `'tsd ${name}' requires at most ${plural(most)}`
}

/** Docker's wording around an error: prefix, usage line, hint. */
async function explained(error: unknown, verb: Verb, rest: readonly string[]): Promise<unknown> {
  if (error instanceof ExitStatus) return error
  const status = verb.failure ?? 1
  const hint = `Run 'tsd ${verb.name} --help' for more information`
  if (error instanceof UsageError && error.kind !== 'value') {
    const { usageOf } = await import('./usage.js')
    if (error.kind === 'arguments')
      return new ExitStatus(
        1,
        `tsd: ${error.message}\n\nUsage:  tsd ${usageOf(verb)}\n\n${verb.args[1] === Infinity ? 'See' : 'Run'} 'tsd ${verb.name} --help' for more information`,
      )
    if (rest.includes('-h')) return new ExitStatus(0, (await import('./usage.js')).helpOf(verb))
    return new ExitStatus(125, `${error.message}\n\nUsage:  tsd ${usageOf(verb)}\n\n${hint}`)
  }
  if (verb.hint) return new ExitStatus(status, `tsd: ${messageOf(error)}\n\n${hint}`)
  return new ExitStatus(status, messageOf(error))
}

/** Output to a closed pipe (`tsd ps | head`) ends us quietly, as it ends other commands. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 141 : 1))

try {
  process.exit(await main(process.argv.slice(2)))
} catch (error) {
  const code = error instanceof ExitStatus ? error.code : error instanceof UsageError ? 125 : 1
  const message =
    error instanceof UsageError && error.kind === 'flag'
      ? `${error.message}\n\nUsage:  tsd [OPTIONS] COMMAND [ARG...]\n\nRun 'tsd --help' for more information`
      : messageOf(error)
  if (message !== '') process.stderr.write(message.endsWith('\n') ? message : `${message}\n`)
  process.exit(code)
}

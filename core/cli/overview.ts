// `tsd` alone, `tsd --help`, `tsd volume`: what there is to choose from.
import { didYouMean } from '../base/near.js'
import type { Flag } from './flags.js'
import { ExitStatus } from './status.js'
import { flagHelp, width } from './usage.js'
import { aliases, verbs } from './verbs/index.js'
import { cliVersion } from './version.js'

const common = ['run', 'exec', 'ps', 'images', 'version', 'info', 'daemon', 'doctor']

export async function printVersion(): Promise<number> {
  process.stdout.write(`tsd version ${cliVersion()}\n`)
  return 0
}

const rows = (entries: readonly (readonly [string, string])[]): string => {
  const left = Math.max(...entries.map(([name]) => name.length))
  return entries.map(([name, summary]) => `  ${name.padEnd(left)}   ${summary}`).join('\n')
}

export async function overview(
  args: readonly string[],
  globalFlags: readonly Flag[],
  groups: Readonly<Record<string, string>>,
): Promise<number> {
  const words = args.filter((word) => !word.startsWith('-'))
  const [first, second] = words
  if (first !== undefined && Object.hasOwn(groups, first)) return group(first, second, groups)
  if (first !== undefined) {
    const near = didYouMean(first, [...Object.keys(verbs), ...Object.keys(groups)])
    throw new ExitStatus(1, `tsd: unknown command: tsd ${first}${near}\n\nRun 'tsd --help' for more information`)
  }
  const others = Object.keys(verbs).filter((name) => !common.includes(name) && !name.includes(' '))
  const summary = (name: string): [string, string] => [name, verbs[name]?.summary ?? '']
  process.stdout.write(
    `Usage:  tsd [OPTIONS] COMMAND\n\nA container engine built of drivers, speaking the Docker Engine API\n\nCommon Commands:\n${rows(common.map(summary))}\n\n` +
      `Management Commands:\n${rows(Object.entries(groups).toSorted())}\n\nCommands:\n${rows(others.map(summary))}\n\n` +
      `Global Options:\n${flagHelp(globalFlags, width())}\n\nThe socket is taken from -H, TSD_HOST or DOCKER_HOST, in this order.\nRun 'tsd COMMAND --help' for more information on a command.\n`,
  )
  return 0
}

function group(name: string, command: string | undefined, groups: Readonly<Record<string, string>>): number {
  if (command !== undefined) {
    const members = [...Object.keys(verbs), ...Object.keys(aliases)]
      .filter((v) => v.startsWith(`${name} `))
      .map((v) => v.slice(name.length + 1))
    throw new ExitStatus(
      1,
      `tsd: unknown command: tsd ${name} ${command}${didYouMean(command, members)}\n\nUsage:  tsd ${name} COMMAND\n\nRun 'tsd ${name} --help' for more information`,
    )
  }
  const own = Object.entries(verbs).filter(([verb]) => verb.startsWith(`${name} `))
  const borrowed = Object.entries(aliases).filter(([alias, verb]) => alias.startsWith(`${name} `) && !verb.startsWith(`${name} `))
  const entries = [
    ...own.map(([verb, e]) => [verb, e.summary] as const),
    ...borrowed.map(([alias, verb]) => [alias, verbs[verb]?.summary ?? ''] as const),
  ]
  const listed = entries.map(([verb, summary]) => [verb.slice(name.length + 1), summary] as const).toSorted()
  process.stderr.write(
    `Usage:  tsd ${name} COMMAND\n\n${groups[name]}\n\nCommands:\n${rows(listed)}\n\nRun 'tsd ${name} COMMAND --help' for more information on a command.\n`,
  )
  return 0
}

import { didYouMean } from '../base/near.js'
import { invalidParameter } from '../sdk/errors.js'
import { settings } from './config-schema.js'
import type { FlagValues } from './config.js'

/** A flag as `--help` prints it. */
export interface FlagRow {
  long: string
  short?: string
  /** Empty: a switch. */
  placeholder: string
  description: string
  default: string
}

/** Flags of the daemon that are no settings. */
const ownFlags: readonly FlagRow[] = [
  { long: 'config-file', placeholder: 'path', description: 'Configuration file of the daemon', default: '/etc/tsd/daemon.json' },
  { long: 'validate', placeholder: '', description: 'Check the configuration and exit', default: '' },
  { long: 'timings', placeholder: '', description: 'Print how long each step of the start took', default: '' },
  { long: 'trace-blocking', placeholder: '', description: 'Print every synchronous section over 1 ms, waits for a CPU apart', default: '' },
  { long: 'help', short: 'h', placeholder: '', description: 'Print this help and exit', default: '' },
  { long: 'version', short: 'v', placeholder: '', description: 'Print the version and exit', default: '' },
]

export interface DaemonFlags {
  values: FlagValues
  configFile: string | undefined
  validate: boolean
  timings: boolean
  traceBlocking: boolean
  help: boolean
  version: boolean
}

interface Known {
  row: FlagRow
  key: string | undefined
}

function knownFlags(): Known[] {
  const fromSettings = settings.flatMap((setting): Known[] => {
    if (setting.flag === undefined) return []
    const { placeholder } = setting.type
    const empty =
      setting.default === '' ||
      setting.default === false ||
      (typeof setting.default === 'object' && Object.keys(setting.default).length === 0)
    const row: FlagRow = {
      long: setting.flag,
      ...(setting.short === undefined ? {} : { short: setting.short }),
      placeholder,
      description: setting.description,
      default: empty ? '' : Array.isArray(setting.default) ? setting.default.join(',') : String(setting.default),
    }
    return [{ row, key: setting.key }]
  })
  return [...fromSettings, ...ownFlags.map((row) => ({ row, key: undefined }))]
}

export function flagRows(): FlagRow[] {
  return knownFlags().map((known) => known.row)
}

/** Reads the daemon's command line as dockerd's parser does: `--mtu 1500`, `--mtu=1500`, `-Hunix:///x`, `-D`, `--debug=false`. */
export function parseFlags(args: readonly string[]): DaemonFlags {
  const known = knownFlags()
  const values: FlagValues = {}
  const own: Record<string, string> = {}
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] as string
    const { found, value: attached, shown } = find(arg, known)
    let value = attached
    if (value === undefined) {
      if (found.row.placeholder === '') value = ''
      else {
        value = args[++index]
        if (value === undefined) throw invalidParameter(`flag needs an argument: ${shown}`)
      }
    }
    if (found.key === undefined) own[found.row.long] = value
    else (values[found.key] ??= []).push(value)
  }
  const on = (name: string): boolean => own[name] !== undefined && !['false', '0', 'f'].includes(own[name].toLowerCase())
  return {
    values,
    configFile: own['config-file'],
    validate: on('validate'),
    timings: on('timings'),
    traceBlocking: on('trace-blocking'),
    help: on('help'),
    version: on('version'),
  }
}

function find(arg: string, known: Known[]): { found: Known; value: string | undefined; shown: string } {
  if (arg.startsWith('--') && arg.length > 2) {
    const equals = arg.indexOf('=')
    const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals)
    const found = known.find(({ row }) => row.long === name)
    if (found === undefined) {
      throw invalidParameter(
        `unknown flag: --${name}${didYouMean(
          name,
          known.map(({ row }) => row.long),
        )}`,
      )
    }
    return { found, value: equals < 0 ? undefined : arg.slice(equals + 1), shown: `--${name}` }
  }
  if (arg.startsWith('-') && arg.length > 1) {
    const name = arg[1] as string
    const found = known.find(({ row }) => row.short === name)
    if (found === undefined) throw invalidParameter(`unknown shorthand flag: '${name}' in ${arg}`)
    const rest = arg.slice(2).replace(/^=/, '')
    return { found, value: rest === '' ? undefined : rest, shown: `-${name}` }
  }
  throw invalidParameter(`"tsd daemon" accepts no arguments, got ${JSON.stringify(arg)}`)
}

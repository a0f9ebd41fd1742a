// Flags as Go's pflag reads them, because scripts are written against that: -itd, -p80:80, -p=80:80, --rm=false, `--`, and its error words.
import { UsageError } from './status.js'

export type FlagKind = 'bool' | 'string' | 'list' | 'strings' | 'map' | 'int' | 'uint' | 'duration' | 'bytes' | 'decimal' | 'rest'

export interface Flag {
  name: string
  short?: string
  kind: FlagKind
  help: string
  /** How the value is called in the help when it is not the kind's own name. */
  value?: string
  /** As shown in the help; for bool, int and string also the value when the flag is absent. */
  default?: string
  /** Checks one value; the returned text is the reason of the refusal. */
  check?: (value: string) => string | undefined
  /** Why the flag, known to Docker, is refused here. */
  refused?: string
  hidden?: boolean
}

export const flag = (kind: FlagKind, names: string, help: string, more: Partial<Flag> = {}): Flag => {
  const [short, long] = names.includes(',') ? names.split(',') : [undefined, names]
  return { kind, name: long as string, help, ...(short ? { short } : {}), ...more }
}

/** What was given on the command line. */
export class Values {
  private readonly given = new Map<string, string[]>()

  constructor(private readonly flags: readonly Flag[]) {}

  add(flag: Flag, value: string): void {
    const before = this.given.get(flag.name)
    const parts = flag.kind === 'strings' ? splitCommas(value) : [value]
    const repeats = flag.kind === 'list' || flag.kind === 'strings' || flag.kind === 'map' || flag.kind === 'rest'
    this.given.set(flag.name, before && repeats ? [...before, ...parts] : parts)
  }
  has(name: string): boolean {
    return this.given.has(name)
  }
  bool(name: string): boolean {
    return goBool(this.last(name) ?? 'false') ?? false
  }
  string(name: string): string {
    return this.last(name) ?? ''
  }
  int(name: string): number {
    return Number(this.last(name) ?? 0)
  }
  list(name: string): string[] {
    return this.given.get(name) ?? []
  }
  private last(name: string): string | undefined {
    return this.given.get(name)?.at(-1) ?? this.flags.find((f) => f.name === name)?.default
  }
}

export interface Parsed {
  values: Values
  args: string[]
}

/** `interspersed: false` stops at the first argument that is no flag, as run and exec need it. */
export function parseFlags(argv: readonly string[], flags: readonly Flag[], interspersed = true): Parsed {
  const values = new Values(flags)
  const args: string[] = []
  const rest = [...argv]
  while (rest.length > 0) {
    const word = rest.shift() as string
    if (word === '--') {
      args.push(...rest)
      break
    }
    if (word.startsWith('--')) longFlag(word, rest, flags, values)
    else if (word.startsWith('-') && word !== '-') shortFlags(word, rest, flags, values)
    else {
      args.push(word)
      if (interspersed) continue
      args.push(...rest)
      break
    }
  }
  return { values, args }
}

function longFlag(word: string, rest: string[], flags: readonly Flag[], values: Values): void {
  const equals = word.indexOf('=')
  const name = word.slice(2, equals < 0 ? undefined : equals)
  if (name === '' || name.startsWith('-')) throw new UsageError(`bad flag syntax: ${word}`, 'flag')
  const found = flags.find((f) => f.name === name)
  if (!found) throw new UsageError(`unknown flag: --${name}`, 'flag')
  if (equals >= 0) return accept(found, word.slice(equals + 1), values)
  if (found.kind === 'bool') return accept(found, 'true', values)
  const value = rest.shift()
  if (value === undefined) throw new UsageError(`flag needs an argument: --${name}`, 'flag')
  accept(found, value, values)
}

function shortFlags(word: string, rest: string[], flags: readonly Flag[], values: Values): void {
  for (let letters = word.slice(1); letters !== '';) {
    const letter = letters.charAt(0)
    const found = flags.find((f) => f.short === letter)
    if (!found) throw new UsageError(`unknown shorthand flag: '${letter}' in -${letters}`, 'flag')
    const after = letters.slice(1)
    if (after.startsWith('=')) return accept(found, after.slice(1), values)
    if (found.kind === 'bool') {
      accept(found, 'true', values)
      letters = after
      continue
    }
    const value = after !== '' ? after : rest.shift()
    if (value === undefined) throw new UsageError(`flag needs an argument: '${letter}' in -${letters}`, 'flag')
    return accept(found, value, values)
  }
}

function accept(flag: Flag, value: string, values: Values): void {
  const name = flag.short ? `-${flag.short}, --${flag.name}` : `--${flag.name}`
  if (flag.refused !== undefined) throw new UsageError(`flag --${flag.name} is not supported: ${flag.refused}`, 'flag')
  const reason = flag.check?.(value) ?? checkKind(flag.kind, value)
  if (reason !== undefined) throw new UsageError(`invalid argument ${JSON.stringify(value)} for "${name}" flag: ${reason}`, 'flag')
  values.add(flag, value)
}

function checkKind(kind: FlagKind, value: string): string | undefined {
  switch (kind) {
    case 'bool':
      return goBool(value) === undefined ? `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax` : undefined
    case 'int':
      return /^[+-]?\d+$/.test(value) ? undefined : `strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`
    case 'uint':
      return /^\d+$/.test(value) ? undefined : `strconv.ParseUint: parsing ${JSON.stringify(value)}: invalid syntax`
    case 'map':
      return value.includes('=') ? undefined : 'invalid key value pair: expected KEY=VALUE'
    default:
      return undefined
  }
}

function goBool(value: string): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value)) return true
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(value)) return false
  return undefined
}

/** One CSV record: commas separate, double quotes protect. */
export function splitCommas(text: string): string[] {
  if (text === '') return []
  if (!text.includes('"')) return text.split(',')
  const fields: string[] = []
  let field = ''
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i)
    if (quoted) {
      if (c !== '"') field += c
      else if (text.charAt(i + 1) === '"') field += text.charAt(i++)
      else quoted = false
    } else if (c === '"' && field === '') quoted = true
    else if (c === ',') {
      fields.push(field)
      field = ''
    } else field += c
  }
  return [...fields, field]
}

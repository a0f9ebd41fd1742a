import { didYouMean } from '../../../base/near.js'
import { syntaxError } from './source.js'

/** `--name=value` of one instruction, in the order they are written. */
export class Flags {
  private readonly given: readonly [name: string, value: string][]

  constructor(given: readonly [name: string, value: string][]) {
    this.given = given
  }

  one(name: string): string | undefined {
    return this.given.find(([key]) => key === name)?.[1]
  }

  all(name: string): string[] {
    return this.given.filter(([key]) => key === name).map(([, value]) => value)
  }
}

/** Those that may be given more than once. */
const repeated = new Set(['mount', 'exclude'])
/** Those that need no value. */
const switches = new Set(['link', 'parents', 'keep-git-dir', 'unpack'])

/** Takes the flags off the front of an instruction's arguments. */
export function takeFlags(
  text: string,
  escape: string,
  instruction: string,
  names: readonly string[],
  line: number,
): { flags: Flags; rest: string } {
  const given: [string, string][] = []
  let at = 0
  for (;;) {
    while (text[at] === ' ' || text[at] === '\t') at++
    if (!text.startsWith('--', at)) break
    let word = ''
    let quote = ''
    for (; at < text.length; at++) {
      const c = text[at] as string
      if (quote === '' && (c === ' ' || c === '\t')) break
      if (c === escape && at + 1 < text.length) word += text[++at] as string
      else if (quote !== '' && c === quote) quote = ''
      else if (quote === '' && (c === '"' || c === "'")) quote = c
      else word += c
    }
    if (word === '--') break
    const equals = word.indexOf('=')
    const name = word.slice(2, equals < 0 ? undefined : equals)
    if (!names.includes(name)) throw syntaxError(line, `unknown flag: --${name}${didYouMean(name, names)}`)
    if (equals < 0 && !switches.has(name)) throw syntaxError(line, `missing a value on flag: --${name}`)
    if (!repeated.has(name) && given.some(([key]) => key === name))
      throw syntaxError(line, `duplicate flag specified: --${name} of ${instruction}`)
    given.push([name, equals < 0 ? 'true' : word.slice(equals + 1)])
  }
  return { flags: new Flags(given), rest: text.slice(at) }
}

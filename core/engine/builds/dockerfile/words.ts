// Words, quotes and variables, as a Dockerfile has them: a part of the shell's language.
import { invalidParameter } from '../../../sdk/errors.js'

export type Variables = ReadonlyMap<string, string>

const isSpace = (c: string): boolean => c === ' ' || c === '\t' || c === '\n' || c === '\r'

/** Words at white space outside quotes. Quotes, escapes and variables stay as they are written. */
export function rawWords(text: string, escape: string): string[] {
  const words: string[] = []
  let word = ''
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const c = text[at] as string
    if (c === escape && quote !== "'" && at + 1 < text.length) word += c + (text[++at] as string)
    else if (quote !== '') {
      word += c
      if (c === quote) quote = ''
    } else if (isSpace(c)) {
      if (word !== '') words.push(word)
      word = ''
    } else {
      if (c === '"' || c === "'") quote = c
      word += c
    }
  }
  if (word !== '') words.push(word)
  return words
}

/** Shell patterns of `#`, `%` and `/` to a matcher of whole texts, in time that is bounded by both lengths. */
function matcher(pattern: string, escape: string): (text: string) => boolean {
  const tokens: { any?: true; one?: true; c?: string }[] = []
  for (let at = 0; at < pattern.length; at++) {
    const c = pattern[at] as string
    if (c === '*') tokens.push({ any: true })
    else if (c === '?') tokens.push({ one: true })
    else tokens.push({ c: c === escape && at + 1 < pattern.length ? (pattern[++at] as string) : c })
  }
  return (text) => {
    let [p, t, star, mark] = [0, 0, -1, 0]
    while (t < text.length) {
      const token = tokens[p]
      if (token?.any) {
        star = p++
        mark = t
      } else if (token?.one || (token !== undefined && token.c === text[t])) {
        p++
        t++
      } else if (star >= 0) {
        p = star + 1
        t = ++mark
      } else return false
    }
    while (tokens[p]?.any) p++
    return p === tokens.length
  }
}

/** What variables may make of one word, a here-document included: they could double with every line. */
const longestWord = 1 << 20

function checkLength(length: number): void {
  if (length > longestWord) throw invalidParameter(`variables make a word of more than ${longestWord} characters`)
}

function bounded(text: string): string {
  checkLength(text.length)
  return text
}

/** Values that patterns are tried on have an end: trying every part of them costs its square. */
const longestTried = 4096

function strip(value: string, pattern: string, operator: string, escape: string): string {
  if (value.length > longestTried) throw invalidParameter(`a value of ${value.length} characters is too long for \${x${operator}...}`)
  const matches = matcher(pattern, escape)
  const lengths = Array.from({ length: value.length + 1 }, (_, length) => length)
  if (operator.length === 2) lengths.reverse()
  const front = operator.startsWith('#')
  const hit = lengths.find((length) => matches(front ? value.slice(0, length) : value.slice(value.length - length)))
  if (hit === undefined) return value
  return front ? value.slice(hit) : value.slice(0, value.length - hit)
}

function replaced(value: string, pattern: string, by: string, all: boolean, escape: string): string {
  if (value.length > longestTried) throw invalidParameter(`a value of ${value.length} characters is too long for \${x/...}`)
  if (pattern === '') return value
  const matches = matcher(pattern, escape)
  let result = ''
  for (let at = 0; at < value.length;) {
    let end = value.length
    while (end > at && !matches(value.slice(at, end))) end--
    if (end === at) result += value[at++] as string
    else {
      result = bounded(result + by)
      at = end
      if (!all) return result + value.slice(at)
    }
  }
  return result
}

class Expansion {
  private at = 0
  readonly words: string[] = []
  private readonly text: string
  private readonly variables: Variables
  private readonly escape: string

  constructor(text: string, variables: Variables, escape: string) {
    this.text = text
    this.variables = variables
    this.escape = escape
  }

  /** The whole text as one word, and the same cut at white space that no quote protects. */
  run(): { word: string; words: string[] } {
    const pieces = this.pieces('')
    const words: string[] = []
    let open: string | undefined
    for (const { text, quoted } of pieces) {
      if (quoted) {
        open = (open ?? '') + text
        continue
      }
      for (const part of text.split(/([ \t\r\n]+)/)) {
        if (part === '') continue
        if (/^[ \t\r\n]/.test(part)) {
          if (open !== undefined) words.push(open)
          open = undefined
        } else open = (open ?? '') + part
      }
    }
    if (open !== undefined) words.push(open)
    return { word: bounded(pieces.map(({ text }) => text).join('')), words }
  }

  private fail(why: string): never {
    throw invalidParameter(`failed to process "${this.text}": ${why}`)
  }

  private pieces(stop: string): { text: string; quoted: boolean }[] {
    const found: { text: string; quoted: boolean }[] = []
    let size = 0
    while (this.at < this.text.length) {
      size += found.at(-1)?.text.length ?? 0
      checkLength(size)
      const c = this.text[this.at] as string
      if (stop !== '' && stop.includes(c)) return found
      this.at++
      if (c === "'") found.push({ text: this.single(), quoted: true })
      else if (c === '"') found.push({ text: this.double(), quoted: true })
      else if (c === '$') found.push({ text: this.dollar(), quoted: false })
      else if (c === this.escape) {
        const next = this.text[this.at++]
        found.push({ text: next ?? '', quoted: true })
      } else found.push({ text: c, quoted: false })
    }
    if (stop.includes('}')) this.fail(`unexpected end of statement while looking for matching }`)
    return found
  }

  private single(): string {
    const end = this.text.indexOf("'", this.at)
    if (end < 0) this.fail('unexpected end of statement while looking for matching single-quote')
    const text = this.text.slice(this.at, end)
    this.at = end + 1
    return text
  }

  private double(): string {
    let result = ''
    for (;;) {
      const c = this.text[this.at++]
      if (c === undefined) this.fail('unexpected end of statement while looking for matching double-quote')
      if (c === '"') return result
      if (c === '$') result = bounded(result + this.dollar())
      else if (c === this.escape) {
        const next = this.text[this.at]
        if (next === undefined) this.fail('unexpected end of statement while looking for matching double-quote')
        // Others keep their escape.
        if (next === '"' || next === '$' || next === this.escape) this.at++
        result += next === '"' || next === '$' || next === this.escape ? next : c
      } else result += c
    }
  }

  private name(): string {
    const special = /^[@*#?\-$!0-9]/.exec(this.text.slice(this.at, this.at + 1))
    const found = special ?? /^[A-Za-z_][A-Za-z0-9_]*/.exec(this.text.slice(this.at))
    const name = found?.[0] ?? ''
    this.at += name.length
    return name
  }

  private dollar(): string {
    if (this.text[this.at] !== '{') {
      const name = this.name()
      return name === '' ? '$' : (this.variables.get(name) ?? '')
    }
    this.at++
    if (this.text[this.at] === '}') this.fail('bad substitution')
    const name = this.name()
    if (name === '') this.fail('unsupported modifier in substitution')
    const value = this.variables.get(name)
    const c = this.text[this.at++]
    if (c === '}') return value ?? ''
    if (c === undefined) this.fail('syntax error: missing }')
    if (c === ':' || '+-?'.includes(c)) return this.conditional(name, value, c)
    if (c === '#' || c === '%') {
      const twice = this.text[this.at] === c
      if (twice) this.at++
      const pattern = this.operand('}')
      this.at++
      return strip(value ?? '', pattern, twice ? c + c : c, this.escape)
    }
    if (c === '/') {
      const all = this.text[this.at] === '/'
      if (all) this.at++
      const pattern = this.operand('/}')
      const by = this.text[this.at++] === '/' ? this.operand('}') : undefined
      if (by === undefined) this.fail('syntax error: missing / in ${x/pattern/replacement}')
      this.at++
      return replaced(value ?? '', pattern, by, all, this.escape)
    }
    return this.fail(`unsupported modifier (${c}) in substitution`)
  }

  private conditional(name: string, value: string | undefined, first: string): string {
    const empty = first === ':' ? value === undefined || value === '' : value === undefined
    const modifier = first === ':' ? (this.text[this.at++] ?? '') : first
    const operand = this.operand('}')
    this.at++
    if (modifier === '+') return empty ? '' : operand
    if (modifier === '-') return empty ? operand : (value as string)
    if (modifier === '?') {
      if (empty) this.fail(`${name}: ${operand === '' ? (value === undefined ? 'not set' : 'not allowed to be empty') : operand}`)
      return value as string
    }
    return this.fail(`unsupported modifier (:${modifier}) in substitution`)
  }

  private operand(stop: string): string {
    return this.pieces(stop)
      .map(({ text }) => text)
      .join('')
  }
}

/** One word: quotes are taken off, variables replaced. */
export function expandWord(text: string, variables: Variables, escape: string): string {
  return new Expansion(text, variables, escape).run().word
}

/** As many words as come out when variables hold white space. */
export function expandWords(text: string, variables: Variables, escape: string): string[] {
  return new Expansion(text, variables, escape).run().words
}

/** Variables in a here-document: quotes mean nothing there. */
export function expandText(text: string, variables: Variables, escape: string): string {
  let result = ''
  for (let at = 0; at < text.length;) {
    const next = text.slice(at).search(escape === '\\' ? /[\\$]/ : /[`$]/)
    if (next < 0) return result + text.slice(at)
    result += text.slice(at, at + next)
    at += next
    if (text[at] === escape) {
      const after = text[at + 1]
      if (after === '\n') at += 2
      else {
        result += after === '$' || after === escape ? after : `${escape}${after ?? ''}`
        at += 2
      }
      continue
    }
    const simple = /^\$(?:[A-Za-z_][A-Za-z0-9_]*|[@*#?\-$!0-9])/.exec(text.slice(at, at + 512))?.[0]
    const whole = text[at + 1] === '{' ? `\${${closedAt(text, at + 2)}` : (simple ?? '$')
    result = bounded(result + (whole === '$' ? '$' : expandWord(whole, variables, escape)))
    at += whole.length
  }
  return result
}

/** The rest of a `${`, its closing brace included. */
function closedAt(text: string, from: number): string {
  let depth = 1
  for (let at = from; at < text.length; at++) {
    if (text[at] === '{') depth++
    else if (text[at] === '}' && --depth === 0) return text.slice(from, at + 1)
  }
  return text.slice(from)
}

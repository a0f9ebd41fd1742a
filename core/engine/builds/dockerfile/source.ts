// A Dockerfile's text, cut into instructions: directives, comments, continued lines and here-documents.
import { invalidParameter } from '../../../sdk/errors.js'
import { rawWords } from './words.js'

export interface Heredoc {
  name: string
  content: string
  /** False when its name was quoted: variables stay as they are written. */
  expands: boolean
}

export interface SourceLine {
  /** First line, counted from 1. */
  number: number
  /** Continued lines joined, as progress shows it. */
  text: string
  heredocs: Heredoc[]
}

export interface Source {
  escape: string
  lines: SourceLine[]
}

const maxLine = 1 << 20

export const syntaxError = (line: number, why: string): Error => invalidParameter(`dockerfile parse error line ${line}: ${why}`)

const directive = /^#[ \t]*([a-zA-Z][a-zA-Z0-9]*)[ \t]*=(.+)$/

/** Directives stand before anything else. `syntax` and `check` speak to other builders. */
function readDirectives(lines: string[]): { escape: string; next: number } {
  const seen = new Map<string, string>()
  let next = 0
  for (; next < lines.length; next++) {
    const [, key = '', value = ''] = directive.exec(lines[next] ?? '') ?? []
    const name = key.toLowerCase()
    if (!['escape', 'syntax', 'check'].includes(name)) break
    if (seen.has(name)) throw syntaxError(next + 1, `only one ${name} parser directive can be used`)
    seen.set(name, value.trim())
  }
  const escape = seen.get('escape') ?? '\\'
  if (escape !== '\\' && escape !== '`') throw syntaxError(1, `invalid ESCAPE '${escape}'. Must be \` or \\`)
  return { escape, next }
}

/** The line without the escape that continues it, or undefined when it ends there. */
function continued(line: string, escape: string): string | undefined {
  const trimmed = line.trimEnd()
  return trimmed.endsWith(escape) && trimmed.at(-2) !== escape ? trimmed.slice(0, -1) : undefined
}

const takesHeredocs = /^(?:ONBUILD[ \t]+)?(?:RUN|COPY|ADD)[ \t]/i
const heredocWord = /^\d*<<(-?)([^<]+)$/

function readHeredocs(lines: string[], text: string, number: number, from: number, escape: string): { heredocs: Heredoc[]; next: number } {
  const heredocs: Heredoc[] = []
  let next = from
  if (!takesHeredocs.test(text)) return { heredocs, next }
  for (const word of rawWords(text, escape)) {
    const [, chomp, quoted] = heredocWord.exec(word) ?? []
    if (quoted === undefined) continue
    const name = quoted.replace(/["'\\]/g, '')
    if (name === '') continue
    const content: string[] = []
    for (;;) {
      const line = lines[next++]
      if (line === undefined) throw syntaxError(number, `unterminated heredoc ${name}`)
      const plain = chomp === '-' ? line.replace(/^\t+/, '') : line
      if (plain === name) break
      content.push(plain)
    }
    heredocs.push({ name, content: content.map((line) => `${line}\n`).join(''), expands: name === quoted })
  }
  return { heredocs, next }
}

export function readSource(file: string): Source {
  const lines = file.replace(/^\uFEFF/, '').split(/\r?\n/)
  const { escape, next: start } = readDirectives(lines)
  const found: SourceLine[] = []
  const skipped = (line: string): boolean => /^[ \t]*(#.*)?$/.test(line)
  for (let at = start; at < lines.length;) {
    const number = at + 1
    const first = lines[at++] as string
    if (skipped(first)) continue
    let text = ''
    let more: string | undefined = first.trimStart()
    while (more !== undefined) {
      const part: string | undefined = continued(more, escape)
      text += part ?? more
      if (text.length > maxLine) throw syntaxError(number, `the instruction is longer than ${maxLine} characters`)
      more = undefined
      if (part === undefined) break
      while (at < lines.length && skipped(lines[at] as string)) at++
      more = lines[at++]
    }
    text = text.trimEnd()
    if (text === '') continue
    const { heredocs, next } = readHeredocs(lines, text, number, at, escape)
    at = next
    found.push({ number, text, heredocs })
  }
  return { escape, lines: found }
}

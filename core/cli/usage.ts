// Help in the form of Docker's: flags in two columns, wrapped to the terminal.
import type { Flag } from './flags.js'
import type { Verb } from './verb.js'

const valueNames: Record<string, string> = {
  list: 'list',
  strings: 'strings',
  map: 'map',
  int: 'int',
  uint: 'uint',
  duration: 'duration',
  bytes: 'bytes',
  decimal: 'decimal',
  string: 'string',
}

export const width = (): number => process.stdout.columns || Number(process.env.COLUMNS) || 80

export function helpOf(verb: Verb): string {
  const lines = [`Usage:  tsd ${usageOf(verb)}`, '', verb.summary]
  if (verb.aliases) lines.push('', 'Aliases:', `  ${verb.aliases.map((a) => `tsd ${a}`).join(', ')}`)
  if (verb.flags.some((f) => !f.hidden)) lines.push('', 'Options:', flagHelp(verb.flags, width()))
  if (verb.notes) lines.push('', verb.notes)
  return lines.join('\n') + '\n'
}

export const usageOf = (verb: Verb): string => `${verb.name}${verb.usage ? ` ${verb.usage}` : ''}`

export function flagHelp(flags: readonly Flag[], columns: number): string {
  const rows = flags
    .filter((f) => !f.hidden)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((f): [string, string] => {
      const value = f.kind === 'bool' ? '' : ` ${f.value ?? valueNames[f.kind] ?? 'string'}`
      const shown = f.default === undefined || f.default === '' || (f.kind === 'bool' && f.default === 'false') ? '' : f.default
      const quoted = f.kind === 'string' ? JSON.stringify(shown) : shown
      return [`  ${f.short ? `-${f.short}, ` : '    '}--${f.name}${value}`, f.help + (shown ? ` (default ${quoted})` : '')]
    })
  const left = Math.max(...rows.map(([name]) => name.length)) + 3
  return rows.map(([name, help]) => name.padEnd(left) + wrap(help, Math.max(24, columns - left), left)).join('\n')
}

function wrap(text: string, columns: number, indent: number): string {
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    let line = ''
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > columns) {
        lines.push(line)
        line = word
      } else line = line === '' ? word : `${line} ${word}`
    }
    lines.push(line)
  }
  return lines.join('\n' + ' '.repeat(indent))
}

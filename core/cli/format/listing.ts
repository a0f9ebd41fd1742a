// Lists: a table with Docker's column rules, `--format json`, or a template.
import { flag } from '../flags.js'
import { messageOf } from '../status.js'
import type { TemplateFunction } from '../template/functions.js'

export type Row = Record<string, unknown>

export interface Listing {
  /** Header of every field that a row has. */
  headers: Readonly<Record<string, string>>
  /** Fields of the default table. */
  columns: readonly string[]
  rows: readonly Row[]
  format: string
  /** The one field that `-q` prints. */
  quiet?: string | undefined
}

const minimumWidth = 10
const padding = 3

/** Terminal cells of a text. The library that knows all of Unicode takes 30 ms to load: only text that needs it pays. */
async function measure(lines: readonly string[]): Promise<(text: string) => number> {
  if (lines.every((line) => /^[\t\x20-\x7e…]*$/.test(line))) return (text) => text.length
  const { default: stringWidth } = await import('string-width')
  return stringWidth
}

/** Cells of one column are as wide as the widest; the last column is not padded. */
export async function layOut(lines: readonly string[], minimum = minimumWidth): Promise<string> {
  const width = await measure(lines)
  const cells = lines.map((line) => line.split('\t').map((cell) => ({ cell, size: width(cell) })))
  const widths: number[] = []
  for (const row of cells) row.slice(0, -1).forEach(({ size }, i) => (widths[i] = Math.max(widths[i] ?? minimum, size + padding)))
  return cells
    .map(
      (row) =>
        row.map(({ cell, size }, i) => (i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] as number) - size))).join('') + '\n',
    )
    .join('')
}

const text = (value: unknown): string => String(typeof value === 'function' ? (value as () => unknown)() : (value ?? ''))

export async function renderListing(list: Listing): Promise<string> {
  const { format, rows, headers } = list
  if (list.quiet !== undefined && (format === '' || format === 'table'))
    return rows.map((row) => text(row[list.quiet as string]) + '\n').join('')
  if (format === '' || format === 'table') {
    const lines = [
      list.columns.map((c) => headers[c] ?? c),
      ...rows.map((row) => list.columns.map((c) => text(row[c]).replace(/[\t\n]/g, ' '))),
    ]
    return layOut(lines.map((cells) => cells.join('\t')))
  }
  if (format === 'json') return rows.map((row) => `${rowJson(row)}\n`).join('')
  const { compile } = await import('../template/execute.js')
  const isTable = /^table\b/.test(format)
  const source = (isTable ? format.slice(5).trim() : format).replaceAll('\\t', '\t').replaceAll('\\n', '\n')
  const template = attempt('parse', () => compile(source, { json: (v) => (isRow(v) ? rowJson(v) : JSON.stringify(v ?? null)) }))
  const lines = rows.map((row) => attempt('execute', () => template.render(row)))
  if (!isTable) return lines.map((line) => line + '\n').join('')
  const label = (name: unknown) => String(name).split('.').at(-1)?.replace(/[-_]/g, ' ')
  const header = compile(source, headerFunctions).render({ ...headers, Label: label })
  return layOut([header, ...lines])
}

function attempt<T>(what: 'parse' | 'execute', run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw new Error(`failed to ${what} template: ${messageOf(error)}`)
  }
}

const isRow = (value: unknown): value is Row => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Docker prints a row's fields sorted, as strings, safe for HTML; methods are left out. */
function rowJson(row: Row): string {
  const entries = Object.entries(row).filter(([, value]) => typeof value !== 'function')
  const json = JSON.stringify(Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1))))
  return json.replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`)
}

const same: TemplateFunction = (value) => value
const headerFunctions: Readonly<Record<string, TemplateFunction>> = {
  json: same,
  upper: same,
  lower: same,
  title: same,
  split: same,
  join: same,
  truncate: same,
  pad: same,
  println: same,
}

const filterCheck = (value: string) => (value.includes('=') ? undefined : 'bad format of filter (expected name=value)')
export const filterFlag = (help: string, names = 'f,filter') => flag('list', names, help, { value: 'filter', check: filterCheck })

/** `--filter a=b --filter c=d` as the API takes it. */
export function filterQuery(filters: readonly string[]): string | undefined {
  if (filters.length === 0) return undefined
  const out: Record<string, Record<string, boolean>> = {}
  for (const filter of filters) {
    const equals = filter.indexOf('=')
    const name = filter.slice(0, equals).trim().toLowerCase()
    out[name] = { ...out[name], [filter.slice(equals + 1).trim()]: true }
  }
  return JSON.stringify(out)
}

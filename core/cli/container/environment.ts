import fs from 'node:fs'
import { UsageError } from '../status.js'

function linesOf(file: string): string[] {
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch {
    throw new UsageError(`open ${file}: no such file or directory`)
  }
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

function nameOf(line: string, file: string): string {
  const name = line.split('=', 1)[0] as string
  if (name === '') throw new UsageError(`poorly formatted environment file (${file}): no variable name on line '${line}'`)
  if (/\s/.test(name)) throw new UsageError(`poorly formatted environment file (${file}): variable '${name}' contains whitespaces`)
  return name
}

/** `--env-file` and `-e`: a bare name takes its value from here. In a file an unset one is dropped, on the command line it is passed on (and unsets). */
export function environmentOf(files: readonly string[], given: readonly string[]): string[] {
  const fromFiles = files.flatMap((file) =>
    linesOf(file).flatMap((line) => {
      const name = nameOf(line, file)
      if (line.includes('=')) return [line]
      const value = process.env[name]
      return value === undefined ? [] : [`${name}=${value}`]
    }),
  )
  const fromFlags = given.map((entry) => {
    if (entry.includes('=')) return entry
    const value = process.env[entry]
    return value === undefined ? entry : `${entry}=${value}`
  })
  return [...fromFiles, ...fromFlags]
}

/** `--label-file` and `--label`. */
export function labelsOf(files: readonly string[], given: readonly string[]): Record<string, string> {
  const fromFiles = files.flatMap((file) => linesOf(file).filter((line) => nameOf(line, file) !== '' && line.includes('=')))
  return pairs([...fromFiles, ...given])
}

export function pairs(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf('=')
      return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)]
    }),
  )
}

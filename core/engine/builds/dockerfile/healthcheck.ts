import { parseDuration } from '../../../base/duration.js'
import type { ImageRuntimeConfig } from '../../images/index.js'
import type { Flags } from './flags.js'
import { jsonList } from './json-form.js'
import { syntaxError } from './source.js'

export type Healthcheck = NonNullable<ImageRuntimeConfig['Healthcheck']>

function interval(flags: Flags, name: string, line: number): number {
  const text = flags.one(name)
  if (text === undefined) return 0
  let value: number
  try {
    value = Number(parseDuration(text))
  } catch {
    throw syntaxError(line, `Interval ${JSON.stringify(name)}: invalid duration ${JSON.stringify(text)}`)
  }
  if (value < 0) throw syntaxError(line, `Interval ${JSON.stringify(name)} cannot be negative`)
  if (value !== 0 && value < 1_000_000) throw syntaxError(line, `Interval ${JSON.stringify(name)} cannot be less than 1ms`)
  return value
}

export function parseHealthcheck(text: string, flags: Flags, line: number): Healthcheck {
  const [, word = '', rest = ''] = /^(\S+)[ \t]*([\s\S]*)$/.exec(text) ?? []
  const kind = word.toUpperCase()
  if (kind === 'NONE') {
    if (rest !== '') throw syntaxError(line, 'HEALTHCHECK NONE takes no arguments')
    return { Test: ['NONE'] }
  }
  if (kind !== 'CMD') throw syntaxError(line, `Unknown type ${JSON.stringify(word)} in HEALTHCHECK (try CMD)`)
  if (rest === '') throw syntaxError(line, 'Missing command after HEALTHCHECK CMD')
  const exec = jsonList(rest)
  const retries = flags.one('retries') ?? '0'
  if (!/^\d{1,9}$/.test(retries)) throw syntaxError(line, `--retries must be at least 1 (not ${retries})`)
  const given = {
    Interval: interval(flags, 'interval', line),
    Timeout: interval(flags, 'timeout', line),
    StartPeriod: interval(flags, 'start-period', line),
    StartInterval: interval(flags, 'start-interval', line),
    Retries: Number(retries),
  }
  return {
    Test: exec === undefined ? ['CMD-SHELL', rest] : ['CMD', ...exec],
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== 0)),
  }
}

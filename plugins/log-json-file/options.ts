import { invalidParameter, messageOf, parseDecimalSize, type LogInfo } from 'tsd-engine/sdk'
import { checkTag, renderTag } from './tag.js'

export interface JsonFileOptions {
  /** Bytes; 0: never rotate. */
  maxSize: number
  maxFile: number
  compress: boolean
}

const known = new Set(['max-size', 'max-file', 'compress', 'labels', 'labels-regex', 'env', 'env-regex', 'tag'])

const booleans: Record<string, boolean> = {
  ...Object.fromEntries(['1', 't', 'T', 'TRUE', 'true', 'True'].map((text) => [text, true])),
  ...Object.fromEntries(['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false])),
}

/** Checks every option, not only its name: what `docker create` accepts, `docker start` carries out. */
export function parseOptions(config: Record<string, string>): JsonFileOptions {
  const unknown = Object.keys(config).find((key) => !known.has(key))
  if (unknown !== undefined) throw invalidParameter(`unknown log opt '${unknown}' for json-file log driver`)
  const maxSize = size(config['max-size'])
  const maxFile = count(config['max-file'])
  const compress = flag(config.compress)
  if (compress && (maxFile < 2 || maxSize <= 0))
    throw invalidParameter('compress cannot be true when max-file is less than 2 or max-size is not set')
  pattern('labels-regex', config['labels-regex'])
  pattern('env-regex', config['env-regex'])
  if (config.tag !== undefined) checkTag(config.tag)
  return { maxSize, maxFile, compress }
}

function size(text: string | undefined): number {
  if (text === undefined || text === '-1') return 0
  const bytes = parseDecimalSize(text)
  if (bytes <= 0) throw invalidParameter(`max-size must be a positive number, not '${text}'`)
  return bytes
}

function count(text: string | undefined): number {
  if (text === undefined) return 1
  if (!/^[+-]?\d{1,9}$/.test(text)) throw invalidParameter(`max-file must be a number, not '${text}'`)
  const files = Number(text)
  if (files < 1) throw invalidParameter('max-file cannot be less than 1')
  return files
}

function flag(text: string | undefined): boolean {
  if (text === undefined) return false
  const value = booleans[text]
  if (value === undefined) throw invalidParameter(`compress must be true or false, not '${text}'`)
  return value
}

function pattern(option: string, text: string | undefined): RegExp | undefined {
  if (text === undefined || text === '') return undefined
  try {
    return new RegExp(text, 'u')
  } catch (error) {
    throw invalidParameter(`invalid ${option} '${text}': ${messageOf(error)}`)
  }
}

const list = (text: string | undefined): Set<string> => new Set((text ?? '').split(',').filter((name) => name !== ''))

/** The constant attributes of every line: chosen labels and variables, and the tag. */
export function resolveAttributes(info: LogInfo): Record<string, string> {
  const attrs = new Map<string, string>()
  const choose = (names: Set<string>, regex: RegExp | undefined, pairs: Iterable<[string, string]>): void => {
    for (const [key, value] of pairs) if (names.has(key) || regex?.test(key) === true) attrs.set(key, value)
  }
  const { config } = info
  choose(list(config.labels), pattern('labels-regex', config['labels-regex']), Object.entries(info.containerLabels))
  const variables = info.containerEnv
    .filter((variable) => variable.includes('='))
    .map((variable): [string, string] => [variable.slice(0, variable.indexOf('=')), variable.slice(variable.indexOf('=') + 1)])
  choose(list(config.env), pattern('env-regex', config['env-regex']), variables)
  if (config.tag !== undefined && config.tag !== '') attrs.set('tag', renderTag(config.tag, info))
  return Object.fromEntries(attrs)
}

import { invalidParameter, messageOf } from '../errors.js'
import type { LogInfo } from '../kinds/log.js'
import { checkTag, renderTag } from './tag.js'

/** Options by which a log driver chooses what goes with every line. */
export const attributeOptions = ['labels', 'labels-regex', 'env', 'env-regex', 'tag'] as const

function pattern(option: string, text: string | undefined): RegExp | undefined {
  if (text === undefined || text === '') return undefined
  try {
    return new RegExp(text, 'u')
  } catch (error) {
    throw invalidParameter(`invalid ${option} '${text}': ${messageOf(error)}`)
  }
}

/** Checks the options that choose attributes. */
export function checkAttributes(config: Record<string, string>): void {
  pattern('labels-regex', config['labels-regex'])
  pattern('env-regex', config['env-regex'])
  if (config.tag !== undefined) checkTag(config.tag)
}

const list = (text: string | undefined): Set<string> => new Set((text ?? '').split(',').filter((name) => name !== ''))

/** Chosen labels and variables. */
export function chosenAttributes(info: LogInfo): Record<string, string> {
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
  return Object.fromEntries(attrs)
}

/** The constant attributes of every line: chosen labels and variables, and the tag. */
export function resolveAttributes(info: LogInfo): Record<string, string> {
  const { tag } = info.config
  return { ...chosenAttributes(info), ...(tag === undefined || tag === '' ? {} : { tag: renderTag(tag, info) }) }
}

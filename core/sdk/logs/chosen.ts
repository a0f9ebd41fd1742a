import { invalidParameter, messageOf } from '../errors.js'
import type { LogInfo } from '../kinds/log.js'

export function pattern(option: string, text: string | undefined): RegExp | undefined {
  if (text === undefined || text === '') return undefined
  try {
    return new RegExp(text, 'u')
  } catch (error) {
    throw invalidParameter(`invalid ${option} '${text}': ${messageOf(error)}`)
  }
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

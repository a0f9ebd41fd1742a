import type { LogInfo } from '../kinds/log.js'
import { chosenAttributes, pattern } from './chosen.js'
import { checkTag, renderTag } from './tag.js'

/** Options by which a log driver chooses what goes with every line. */
export const attributeOptions = ['labels', 'labels-regex', 'env', 'env-regex', 'tag'] as const

/** Checks the options that choose attributes. */
export function checkAttributes(config: Record<string, string>): void {
  pattern('labels-regex', config['labels-regex'])
  pattern('env-regex', config['env-regex'])
  if (config.tag !== undefined) checkTag(config.tag)
}

/** The constant attributes of every line: chosen labels and variables, and the tag. */
export function resolveAttributes(info: LogInfo): Record<string, string> {
  const { tag } = info.config
  return { ...chosenAttributes(info), ...(tag === undefined || tag === '' ? {} : { tag: renderTag(tag, info) }) }
}

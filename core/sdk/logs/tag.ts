import { invalidParameter } from '../errors.js'
import type { LogInfo } from '../kinds/log.js'
import { chosenAttributes } from './chosen.js'

const short = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12)

/** What Docker's tag templates may name. */
const fields: Record<string, (info: LogInfo) => string> = {
  ID: (info) => short(info.containerId),
  FullID: (info) => info.containerId,
  Name: (info) => info.containerName.replace(/^\//, ''),
  ImageName: (info) => info.containerImageName,
  ImageID: (info) => short(info.containerImageId),
  ImageFullID: (info) => info.containerImageId,
  DaemonName: (info) => info.daemonName,
  /** As Go prints a map. */
  ExtraAttributes: (info) =>
    `map[${Object.entries(chosenAttributes(info))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `${name}:${value}`)
      .join(' ')}]`,
  Command: (info) => [info.containerEntrypoint, ...info.containerArgs].join(' '),
}

const functions: Record<string, (text: string) => string> = {
  lower: (text) => text.toLowerCase(),
  upper: (text) => text.toUpperCase(),
  title: (text) => text.replace(/(^|\s)(\S)/g, (_, space: string, letter: string) => space + letter.toUpperCase()),
}

/** One `{{...}}`: a field, with functions before it or behind bars. */
function evaluate(action: string): (info: LogInfo) => string {
  const stages = action
    .split('|')
    .map((stage) => stage.trim().split(/\s+/))
    .filter((words) => words.join('') !== '')
  const [first = [], ...pipes] = stages
  const field = first.at(-1) ?? ''
  const read = field.startsWith('.') ? fields[field.slice(1)] : undefined
  const names = [...first.slice(0, -1).reverse(), ...pipes.flat()]
  const applied = names.map((name) => functions[name])
  if (read === undefined || applied.includes(undefined)) {
    const allowed = Object.keys(fields).map((name) => `{{.${name}}}`)
    throw invalidParameter(
      `log tag template: {{${action}}} is not supported; use ${allowed.join(' ')}, with ${Object.keys(functions).join(', ')}`,
    )
  }
  return (info) => applied.reduce((text, apply) => apply?.(text) ?? text, read(info))
}

function compile(template: string): ((info: LogInfo) => string)[] {
  const parts: ((info: LogInfo) => string)[] = []
  let rest = template
  for (let open = rest.indexOf('{{'); open >= 0; open = rest.indexOf('{{')) {
    const close = rest.indexOf('}}', open)
    if (close < 0) throw invalidParameter(`log tag template: unclosed action in '${template}'`)
    const literal = rest.slice(0, open)
    parts.push(() => literal, evaluate(rest.slice(open + 2, close)))
    rest = rest.slice(close + 2)
  }
  const last = rest
  return [...parts, () => last]
}

export function checkTag(template: string): void {
  compile(template)
}

export function renderTag(template: string, info: LogInfo): string {
  return compile(template)
    .map((part) => part(info))
    .join('')
}

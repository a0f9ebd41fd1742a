import { invalidParameter } from '../../sdk/errors.js'
import type { Event } from './contract.js'

type Filters = Record<string, string[]>
type Predicate = (event: Event) => boolean

/** Kinds of objects that can be named by id, id prefix or name. */
const objects = ['container', 'plugin', 'volume', 'network', 'daemon', 'node', 'service', 'secret', 'config'] as const
const known = new Set<string>([...objects, 'event', 'type', 'scope', 'image', 'label'])

const withoutTag = (name: string): string => {
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/') && !name.startsWith('sha256:') ? name.slice(0, colon) : name
}

const attributesOf = (event: Event): Record<string, string> => event.Actor?.Attributes ?? {}

function byObject(kind: string, values: string[]): Predicate {
  return (event) => {
    if (event.Type !== kind) return false
    const [id, name] = [event.Actor?.ID ?? '', attributesOf(event)['name'] ?? '']
    return values.some((value) => id.startsWith(value) || name.startsWith(value))
  }
}

function byImage(values: string[]): Predicate {
  const wanted = new Set(values)
  return (event) => {
    if (event.Type !== 'image' && event.Type !== 'container') return false
    const id = event.Type === 'image' ? (event.Actor?.ID ?? '') : ''
    const name = attributesOf(event)[event.Type === 'image' ? 'name' : 'image'] ?? ''
    return [id, name, withoutTag(id), withoutTag(name)].some((candidate) => candidate !== '' && wanted.has(candidate))
  }
}

function byLabel(values: string[]): Predicate {
  const wanted = values.map((value) => {
    const equals = value.indexOf('=')
    return equals < 0 ? { key: value, value: undefined } : { key: value.slice(0, equals), value: value.slice(equals + 1) }
  })
  return (event) => {
    const attributes = attributesOf(event)
    return wanted.every(({ key, value }) => Object.hasOwn(attributes, key) && (value === undefined || attributes[key] === value))
  }
}

/** Docker's filters: values of one key are alternatives (labels excepted), keys must all hold. */
export function eventPredicate(filters: Filters): Predicate {
  const predicates: Predicate[] = []
  for (const [key, values] of Object.entries(filters)) {
    if (!known.has(key)) throw invalidParameter(`invalid filter '${key}': events are filtered by ${[...known].sort().join(', ')}`)
    if (values.length === 0) continue
    if (key === 'event')
      // `exec_create: sh -c x` and `health_status: healthy` are also found by their first word.
      predicates.push(({ Action = '' }) => values.includes(Action) || values.includes(Action.split(':')[0] as string))
    else if (key === 'type') predicates.push((event) => values.includes(event.Type ?? ''))
    else if (key === 'scope') predicates.push((event) => values.includes(event.scope ?? ''))
    else if (key === 'image') predicates.push(byImage(values))
    else if (key === 'label') predicates.push(byLabel(values))
    else predicates.push(byObject(key, values))
  }
  return (event) => predicates.every((holds) => holds(event))
}

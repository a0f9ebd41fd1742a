import { matchesGlob } from '../../base/glob.js'
import { untilTime } from '../../base/until.js'
import { parseReference, repositoryOf } from '../../base/reference.js'
import type { ImageSummary } from '../../schema/engine-api.js'
import { invalidParameter } from '../../sdk/errors.js'
import { familiar, parentOf } from './catalog.js'
import type { ImageCatalog, ImageRecord } from './catalog.js'

const known = new Set(['dangling', 'label', 'label!', 'reference', 'before', 'since', 'until'])

type Filters = Record<string, string[]>

function dangling(filters: Filters): boolean | undefined {
  const values = filters['dangling'] ?? []
  if (values.length === 0) return undefined
  const answers = new Set(values.map((value) => (/^(1|t|true)$/i.test(value) ? true : /^(0|f|false)$/i.test(value) ? false : undefined)))
  const [answer] = answers
  if (answers.size !== 1 || answer === undefined) throw invalidParameter(`invalid filter 'dangling=[${values.join(' ')}]'`)
  return answer
}

function hasLabel(image: ImageRecord, wanted: string): boolean {
  const labels = image.configuration.config.Labels
  const equals = wanted.indexOf('=')
  const key = equals < 0 ? wanted : wanted.slice(0, equals)
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1))
}

/** `busybox`, `busybox:lat*`, `*\/thing`: matched against the name with and without its tag. */
function matchesReference(name: string, pattern: string): boolean {
  const short = familiar(name)
  const colon = short.lastIndexOf(':')
  const repository = short.includes('@')
    ? short.slice(0, short.indexOf('@'))
    : colon > short.lastIndexOf('/')
      ? short.slice(0, colon)
      : short
  return [short, repository, name].some((text) => matchesGlob(pattern, text))
}

const createdOf = (image: ImageRecord): number => {
  const time = Date.parse(image.configuration.created)
  return Number.isNaN(time) ? 0 : time
}

export interface Names {
  tags: string[]
  digests: string[]
}

/** `RepoTags` and `RepoDigests` as users write them. */
export function namesOf(catalog: ImageCatalog, id: string): Names {
  const names = catalog.namesOf(id)
  return {
    tags: names.filter((name) => parseReference(name).tag !== undefined).map(familiar),
    digests: names.filter((name) => parseReference(name).digest !== undefined).map(familiar),
  }
}

/** Intermediate images are shown when `all` are asked for. */
export function listImages(catalog: ImageCatalog, filters: Filters, now: number, all: boolean): ImageSummary[] {
  const unknown = Object.keys(filters).find((key) => !known.has(key))
  if (unknown !== undefined) throw invalidParameter(`invalid filter '${unknown}'`)
  const bare = dangling(filters)
  const border = (key: string): number[] => (filters[key] ?? []).map((name) => createdOf(catalog.require(name).image))
  const [before, since] = [border('before'), border('since')]
  const untils = (filters['until'] ?? []).map((text) => untilTime(text, now))
  const patterns = filters['reference'] ?? []
  const parents = new Set(catalog.all().map(parentOf))
  const wanted = (image: ImageRecord): boolean => {
    const created = createdOf(image)
    const names = catalog.namesOf(image.id)
    const intermediate = names.length === 0 && parents.has(image.id)
    return (
      !(intermediate && (bare === true || !all)) &&
      (bare === undefined || bare === !names.some((name) => parseReference(name).tag !== undefined)) &&
      before.every((time) => created < time) &&
      since.every((time) => created > time) &&
      untils.every((time) => created < time) &&
      (filters['label'] ?? []).every((label) => hasLabel(image, label)) &&
      !(filters['label!'] ?? []).some((label) => hasLabel(image, label)) &&
      (patterns.length === 0 || names.some((name) => patterns.some((pattern) => matchesReference(name, pattern))))
    )
  }
  const filtered = (image: ImageRecord, names: string[]): string[] =>
    patterns.length === 0 ? names : names.filter((name) => patterns.some((pattern) => matchesReference(repositoryName(name), pattern)))
  return catalog
    .all()
    .filter(wanted)
    .sort((a, b) => createdOf(b) - createdOf(a) || (a.id < b.id ? -1 : 1))
    .map((image) => {
      const { tags, digests } = namesOf(catalog, image.id)
      const labels = image.configuration.config.Labels
      return {
        Id: image.id,
        ParentId: parentOf(image),
        RepoTags: filtered(image, tags),
        RepoDigests: filtered(image, digests),
        Created: Math.floor(createdOf(image) / 1000),
        Size: image.size,
        SharedSize: -1,
        Labels: Object.keys(labels).length === 0 ? null : labels,
        Containers: -1,
      }
    })
}

/** The full form of a name as users write it. */
function repositoryName(name: string): string {
  const reference = parseReference(name)
  const suffix = reference.digest === undefined ? `:${reference.tag ?? 'latest'}` : `@${reference.digest}`
  return repositoryOf(reference) + suffix
}

import { isDigest, parseDigest } from './digest.js'
import { InvalidInput } from './invalid-input.js'

/** A named image reference, normalised: the domain and `library/` are filled in. */
export interface Reference {
  /** Registry host with its port: `docker.io`. */
  domain: string
  /** Repository below the domain: `library/busybox`. */
  path: string
  tag: string | undefined
  digest: string | undefined
}

const defaultDomain = 'docker.io'
const officialPrefix = 'library/'

const domainComponent = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const domainPattern = new RegExp(`^(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`)
const componentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const digestPattern = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/
const maxPath = 255
/** Longer than anything valid: bounds the work on hostile input. */
const maxLength = 1024

const badFormat = (): InvalidInput => new InvalidInput('invalid reference format')

function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  // `Foo/bar` counts as a domain because repositories are lower case only.
  const isDomain = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first)
  let domain = isDomain ? first : defaultDomain
  let path = isDomain ? name.slice(slash + 1) : name
  if (domain === 'index.docker.io') domain = defaultDomain
  if (domain === defaultDomain && !path.includes('/')) path = officialPrefix + path
  return { domain, path }
}

/** Parses what a user writes (`busybox`, `localhost:5000/a/b:tag@sha256:...`) with Docker's rules and words. */
export function parseReference(text: string): Reference {
  if (/^[0-9a-f]{64}$/.test(text)) throw new InvalidInput(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`)
  if (text === '' || text.length > maxLength) throw badFormat()
  let rest = text
  let digest: string | undefined
  const at = rest.indexOf('@')
  if (at >= 0) {
    digest = rest.slice(at + 1)
    rest = rest.slice(0, at)
  }
  let tag: string | undefined
  const colon = rest.lastIndexOf(':')
  const hasTag = colon > rest.lastIndexOf('/')
  if (hasTag) {
    tag = rest.slice(colon + 1)
    rest = rest.slice(0, colon)
  }
  const { domain, path } = splitDomain(rest)
  const beforeColon = path.split(':')[0] ?? ''
  if (beforeColon !== beforeColon.toLowerCase()) {
    throw new InvalidInput(`invalid reference format: repository name (${beforeColon}) must be lowercase`)
  }
  if (!domainPattern.test(domain)) throw badFormat()
  if (path.length > maxPath) throw new InvalidInput(`repository name must not be more than ${maxPath} characters`)
  if (!path.split('/').every((component) => componentPattern.test(component))) throw badFormat()
  if (tag !== undefined && !tagPattern.test(tag)) throw badFormat()
  if (digest !== undefined) {
    if (!digestPattern.test(digest)) throw badFormat()
    parseDigest(digest)
  }
  return { domain, path, tag, digest }
}

/** The full form, `docker.io/library/busybox:tag@sha256:...`. */
export function formatReference(reference: Reference): string {
  return decorate(`${reference.domain}/${reference.path}`, reference)
}

/** The repository alone in full form. */
export function repositoryOf(reference: Reference): string {
  return `${reference.domain}/${reference.path}`
}

/** The repository as users write it: `busybox`, `someone/thing`, `localhost:5000/x`. */
export function familiarName(reference: Reference): string {
  if (reference.domain !== defaultDomain) return `${reference.domain}/${reference.path}`
  const path = reference.path
  const official = path.startsWith(officialPrefix) ? path.slice(officialPrefix.length) : path
  return official.includes('/') || official === '' ? path : official
}

/** As users write it: `busybox:latest`. */
export function familiarString(reference: Reference): string {
  return decorate(familiarName(reference), reference)
}

function decorate(name: string, reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  return reference.digest === undefined ? name + tag : `${name}${tag}@${reference.digest}`
}

/** Adds `latest` where neither tag nor digest was given. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: 'latest' } : reference
}

/** A reference, or an image id: 64 hex digits with or without `sha256:`. */
export function parseAnyReference(text: string): { id: string } | { reference: Reference } {
  if (/^[0-9a-f]{64}$/.test(text)) return { id: `sha256:${text}` }
  if (isDigest(text)) return { id: text }
  return { reference: parseReference(text) }
}

export function isTag(text: string): boolean {
  return tagPattern.test(text)
}

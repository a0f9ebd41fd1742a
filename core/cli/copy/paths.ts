import path from 'node:path'

/** One end of a copy: where it lies and what is known of it. */
export interface CopyEnd {
  path: string
  exists: boolean
  isDir: boolean
  /** Name to copy it under, when a link was followed to it. */
  rebase?: string
}

export const assertsDirectory = (file: string): boolean => file.endsWith('/') || isCurrent(file)
const isCurrent = (file: string): boolean => path.posix.basename(file) === '.' || file === '.'

/** Cleaned, but for a `/` or `/.` at its end, which tells a directory's content from the directory. */
export function keepEnding(clean: string, original: string): string {
  let result = clean
  if (isCurrent(original) && !isCurrent(result)) result = result.endsWith('/') ? `${result}.` : `${result}/.`
  else if (original.endsWith('/') && !result.endsWith('/')) result += '/'
  return result
}

const cleaned = (file: string): string => path.posix.normalize(file).replace(/(.)\/+$/, '$1')

/** Directory and name; the name of `/x/.` is `.`. */
export function splitEntry(file: string): { dir: string; base: string } {
  const clean = isCurrent(file) ? `${cleaned(file)}/.` : cleaned(file)
  const slash = clean.lastIndexOf('/')
  return { dir: clean.slice(0, slash + 1), base: clean.slice(slash + 1) }
}

export interface Destination {
  /** Where the archive is unpacked. */
  dir: string
  /** What the names in the archive begin with, and what they should begin with. */
  rename?: { from: string; to: string }
}

/** Docker's rules for what a copy is called at its destination. */
export function destinationOf(source: CopyEnd, target: CopyEnd): Destination {
  const from = source.rebase ?? splitEntry(source.path).base
  const { dir, base } = splitEntry(target.path)
  if (target.exists && target.isDir) return { dir: target.path }
  if (target.exists && source.isDir) throw new Error('cannot copy directory')
  if (!target.exists && !source.isDir && assertsDirectory(target.path)) throw new Error('no such directory')
  return { dir, rename: { from, to: base } }
}

/** A name with its beginning replaced, as Docker's clients rename whole archives. */
export function renamed(name: string, { from, to }: { from: string; to: string }): string {
  const old = from === '/' ? '' : from
  return name.startsWith(old) ? `${to}${name.slice(old.length)}` : name
}

/** `container:path`; undefined for a local path. */
export function containerArgument(text: string): { container: string; path: string } | undefined {
  if (path.isAbsolute(text)) return undefined
  const colon = text.indexOf(':')
  if (colon <= 0 || text.startsWith('.')) return undefined
  return { container: text.slice(0, colon), path: text.slice(colon + 1) }
}

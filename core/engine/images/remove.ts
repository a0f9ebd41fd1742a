// Docker's rules of what may be deleted by which name, and its words when it may not.
import { parseReference, repositoryOf } from '../../base/reference.js'
import { shortId } from '../../base/ids.js'
import { conflict } from '../../sdk/errors.js'
import { familiar, hexOf } from './catalog.js'
import type { ImageCatalog, ImageRecord } from './catalog.js'

export type UsedBy = (imageId: string) => { containerId: string; running: boolean }[]

export interface Removal {
  image: ImageRecord
  /** Full references that go. */
  unname: string[]
  /** The image itself goes too. */
  whole: boolean
}

const unable = (text: string, forced: 'must be forced' | 'cannot be forced', reason: string): Error =>
  conflict(`conflict: unable to delete ${text} (${forced}) - ${reason}`)

/** All names are of one repository: a tag, and the digest it was pulled by. */
function isSingle(names: string[]): boolean {
  if (names.length <= 1) return true
  const parsed = names.map((name) => parseReference(name))
  const tags = parsed.filter(({ tag }) => tag !== undefined)
  return tags.length <= 1 && new Set(parsed.map(repositoryOf)).size === 1
}

/** Why the image has to stay, if it has to. */
function obstacle(image: ImageRecord, names: string[], force: boolean, usedBy: UsedBy): Error | undefined {
  const id = shortId(image.id)
  const users = usedBy(image.id)
  const running = users.find((one) => one.running)
  if (running !== undefined)
    return unable(id, 'cannot be forced', `image is being used by running container ${shortId(running.containerId)}`)
  return force ? undefined : weakObstacle(image, names, users)
}

/** What force overcomes. */
function weakObstacle(image: ImageRecord, names: string[], users: ReturnType<UsedBy>): Error | undefined {
  const id = shortId(image.id)
  if (!isSingle(names)) return unable(id, 'must be forced', 'image is referenced in multiple repositories')
  const [stopped] = users
  if (stopped !== undefined) return unable(id, 'must be forced', `image is being used by stopped container ${shortId(stopped.containerId)}`)
  return undefined
}

export function planRemoval(catalog: ImageCatalog, text: string, force: boolean, usedBy: UsedBy): Removal {
  const { image, name } = catalog.require(text)
  const names = catalog.namesOf(image.id)
  const byId = name === undefined || hexOf(image.id).startsWith(text)
  if (byId) {
    const blocked = obstacle(image, names, force, usedBy)
    if (blocked !== undefined) throw blocked
    if (catalog.childrenOf(image.id).length > 0) {
      // Its names may go, where they are what was asked for to go.
      if (names.length > 0 && force) return { image, unname: names, whole: false }
      throw unable(shortId(image.id), 'cannot be forced', 'image has dependent child images')
    }
    return { image, unname: names, whole: true }
  }
  const [user] = usedBy(image.id)
  if (!force && isSingle(names) && user !== undefined) {
    throw conflict(
      `conflict: unable to remove repository reference "${text}" (must force) - container ${shortId(user.containerId)} is using its referenced image ${shortId(image.id)}`,
    )
  }
  const repository = repositoryOf(parseReference(name))
  const others = names.filter((one) => one !== name)
  // What is left of a repository whose last tag goes are digests: they go with it.
  const siblings = others.filter((one) => repositoryOf(parseReference(one)) === repository)
  const lastTag = parseReference(name).tag !== undefined && siblings.every((one) => parseReference(one).tag === undefined)
  const unname = lastTag ? [name, ...siblings] : [name]
  if (unname.length < names.length) return { image, unname, whole: false }
  // A reference can always be taken away; the image stays for those that need it.
  return { image, unname, whole: catalog.childrenOf(image.id).length === 0 && obstacle(image, [], force, usedBy) === undefined }
}

/** The image that goes with one that was removed: what it was built on, when nothing else needs that. */
export function orphanedParent(catalog: ImageCatalog, removed: ImageRecord, usedBy: UsedBy): ImageRecord | undefined {
  const parent = removed.parent === undefined ? undefined : catalog.get(removed.parent)
  if (parent === undefined || catalog.namesOf(parent.id).length > 0 || catalog.childrenOf(parent.id).length > 0) return undefined
  return usedBy(parent.id).length > 0 ? undefined : parent
}

export const untagged = (reference: string): { Untagged: string } => ({ Untagged: familiar(reference) })

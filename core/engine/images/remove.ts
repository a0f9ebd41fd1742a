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
  if (force) return undefined
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
  return { image, unname, whole: obstacle(image, [], force, usedBy) === undefined }
}

export const untagged = (reference: string): { Untagged: string } => ({ Untagged: familiar(reference) })

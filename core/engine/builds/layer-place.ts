// Where new files go in an image, as the tar of a layer has to say it: directories that are there keep their owners and modes.
import path from 'node:path'
import { invalidParameter } from '../../sdk/errors.js'
import type { Located, TreeDirectory } from '../ports/index.js'

export interface Owner {
  uid: number
  gid: number
}

/** Names inside trees are latin1, one character per byte. */
export const bytesOf = (text: string): string => Buffer.from(text).toString('latin1')
export const textOf = (bytes: string): string => Buffer.from(bytes, 'latin1').toString()

/** A layer's whiteouts have names like these: no file may bear one. */
export function refuseWhiteouts(name: string): void {
  if (name.split('/').some((part) => part.startsWith('.wh.')))
    throw invalidParameter(`cannot make ${JSON.stringify(textOf(name))}: names that begin with .wh. mark deleted files in image layers`)
}

/** As a process in the image would read it. */
export const absolute = (workingDir: string, target: string): string => path.posix.resolve(workingDir === '' ? '/' : workingDir, target)

/** Directories that a layer has to have for `names` to be made below a place: those there, then those that are new. */
export function leadingTo(place: Located, names: readonly string[], made: Owner & { mode: number; mtimeSec: number }): TreeDirectory[] {
  const base = place.parents.at(-1)?.path ?? ''
  const fresh = names.map((_, index) => ({ ...made, path: [...(base === '' ? [] : [base]), ...names.slice(0, index + 1)].join('/') }))
  // What gets a new name in it is changed by that.
  const there = place.parents.map((one, index) => (index === place.parents.length - 1 ? { ...one, mtimeSec: made.mtimeSec } : one))
  return [...there, ...fresh]
}

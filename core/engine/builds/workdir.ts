import { invalidParameter } from '../../sdk/errors.js'
import { absolute, bytesOf, leadingTo, refuseWhiteouts } from './layer-place.js'
import { expand, notRun } from './stage-state.js'
import type { StageState } from './stage-state.js'
import type { Work } from './work.js'
import { rootOf } from './workshop.js'
import type { Workshop } from './workshop.js'

/** WORKDIR: the directory is made where it is missing. */
export async function prepareWorkdir(shop: Workshop, state: StageState, value: string): Promise<Work> {
  const { trees, signal } = shop
  const path = absolute(state.config.WorkingDir, expand(state, value))
  state.config.WorkingDir = path
  const root = await rootOf(shop, state.image)
  const place = await trees.locate(root, bytesOf(path))
  if (place.kind !== 'directory' && place.kind !== 'absent') throw invalidParameter(`cannot mkdir: ${path}: not a directory`)
  refuseWhiteouts(place.path)
  const directories = leadingTo(place, place.missing, { uid: 0, gid: 0, mode: 0o755, mtimeSec: Math.floor(Date.now() / 1000) })
  return {
    createdBy: notRun(state, ` WORKDIR ${path}`),
    also: [],
    ...(place.kind === 'directory'
      ? {}
      : { run: () => Promise.resolve(trees.gather(root, { items: [], directories, times: true, signal })) }),
  }
}

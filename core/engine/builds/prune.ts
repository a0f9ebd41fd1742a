import { stat } from 'node:fs/promises'
import { parseDuration } from '../../base/duration.js'
import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import { STEP } from './cache.js'
import type { PrunedBuilds } from './contract.js'
import type { BuildServices } from './workshop.js'

/** Milliseconds before now, or a point in time. */
function border(values: string[] | undefined, now: number): number | undefined {
  const [text] = values ?? []
  if (text === undefined) return undefined
  try {
    return /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : now - Number(parseDuration(text) / 1_000_000n)
  } catch {
    throw invalidParameter(`invalid filter 'until=${text}': use Unix seconds or a duration such as 24h`)
  }
}

/** Cache mounts that nobody uses, and what is remembered of steps: images that were made stay, as images. */
export async function pruneBuilds(services: BuildServices, filters: Record<string, string[]>): Promise<PrunedBuilds> {
  for (const name of Object.keys(filters)) {
    if (name !== 'until' && name !== 'id' && name !== 'unused-for')
      throw notImplemented(`build prune by filter '${name}' is not supported by tsd: use until or id`)
  }
  const { cacheMounts, archiver, clock, store } = services
  const before = border(filters['until'] ?? filters['unused-for'], clock.now())
  const wanted = (id: string): boolean => filters['id'] === undefined || filters['id'].some((prefix) => id.startsWith(prefix))
  const result: PrunedBuilds = { CachesDeleted: [], SpaceReclaimed: 0 }
  for (const id of await cacheMounts.unused()) {
    const path = `${cacheMounts.dir}/${id}`
    if (!wanted(id)) continue
    const { mtimeMs } = await stat(path)
    if (before !== undefined && mtimeMs >= before) continue
    result.SpaceReclaimed += await archiver.size(path)
    await archiver.remove(path)
    result.CachesDeleted.push(id)
  }
  if (Object.keys(filters).length === 0) {
    const steps = await store.list(STEP)
    await store.batch(
      steps.map(({ key }) => ({ del: key })),
      { sync: false },
    )
  }
  return result
}

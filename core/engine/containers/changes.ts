import type { LayerChange } from '../../sdk/kinds/graph.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'

const kinds = { modify: 0, add: 1, delete: 2 } as const

/** Made at the start, where the image lacks them, to be mounted on: nothing that the container did. */
const mountPoints = new Set(['/dev', '/proc', '/sys', '/etc/hosts', '/etc/hostname', '/etc/resolv.conf'])

const isMountPoint = ({ path, kind }: LayerChange): boolean => kind === 'add' && (mountPoints.has(path) || path.startsWith('/dev/'))
const below = (dir: string, path: string): boolean => path.startsWith(`${dir}/`)

/** What a container changed of its image, in the order of paths. */
export async function containerChanges(ctx: ContainersContext, { id }: Container): Promise<{ Path: string; Kind: 0 | 1 | 2 }[]> {
  const all = await ctx.layers.containerChanges(id)
  const made = all.filter(isMountPoint)
  const rest = all.filter((change) => !isMountPoint(change))
  // A directory that changed for a mount point's sake alone has not changed.
  const real = rest.filter(
    ({ kind, path }) =>
      kind !== 'modify' || !made.some((change) => below(path, change.path)) || rest.some((change) => below(path, change.path)),
  )
  return real.sort((a, b) => (a.path < b.path ? -1 : 1)).map(({ path, kind }) => ({ Path: path, Kind: kinds[kind] }))
}

import { lstat, mkdir, readlink, rmdir } from 'node:fs/promises'
import type { ContainersContext } from './context.js'
import type { Container } from './container.js'
import type { MountPointRecord } from './record.js'

const mostSymlinks = 40

/**
 * Host path of a directory inside an image's root, symlinks kept inside it; undefined when there is none. The walk is safe only because nobody
 * else has this root mounted: a running container's paths are never resolved here.
 */
async function directoryInRoot(root: string, path: string): Promise<string | undefined> {
  const rest = path.split('/').filter((part) => part !== '' && part !== '.')
  const at: string[] = []
  for (let links = 0; rest.length > 0;) {
    const part = rest.shift() ?? ''
    if (part === '..') {
      at.pop()
      continue
    }
    const host = [root, ...at, part].join('/')
    const info = await lstat(host).catch(() => undefined)
    if (info?.isSymbolicLink()) {
      links += 1
      if (links > mostSymlinks) return undefined
      const target = await readlink(host)
      if (target.startsWith('/')) at.length = 0
      rest.unshift(...target.split('/').filter((word) => word !== '' && word !== '.'))
    } else if (info?.isDirectory()) at.push(part)
    else return undefined
  }
  return [root, ...at].join('/')
}

async function populateOne(ctx: ContainersContext, container: Container, point: MountPointRecord, root: string): Promise<void> {
  const source = await directoryInRoot(root, point.destination)
  if (source === undefined) return
  const request = { name: point.name, holder: `${container.id}.copy-up.${point.name}` }
  try {
    await ctx.volumes.mount(request, container.id)
    await ctx.volumes.populate(point.name, request.holder, source)
  } finally {
    await ctx.volumes.unmount(request, container.id)
  }
}

/** Gives new volumes the content that the image has at their destination, as Docker does on first use. */
export async function populateVolumes(ctx: ContainersContext, container: Container): Promise<void> {
  const { record } = container
  const points = record.mounts.filter((point) => point.type === 'volume' && !point.noCopy)
  if (points.length === 0) return
  const holder = `${record.id}.copy-up`
  const target = `${ctx.config.execRoot}/rootfs/${record.id}.copy-up`
  const graph = await ctx.drivers.lease('graph', record.graphDriver, `container ${record.id}`)
  const resources = [
    { kind: 'snapshot', key: holder, data: { driver: record.graphDriver, layer: record.id } },
    { kind: 'mount', key: target },
  ]
  ctx.ledger.intend(record.id, resources)
  try {
    const instructions = await graph.driver.prepare(record.id, holder)
    await mkdir(target, { recursive: true, mode: 0o700 })
    await ctx.mounter.mount(instructions, target)
    for (const point of points) await populateOne(ctx, container, point, target)
  } finally {
    await ctx.mounter.unmount(target)
    await rmdir(target)
    await graph.driver.release(record.id, holder)
    ctx.ledger.released(record.id, resources)
    graph.release()
  }
}

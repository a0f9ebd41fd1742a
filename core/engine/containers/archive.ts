import { once } from 'node:events'
import { Readable } from 'node:stream'
import { categoryOf, notFound } from '../../sdk/errors.js'
import { decompressed } from '../layers/index.js'
import type { PathStat, WriteRules } from '../ports/index.js'
import type { Container } from './container.js'
import { publish, type ContainersContext } from './context.js'
import type { ArchiveWrite } from './contract.js'
import { visit } from './visit.js'

const over = Promise.resolve()

async function found<T>(container: Container, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (categoryOf(error) !== 'NotFound') throw error
    throw notFound(`Could not find the file ${path} in container ${container.record.name}`, { cause: error })
  }
}

export function statPath(ctx: ContainersContext, container: Container, path: string, signal: AbortSignal): Promise<PathStat> {
  return found(
    container,
    path,
    visit(ctx, container, signal, async (place) => ({ value: await ctx.files.stat(place, path), left: over })),
  )
}

const closed = async (stream: Readable): Promise<void> => {
  if (!stream.closed) await once(stream, 'close')
}

/** The stream holds the container's files until it is closed. */
export async function readArchive(
  ctx: ContainersContext,
  container: Container,
  path: string,
  signal: AbortSignal,
): Promise<{ stat: PathStat; tar: Readable }> {
  const archive = await found(
    container,
    path,
    visit(ctx, container, signal, async (place, leave) => {
      const value = await ctx.files.read(place, path, leave)
      return { value, left: closed(value.tar) }
    }),
  )
  publish(ctx, container, 'archive-path')
  return archive
}

/** As `readArchive`. */
export async function exportContainer(ctx: ContainersContext, container: Container, signal: AbortSignal): Promise<Readable> {
  const tar = await visit(ctx, container, signal, async (place, leave) => {
    const value = await ctx.files.export(place, leave)
    return { value, left: closed(value) }
  })
  publish(ctx, container, 'export')
  return tar
}

export async function writeArchive(
  ctx: ContainersContext,
  container: Container,
  { path, tar, keepKinds, toUser, signal }: ArchiveWrite,
): Promise<void> {
  const { config, hostConfig, mounts } = container.record
  const plain = Readable.from(decompressed(tar as AsyncIterable<Buffer>, ctx.zstd), { objectMode: false, highWaterMark: 256 * 1024 })
  const rules: WriteRules = {
    keepKinds,
    ...(toUser && config.User ? { owner: config.User } : {}),
    readonlyRoot: hostConfig.ReadonlyRootfs === true,
    mounts: mounts.map(({ destination, writable }) => ({ destination, writable })),
  }
  try {
    const write = visit(ctx, container, signal, async (place, leave) => ({
      value: await ctx.files.write(place, path, plain, rules, leave),
      left: over,
    }))
    await found(container, path, write)
  } finally {
    plain.destroy()
    tar.destroy()
  }
  publish(ctx, container, 'extract-to-dir')
}

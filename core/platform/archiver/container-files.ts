import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { formatTimestamp } from '../../base/rfc3339.js'
import { dataLoss, invalidParameter } from '../../sdk/errors.js'
import { WorkerPool } from './pool.js'
import type { Place, ResourceStat, UnpackRules } from './protocol.js'

/** A file as a client of the Engine API is told of it. */
export interface PathStat {
  name: string
  size: number
  mode: number
  mtime: string
  linkTarget: string
}

const bytesOf = (path: string): string => {
  if (path.includes('\0')) throw invalidParameter('a path cannot hold a NUL character')
  return Buffer.from(path).toString('latin1')
}
const textOf = (name: string): string => Buffer.from(name, 'latin1').toString()

function pathStat({ name, size, mode, mtimeSec, mtimeNsec, linkTarget }: ResourceStat): PathStat {
  const mtime = formatTimestamp(BigInt(mtimeSec) * 1_000_000_000n + BigInt(mtimeNsec))
  return { name: textOf(name), size, mode, mtime, linkTarget: textOf(linkTarget) }
}

async function takeLine(stream: Readable): Promise<string> {
  const parts: Buffer[] = []
  for (;;) {
    const chunk = stream.read() as Buffer | null
    if (chunk === null) {
      if (stream.readableEnded) throw dataLoss('the archive worker ended before it described the file')
      await once(stream, 'readable')
      continue
    }
    const end = chunk.indexOf(0x0a)
    if (end < 0) {
      parts.push(chunk)
      continue
    }
    parts.push(chunk.subarray(0, end))
    if (end + 1 < chunk.length) stream.unshift(chunk.subarray(end + 1))
    return Buffer.concat(parts).toString()
  }
}

/** Files of containers, looked up and moved by workers that enter the container's mount namespace: no path of a container is ever resolved here. */
export class WorkerContainerFiles {
  constructor(private readonly pool: WorkerPool = new WorkerPool()) {}

  async stat(place: Place, path: string): Promise<PathStat> {
    return pathStat((await this.pool.runNow({ kind: 'stat-in', place, path: bytesOf(path) })) as ResourceStat)
  }

  /** The archive ends in an error when the signal does or the container's files cannot be read. */
  async read(place: Place, path: string, signal: AbortSignal): Promise<{ stat: PathStat; tar: Readable }> {
    const tar = this.pool.stream({ kind: 'pack-in', place, path: bytesOf(path) }, signal)
    try {
      const stat = pathStat(JSON.parse(await takeLine(tar)) as ResourceStat)
      // Nobody may be listening yet when it is cut off.
      tar.on('error', () => undefined)
      return { stat, tar }
    } catch (error) {
      tar.destroy()
      throw error
    }
  }

  /** Resolves once the files are within reach. */
  async export(place: Place, signal: AbortSignal): Promise<Readable> {
    const tar = this.pool.stream({ kind: 'export-in', place }, signal)
    await once(tar, 'readable')
    tar.on('error', () => undefined)
    return tar
  }

  async write(place: Place, path: string, tar: Readable, rules: UnpackRules, signal: AbortSignal): Promise<void> {
    try {
      await this.pool.runNow({ kind: 'unpack-in', place, path: bytesOf(path), ...rules }, { input: tar, signal })
    } finally {
      tar.destroy()
    }
  }

  dispose(): void {
    this.pool.dispose()
  }
}

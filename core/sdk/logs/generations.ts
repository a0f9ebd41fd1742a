import fs, { type FileHandle } from 'node:fs/promises'
import path from 'node:path'

/** One file of a log, opened: rotation and compression may rename or delete it meanwhile. */
export interface LogGeneration {
  handle: FileHandle
  compressed: boolean
  /** Of the file that the writer wrote, also for compressed ones. */
  ino: bigint
  /** When the writer wrote last. */
  mtimeNs: bigint
  /** Bytes when it was opened. */
  size: number
  /** How it begins, once asked for. */
  head?: string
}

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code

async function open(file: string): Promise<LogGeneration | undefined> {
  let handle
  try {
    handle = await fs.open(file, 'r')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
  const stat = await handle.stat({ bigint: true })
  return { handle, compressed: false, ino: stat.ino, mtimeNs: stat.mtimeNs, size: Number(stat.size) }
}

/**
 * Compressed files are named by the time of their last line: numbers would have to be shifted in step with the writer's rotation, which goes on
 * while the daemon is away.
 */
export function compressedName(current: string, mtimeNs: bigint, ino: bigint): string {
  return `${current}.${String(mtimeNs).padStart(20, '0')}-${ino}.gz`
}

/** Files of the log beside the current one: the part of their names behind `<current>.`. */
export async function suffixes(current: string): Promise<string[]> {
  const start = `${path.basename(current)}.`
  const names = await fs.readdir(path.dirname(current)).catch(() => [])
  return names.filter((name) => name.startsWith(start)).map((name) => name.slice(start.length))
}

export const isNumbered = (suffix: string): boolean => /^[1-9]\d{0,5}$/.test(suffix)
export const isCompressed = (suffix: string): boolean => /^\d{20}-\d+\.gz$/.test(suffix)
/** Out of the writer's hands, not compressed yet. */
export const isTaken = (suffix: string): boolean => /^taken-[\d-]+$/.test(suffix)

export async function inodeOf(file: string): Promise<bigint | undefined> {
  try {
    return (await fs.stat(file, { bigint: true })).ino
  } catch {
    return undefined
  }
}

/** A writer that rotates faster than this many looks is caught up with as well as can be. */
const attempts = 50

/**
 * Every file of the log, oldest first. `after`: only what came after this file, itself left out. Rotation goes on meanwhile: files are opened
 * from the newest on, so that none slips by, and again when the current one was another at the end, because then their order is not sure.
 */
export async function openGenerations(current: string, after?: Pick<LogGeneration, 'ino' | 'mtimeNs'>): Promise<LogGeneration[]> {
  for (let attempt = 1; ; attempt++) {
    const before = await inodeOf(current)
    const found = await openOnce(current, after)
    if (attempt === attempts || before === (await inodeOf(current))) return found
    await closeAll(found)
  }
}

async function openOnce(current: string, after: Pick<LogGeneration, 'ino' | 'mtimeNs'> | undefined): Promise<LogGeneration[]> {
  const found: LogGeneration[] = []
  const add = async (generation: LogGeneration | undefined): Promise<void> => {
    if (generation === undefined) return
    const twin = found.find(({ ino, mtimeNs }) => ino === generation.ino && (!generation.compressed || mtimeNs === generation.mtimeNs))
    if (twin === undefined) found.push(generation)
    else await generation.handle.close()
  }
  const reached = (): boolean => after !== undefined && found.some(({ ino }) => ino === after.ino)
  const last = async (): Promise<number> => Math.max(0, ...(await suffixes(current)).filter(isNumbered).map(Number))
  try {
    await add(await open(current))
    for (let number = 1; !reached() && number <= (await last()); number++) await add(await open(`${current}.${number}`))
    if (!reached()) await addAged(current, add)
  } catch (error) {
    await closeAll(found)
    throw error
  }
  found.reverse()
  if (after === undefined) return found
  let index = found.findLastIndex(({ ino, mtimeNs, compressed }) => ino === after.ino && (!compressed || mtimeNs === after.mtimeNs))
  // Deleted already. The oldest go first, so that what is left is newer, but for files that were compressed long ago.
  if (index < 0) index = found.findLastIndex(({ mtimeNs, compressed }) => compressed && mtimeNs < after.mtimeNs)
  await closeAll(found.slice(0, index + 1))
  return found.slice(index + 1)
}

/** Files that left the numbering: compressed, or about to be. Newest first, behind the numbered ones. */
async function addAged(current: string, add: (generation: LogGeneration | undefined) => Promise<void>): Promise<void> {
  const aged: LogGeneration[] = []
  for (const suffix of (await suffixes(current)).filter(isTaken)) {
    const generation = await open(`${current}.${suffix}`)
    if (generation !== undefined) aged.push(generation)
  }
  for (const suffix of (await suffixes(current)).filter(isCompressed)) {
    const [mtimeNs, ino] = suffix.slice(0, -3).split('-').map(BigInt) as [bigint, bigint]
    const generation = await open(`${current}.${suffix}`)
    if (generation !== undefined) aged.push({ ...generation, compressed: true, mtimeNs, ino })
  }
  aged.sort((a, b) => (a.mtimeNs > b.mtimeNs ? -1 : a.mtimeNs < b.mtimeNs ? 1 : 0))
  for (const generation of aged) await add(generation)
}

export async function closeAll(generations: LogGeneration[]): Promise<void> {
  await Promise.all(generations.map(({ handle }) => handle.close().catch(() => undefined)))
}

import { readStart } from './chunks.js'
import type { LogGeneration } from './generations.js'

/** A place between two records of a log, to be kept on disk. */
export interface LogPosition {
  /** Inode of the file as it was written. */
  ino: string
  /** How the file begins: inodes are used again. */
  head: string
  /** Bytes, decompressed. */
  offset: number
}

/** Length, source and time of the first entry. */
const headLength = 22

async function headOf(generation: LogGeneration): Promise<string> {
  return (await readStart(generation, headLength)).toString('hex')
}

export async function positionAt(generation: LogGeneration, offset: number): Promise<LogPosition> {
  generation.head ??= await headOf(generation)
  return { ino: String(generation.ino), head: generation.head, offset }
}

/** Index of the file that a position is in, or -1. */
export async function findPosition(generations: LogGeneration[], { ino, head }: LogPosition): Promise<number> {
  for (const [index, generation] of generations.entries())
    if (String(generation.ino) === ino && (await headOf(generation)) === head) return index
  return -1
}

import { randomFillSync } from 'node:crypto'

const pool = Buffer.alloc(4096)
let used = pool.length

/** Cryptographically strong bytes, up to 4096. Drawn ahead, since a call to the system costs more than a few bytes do. */
export function randomBytes(size: number): Buffer {
  if (size > pool.length) throw new RangeError(`${size} random bytes are more than ${pool.length}`)
  if (used + size > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = Buffer.from(pool.subarray(used, used + size))
  used += size
  return bytes
}

export const randomHex = (size: number): string => randomBytes(size).toString('hex')

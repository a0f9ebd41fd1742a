import { statfs } from 'node:fs/promises'
import { unavailable } from '../../sdk/errors.js'

/** Left free on the disk whatever is built. */
const reserve = 64 * 1024 * 1024

/** Bytes that may be written to the disk that holds `dir`. */
export async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir)
  const free = bavail * bsize - reserve
  if (free <= 0) throw unavailable(`no space left on the device of ${dir}`, { code: 'ENOSPC' })
  return free
}

import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Release {
  version: string
  gitCommit: string
  /** RFC 3339. */
  buildTime: string
}

let known: Release | undefined

const read = <T>(file: string): Partial<T> => {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as Partial<T>
  } catch {
    return {}
  }
}

/** What this copy of tsd is: its package version and the stamp that the build left beside the compiled code. */
export function release(): Release {
  if (known !== undefined) return known
  const dist = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..')
  const manifest = read<{ version: string }>(path.join(dist, '../package.json'))
  const stamp = read<{ commit: string; time: string }>(path.join(dist, 'release.json'))
  known = { version: manifest.version ?? '0.0.0', gitCommit: stamp.commit ?? 'unknown', buildTime: stamp.time ?? '1970-01-01T00:00:00Z' }
  return known
}

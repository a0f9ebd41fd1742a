import fs from 'node:fs/promises'
import path from 'node:path'
import { invalidParameter, messageOf } from '../sdk/errors.js'
import { type Manifest, isPlugin, maxManifestBytes, parseManifest } from './manifest.js'

export interface PluginRoot {
  path: string
  /** Bundled plugins are loaded where they lie; others from a copy. */
  bundled: boolean
}

export interface FoundPlugin {
  manifest: Manifest
  folder: string
  bundled: boolean
}

/** A folder that claims to be a plugin and is not a usable one. */
export interface BrokenPlugin {
  folder: string
  reason: string
}

export interface Discovered {
  plugins: FoundPlugin[]
  broken: BrokenPlugin[]
  /** Where was looked, for messages. */
  looked: string[]
}

const maxFolders = 1000

/**
 * Looks for plugins one or two folders below each root (`plugins/x`, `drivers/graph/x`), in the order of the roots and by name within one.
 * A root that is missing is fine; a folder that cannot be used is reported and stops nobody.
 */
export async function discover(roots: readonly PluginRoot[]): Promise<Discovered> {
  const found = await Promise.all(roots.map(searchRoot))
  return {
    plugins: found.flatMap((one) => one.plugins),
    broken: found.flatMap((one) => one.broken),
    looked: roots.map((root) => root.path),
  }
}

type Searched = Omit<Discovered, 'looked'>

async function searchRoot(root: PluginRoot): Promise<Searched> {
  const result: Searched = { plugins: [], broken: [] }
  for (const folder of await folders(root.path)) {
    if (await examine(folder, root.bundled, result)) continue
    for (const inner of await folders(folder)) await examine(inner, root.bundled, result)
  }
  return result
}

async function folders(parent: string): Promise<string[]> {
  let entries
  try {
    entries = await fs.readdir(parent, { withFileTypes: true })
  } catch {
    return []
  }
  return entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith('.') && entry.name !== 'node_modules')
    .map((entry) => path.join(parent, entry.name))
    .sort()
    .slice(0, maxFolders)
}

/** True when the folder has a package.json of a plugin, good or bad. */
async function examine(folder: string, bundled: boolean, result: Searched): Promise<boolean> {
  const file = path.join(folder, 'package.json')
  let text: string
  try {
    const { size } = await fs.stat(file)
    if (size > maxManifestBytes) throw invalidParameter(`manifest ${file}: is larger than ${maxManifestBytes} bytes`)
    text = await fs.readFile(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    result.broken.push({ folder, reason: messageOf(error) })
    return true
  }
  if (!isPlugin(text)) return false
  try {
    const manifest = parseManifest(text, file)
    if (!bundled) await checkOwner(folder, file)
    result.plugins.push({ manifest, folder, bundled })
  } catch (error) {
    result.broken.push({ folder, reason: messageOf(error) })
  }
  return true
}

/** What runs with our rights must not be writable by others. */
async function checkOwner(folder: string, file: string): Promise<void> {
  for (const one of [folder, file]) {
    const { uid, mode } = await fs.stat(one)
    const ours = uid === 0 || uid === process.geteuid?.()
    if (!ours || (mode & 0o022) !== 0) {
      throw invalidParameter(
        `${one} can be changed by other users: it must belong to root and be writable by its owner alone (chown root, chmod go-w)`,
      )
    }
  }
}

import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { invalidParameter } from '../sdk/errors.js'

/** Copies of plugins from outside, one directory per version: `<data-root>/drivers/<name>/<digest>/`. */
const maxFiles = 20_000
const maxBytes = 256 * 1024 * 1024

interface SourceFile {
  relative: string
  type: 'directory' | 'file' | 'link'
  mode: number
  target?: string
}

/**
 * Makes a copy of the plugin to load it from, and answers its directory. The same content is copied once. An upgrade of the folder
 * while the daemon runs changes nothing that is loaded.
 */
export async function copyVersion(folder: string, name: string, store: string): Promise<string> {
  const source = await fs.realpath(folder)
  const files = await listFiles(source)
  const digest = await digestFiles(source, files)
  const target = path.join(store, name, digest)
  if (await exists(target)) return target
  const temporary = path.join(store, name, `.${digest.slice(0, 12)}-${randomBytes(6).toString('hex')}`)
  try {
    await fs.mkdir(temporary, { recursive: true, mode: 0o700 })
    for (const file of files) {
      const to = path.join(temporary, file.relative)
      if (file.type === 'directory') await fs.mkdir(to, { recursive: true, mode: 0o700 })
      else if (file.type === 'link') await fs.symlink(file.target as string, to)
      else {
        await fs.copyFile(path.join(source, file.relative), to)
        await fs.chmod(to, file.mode & 0o700)
      }
    }
    // Somebody may have written while we read: a directory named by a digest must hold just that.
    if ((await digestFiles(temporary, files)) !== digest) throw invalidParameter(`plugin ${folder} changed while it was copied: try again`)
    await fs.rename(temporary, target)
  } catch (error) {
    await fs.rm(temporary, { recursive: true, force: true })
    if (await exists(target)) return target
    throw error
  }
  return target
}

/** `tsd-engine/sdk` resolves through this link to the running engine, by Node's own lookup from any copy below the store. */
export async function linkEngine(store: string, packageRoot: string): Promise<void> {
  const modules = path.join(store, 'node_modules')
  const link = path.join(modules, 'tsd-engine')
  await fs.mkdir(modules, { recursive: true, mode: 0o700 })
  const current = await fs.readlink(link).catch(() => undefined)
  if (current === packageRoot) return
  const temporary = `${link}-${randomBytes(6).toString('hex')}`
  await fs.symlink(packageRoot, temporary)
  await fs.rename(temporary, link)
}

/** Removes versions that are not in use, once nothing older than this daemon can load them. */
export async function pruneVersions(store: string, inUse: ReadonlySet<string>): Promise<void> {
  for (const name of await fs.readdir(store).catch(() => [])) {
    if (name === 'node_modules') continue
    const directory = path.join(store, name)
    for (const digest of await fs.readdir(directory).catch(() => [])) {
      const version = path.join(directory, digest)
      if (!inUse.has(version)) await fs.rm(version, { recursive: true, force: true })
    }
    if ((await fs.readdir(directory).catch(() => ['?'])).length === 0) await fs.rmdir(directory)
  }
}

async function exists(file: string): Promise<boolean> {
  return (await fs.lstat(file).catch(() => undefined)) !== undefined
}

async function listFiles(root: string): Promise<SourceFile[]> {
  const files: SourceFile[] = []
  let bytes = 0
  const walk = async (relative: string): Promise<void> => {
    const entries = await fs.readdir(path.join(root, relative), { withFileTypes: true })
    entries.sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of entries) {
      const inner = path.join(relative, entry.name)
      // A copy of the engine that came along would be another SDK than the running one.
      if (entry.name === '.git' || (entry.name === 'tsd-engine' && path.basename(relative) === 'node_modules')) continue
      if (files.length >= maxFiles) throw invalidParameter(`plugin ${root} has more than ${maxFiles} files`)
      const full = path.join(root, inner)
      const stat = await fs.lstat(full)
      if (stat.isDirectory()) {
        files.push({ relative: inner, type: 'directory', mode: stat.mode })
        await walk(inner)
      } else if (stat.isSymbolicLink()) {
        const target = await fs.readlink(full)
        const inside = path.relative(root, path.resolve(path.dirname(full), target))
        if (path.isAbsolute(target) || inside.startsWith('..'))
          throw invalidParameter(`plugin ${root}: the link ${inner} leads out of the folder`)
        files.push({ relative: inner, type: 'link', mode: 0, target })
      } else if (stat.isFile()) {
        bytes += stat.size
        if (bytes > maxBytes) throw invalidParameter(`plugin ${root} is larger than ${maxBytes} bytes`)
        files.push({ relative: inner, type: 'file', mode: stat.mode })
      } else throw invalidParameter(`plugin ${root}: ${inner} is neither a file nor a folder`)
    }
  }
  await walk('')
  return files
}

async function digestFiles(root: string, files: SourceFile[]): Promise<string> {
  const total = createHash('sha256')
  for (const file of files) {
    total.update(JSON.stringify([file.relative, file.type, file.mode & 0o100, file.target ?? '']))
    if (file.type !== 'file') continue
    const content = createHash('sha256')
    await pipeline(createReadStream(path.join(root, file.relative)), content)
    total.update(content.digest())
  }
  return total.digest('hex')
}

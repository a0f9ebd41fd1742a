// The build context as a tar: a directory without what .dockerignore names, or what comes on standard input.
import fs from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { randomBytes } from 'node:crypto'
import type { Pack } from 'tar-stream'
import { UsageError, codeOf } from '../status.js'

type Dockerignore = (typeof import('@balena/dockerignore'))['default']
type Ignore = ReturnType<Dockerignore>

export interface DirectoryContext {
  root: string
  /** Name of the Dockerfile in the archive. */
  dockerfile: string
  /** A Dockerfile that does not lie in the directory: it is sent under a name of its own. */
  extra: { name: string; content: Buffer } | undefined
}

/** Finds the Dockerfile that `-f` names. `-` is standard input. */
export async function directoryContext(root: string, file: string, stdin: () => Promise<Buffer>): Promise<DirectoryContext> {
  const stat = await fs.stat(root).catch(() => undefined)
  if (stat === undefined) throw new UsageError(`unable to prepare context: path ${JSON.stringify(root)} not found`)
  if (!stat.isDirectory()) throw new UsageError(`unable to prepare context: context must be a directory: ${root}`)
  const sent = (content: Buffer): DirectoryContext => {
    const name = `.dockerfile.${randomBytes(10).toString('hex')}`
    return { root, dockerfile: name, extra: { name, content } }
  }
  if (file === '-') return sent(await stdin())
  const real = await fs.realpath(root)
  const wanted = file === '' ? path.join(real, 'Dockerfile') : path.resolve(file)
  const found = await fs.realpath(wanted).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' && file === '') return fs.realpath(path.join(real, 'dockerfile')).catch(() => undefined)
    return undefined
  })
  if (found === undefined)
    throw new UsageError(
      `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${wanted}: no such file or directory`,
    )
  const relative = path.relative(real, found)
  return relative.startsWith('..') ? sent(await fs.readFile(found)) : { root, dockerfile: relative, extra: undefined }
}

/** `<Dockerfile>.dockerignore` goes before the directory's. */
async function ignoreOf({ root, dockerfile }: DirectoryContext): Promise<{ ignores: (path: string) => boolean; exceptions: boolean }> {
  const read = (name: string): Promise<string | undefined> => fs.readFile(path.join(root, name), 'utf8').catch(() => undefined)
  const text = (await read(`${dockerfile}.dockerignore`)) ?? (await read('.dockerignore'))
  if (text === undefined) return { ignores: () => false, exceptions: false }
  // Its types tell of a default that a CommonJS module does not have.
  const loaded = (await import('@balena/dockerignore')) as unknown as { default: Dockerignore }
  const patterns: Ignore = loaded.default({ ignorecase: false }).add(text)
  const exceptions = text.split('\n').some((line) => line.trimStart().startsWith('!'))
  return { ignores: (name) => patterns.ignores(name), exceptions }
}

const write = (tar: Pack, header: Parameters<Pack['entry']>[0], content?: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    tar.entry(header, content ?? '', (error) => (error ? reject(error) : resolve()))
  })

async function addFile(tar: Pack, header: Parameters<Pack['entry']>[0], file: string, size: number): Promise<void> {
  if (size === 0) return write(tar, { ...header, size })
  // A file that grows while it is sent is sent as long as it was.
  await pipeline(createReadStream(file, { end: size - 1 }), tar.entry({ ...header, size }))
}

/** Writes the archive; ends when all is read. */
export async function packDirectory(tar: Pack, context: DirectoryContext): Promise<void> {
  const { root, dockerfile, extra } = context
  const { ignores, exceptions } = await ignoreOf(context)
  const always = new Set([dockerfile, '.dockerignore', `${dockerfile}.dockerignore`])
  const leadsToAlways = (name: string): boolean => [...always].some((one) => one.startsWith(`${name}/`))
  const visit = async (dir: string): Promise<void> => {
    const names = (await fs.readdir(path.join(root, dir))).sort()
    for (const name of names) {
      const relative = dir === '' ? name : `${dir}/${name}`
      const file = path.join(root, relative)
      const stat = await fs.lstat(file)
      const hidden = !always.has(relative) && ignores(relative)
      const header = { name: relative, mode: stat.mode & 0o7777, mtime: stat.mtime, uid: 0, gid: 0 }
      if (stat.isDirectory()) {
        if (!hidden) await write(tar, { ...header, name: `${relative}/`, type: 'directory' })
        if (!hidden || exceptions || leadsToAlways(relative)) await visit(relative)
      } else if (hidden) continue
      else if (stat.isSymbolicLink()) await write(tar, { ...header, type: 'symlink', linkname: await fs.readlink(file) })
      else if (stat.isFIFO()) await write(tar, { ...header, type: 'fifo' })
      else if (stat.isFile()) await addFile(tar, { ...header, type: 'file' }, file, stat.size)
    }
  }
  await visit('')
  if (extra !== undefined) await write(tar, { name: extra.name, mode: 0o600, uid: 0, gid: 0 }, extra.content)
  tar.finalize()
}

/** Whether bytes begin an archive; else they are a Dockerfile. */
export function isArchive(head: Buffer): boolean {
  const magics = [
    [0x1f, 0x8b],
    [0x42, 0x5a, 0x68],
    [0xfd, 0x37, 0x7a, 0x58, 0x5a],
    [0x28, 0xb5, 0x2f, 0xfd],
  ]
  return magics.some((magic) => magic.every((byte, at) => head[at] === byte)) || head.toString('latin1', 257, 262) === 'ustar'
}

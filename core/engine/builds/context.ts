import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { invalidParameter } from '../../sdk/errors.js'
import { decompressed } from '../layers/index.js'
import type { ArchiverPort, TreesPort, Zstd } from '../ports/index.js'
import { absolute, bytesOf } from './layer-place.js'
import { freeBytes } from './space.js'

type Dockerignore = (typeof import('@balena/dockerignore'))['default']

const largestDockerfile = 1 << 20

/** Unpacks the context that a client sent. */
export async function unpackContext(
  { archiver, zstd }: { archiver: ArchiverPort; zstd: Zstd },
  tar: Readable,
  root: string,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(path.dirname(root), { recursive: true, mode: 0o700 })
  // `COPY . /new` takes its mode over.
  await mkdir(root, { mode: 0o755 })
  const plain = Readable.from(decompressed(tar as AsyncIterable<Buffer>, zstd), { objectMode: false })
  try {
    const { entries } = await archiver.unpack(plain, { root, whiteouts: 'none', maxBytes: await freeBytes(root), signal })
    if (entries === 0) throw invalidParameter('the build context is empty: send a tar of it as the body')
  } finally {
    tar.destroy()
  }
}

async function read(trees: TreesPort, root: string, name: string): Promise<string | undefined> {
  return (await trees.read(root, bytesOf(name), largestDockerfile))?.toString()
}

/** The Dockerfile's text. What .dockerignore hides of it and of itself is taken out of the context, as Docker does. */
export async function readDockerfile(services: { trees: TreesPort; archiver: ArchiverPort }, root: string, name: string): Promise<string> {
  const { trees, archiver } = services
  const asked = absolute('/', name === '' ? 'Dockerfile' : name).slice(1)
  const wanted = name === '' && (await read(trees, root, asked)) === undefined ? 'dockerfile' : asked
  const text = await read(trees, root, wanted)
  if (text === undefined) throw invalidParameter(`Cannot locate specified Dockerfile: ${asked}`)
  if (text === '') throw invalidParameter(`the Dockerfile (${asked}) cannot be empty`)
  const ignore = (await read(trees, root, `${wanted}.dockerignore`)) ?? (await read(trees, root, '.dockerignore'))
  if (ignore !== undefined) {
    // Its types tell of a default that a CommonJS module does not have.
    const loaded = (await import('@balena/dockerignore')) as unknown as { default: Dockerignore }
    const patterns = loaded.default({ ignorecase: false }).add(ignore)
    for (const file of [wanted, '.dockerignore']) {
      const hidden = patterns.ignores(file)
      const place = hidden ? await trees.locate(root, bytesOf(file)) : undefined
      // A link of that name leads elsewhere: it stays, and what it names.
      if (place?.kind === 'file' && place.path === bytesOf(file)) await archiver.remove(`${root}/${file}`)
    }
  }
  return text
}

import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { formatReference, parseAnyReference, parseReference, repositoryOf } from '../../base/reference.js'
import { familiar, type ImageCatalog, type ImageRecord } from './catalog.js'
import type { ContentStore, Descriptor } from './content.js'

interface Saved {
  image: ImageRecord
  /** Full references. */
  names: string[]
}

/** A name without a tag means all tags of its repository, an id no name at all. */
export function chooseImages(catalog: ImageCatalog, wanted: string[]): Saved[] {
  const byId = new Map<string, Saved>()
  const add = (image: ImageRecord, names: string[]): void => {
    const saved = byId.get(image.id) ?? { image, names: [] }
    for (const name of names) if (!saved.names.includes(name)) saved.names.push(name)
    byId.set(image.id, saved)
  }
  for (const text of wanted) {
    const repository = bareRepository(text)
    const all =
      repository === undefined ? [] : catalog.all().flatMap((image) => tagsIn(catalog, image, repository).map((name) => ({ image, name })))
    if (all.length > 0) {
      for (const { image, name } of all) add(image, [name])
      continue
    }
    const { image, name } = catalog.require(text)
    add(image, name !== undefined && parseReference(name).tag !== undefined ? [name] : [])
  }
  return [...byId.values()]
}

function bareRepository(text: string): string | undefined {
  try {
    const parsed = parseAnyReference(text)
    if ('id' in parsed) return undefined
    const { reference } = parsed
    return reference.tag === undefined && reference.digest === undefined ? repositoryOf(reference) : undefined
  } catch {
    return undefined
  }
}

const tagsIn = (catalog: ImageCatalog, image: ImageRecord, repository: string): string[] =>
  catalog.namesOf(image.id).filter((name) => {
    const reference = parseReference(name)
    return reference.tag !== undefined && repositoryOf(reference) === repository
  })

const blob = (digest: string): string => `blobs/${digest.replace(':', '/')}`
const hex = (digest: string): string => digest.slice(digest.indexOf(':') + 1)

function legacyManifest(saved: Saved[]): string {
  return JSON.stringify(
    saved.map(({ image, names }) => ({
      Config: blob(image.id),
      RepoTags: names.length === 0 ? null : names.map(familiar),
      Layers: image.layers.map(({ digest }) => blob(digest)),
      LayerSources: Object.fromEntries(image.layers.map(({ diffId, mediaType, digest, size }) => [diffId, { mediaType, digest, size }])),
    })),
  )
}

function index(saved: Saved[]): string {
  const manifests = saved.flatMap(({ image, names }): Descriptor[] => {
    if (names.length === 0) return [image.manifest]
    return names.map((name) => {
      const reference = parseReference(name)
      const annotations = {
        'io.containerd.image.name': formatReference(reference),
        'org.opencontainers.image.ref.name': reference.tag as string,
      }
      return { ...image.manifest, annotations }
    })
  })
  return JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests })
}

/** What versions of Docker before 1.10 read. */
function repositories(saved: Saved[]): string {
  const all: Record<string, Record<string, string>> = {}
  for (const { image, names } of saved)
    for (const name of names) {
      const short = familiar(name)
      const colon = short.lastIndexOf(':')
      const top = image.layers.at(-1)
      if (top) all[short.slice(0, colon)] = { ...all[short.slice(0, colon)], [short.slice(colon + 1)]: hex(top.digest) }
    }
  return JSON.stringify(all)
}

/** An OCI image layout that is a docker-archive too: blobs as they are stored, each once. */
export function saveArchive(saved: Saved[], content: ContentStore): Readable {
  const out = new PassThrough()
  write(saved, content, out).catch((error: unknown) => out.destroy(error as Error))
  return out
}

async function write(saved: Saved[], content: ContentStore, out: PassThrough): Promise<void> {
  // Loaded on first use: not every daemon saves images.
  const { pack: createPack } = await import('tar-stream')
  const tar = createPack()
  const piped = pipeline(tar, out)
  piped.catch(() => undefined)
  const mtime = new Date(0)
  const text = (name: string, data: string): unknown => tar.entry({ name, mode: 0o644, mtime }, data)
  tar.entry({ name: 'blobs/', type: 'directory', mode: 0o755, mtime })
  tar.entry({ name: 'blobs/sha256/', type: 'directory', mode: 0o755, mtime })
  const sizes = new Map<string, number | undefined>()
  for (const { image } of saved) {
    for (const digest of image.blobs) if (!sizes.has(digest)) sizes.set(digest, undefined)
    for (const { digest, size } of [...image.layers, image.manifest]) sizes.set(digest, size)
  }
  for (const digest of [...sizes.keys()].sort()) {
    const size = sizes.get(digest) ?? (await content.sizeOf(digest))
    await pipeline(content.open(digest), tar.entry({ name: blob(digest), mode: 0o644, mtime, size }))
    if (out.destroyed) return
  }
  text('index.json', index(saved))
  text('manifest.json', legacyManifest(saved))
  text('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  text('repositories', repositories(saved))
  tar.finalize()
  await piped
}

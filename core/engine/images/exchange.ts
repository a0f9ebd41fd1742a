import { createReadStream } from 'node:fs'
import fs from 'node:fs/promises'
import { createGzip } from 'node:zlib'
import type { KeyedLock } from '../../base/keyed-lock.js'
import { familiarName, parseReference, repositoryOf } from '../../base/reference.js'
import { notFound } from '../../sdk/errors.js'
import type { Clock } from '../ports/index.js'
import type { DistributedManifest, ImageCatalog, ImageRecord, LayerDescriptor } from './catalog.js'
import type { ImageConfiguration } from './config.js'
import type { ContentStore, Descriptor, Ingested } from './content.js'
import { layerTypes, manifestOf, manifestType } from './installer.js'
import type { Installer } from './installer.js'

/** An image whose configuration and layers were downloaded, and whose layers are applied. */
export interface ReceivedImage {
  manifest: { mediaType: string; bytes: Buffer }
  config: Descriptor
  layers: LayerDescriptor[]
  configuration: ImageConfiguration
  /** Full repository it came from. */
  repository: string
  /** Full references that become its names. */
  names: string[]
}

/** What a push sends: blobs that are content, and the manifest that names them. */
export interface OutgoingImage {
  id: string
  config: { digest: string; size: number }
  manifest: Descriptor
  layers: LayerDescriptor[]
  /** Full repositories where these layers are too. */
  repositories: string[]
}

/** Lock of everything that changes images. */
export const LOCK = 'images'

/** The side of the images that faces registries. */
export class ImageExchange {
  readonly content: ContentStore
  private readonly held = new Map<string, number>()

  constructor(
    content: ContentStore,
    private readonly catalog: ImageCatalog,
    private readonly installer: Installer,
    private readonly locks: KeyedLock,
    private readonly clock: Clock,
    private readonly opened: () => Promise<void>,
    private readonly changed: () => Promise<void>,
  ) {
    this.content = content
  }

  open(): Promise<void> {
    return this.opened()
  }

  /** Content that must not go yet. */
  isHeld(digest: string): boolean {
    return this.held.has(digest)
  }

  /** Keeps content of these digests, also of images that are removed meanwhile, until the answer is called. */
  hold(digests: readonly string[]): () => Promise<void> {
    const own = [...new Set(digests)]
    for (const digest of own) this.held.set(digest, (this.held.get(digest) ?? 0) + 1)
    return () =>
      this.locks.run(LOCK, async () => {
        const free = own.filter((digest) => this.letGo(digest))
        if (free.length === 0) return
        const needed = new Set(this.catalog.all().flatMap(({ blobs }) => blobs))
        for (const digest of free) if (!needed.has(digest)) await this.content.remove(digest)
      })
  }

  /** True when nobody else holds it. */
  private letGo(digest: string): boolean {
    const count = (this.held.get(digest) ?? 1) - 1
    if (count > 0) {
      this.held.set(digest, count)
      return false
    }
    return this.held.delete(digest)
  }

  /** An image that is here says that this blob unpacks to this layer: nobody has to look again. */
  proves(digest: string, diffId: string): boolean {
    return this.catalog
      .all()
      .some((image) => variantsOf(image).some(({ layers }) => layers.some((layer) => layer.digest === digest && layer.diffId === diffId)))
  }

  /** Image id of a full reference. */
  named(reference: string): string | undefined {
    return this.catalog.named(reference)
  }

  /** Full references with a tag in a full repository. */
  tagsOf(repository: string): string[] {
    return this.catalog
      .all()
      .flatMap(({ id }) => this.catalog.namesOf(id))
      .filter((name) => {
        const reference = parseReference(name)
        return reference.tag !== undefined && repositoryOf(reference) === repository
      })
      .sort()
  }

  /** Makes a received image visible; what of it was not content becomes so. Answers whether any of its names is new to it. */
  async receive(image: ReceivedImage): Promise<{ changed: boolean }> {
    return this.locks.run(LOCK, async () => {
      const id = image.config.digest
      for (const digest of new Set([id, ...image.layers.map((layer) => layer.digest)])) await this.content.adoptPartial(digest)
      const workspace = await this.content.workspace()
      try {
        const manifest = await this.content.write(image.manifest.bytes, workspace)
        await this.content.sync()
        const known = this.catalog.get(id)
        const changed = image.names.some((name) => this.catalog.named(name) !== id)
        const variant: DistributedManifest = {
          manifest: { mediaType: image.manifest.mediaType, digest: manifest.digest, size: manifest.size },
          layers: image.layers,
          repositories: [image.repository],
        }
        const lastTagTime = changed || known === undefined ? this.clock.timestamp() : known.lastTagTime
        const base = { id, configuration: image.configuration, size: this.installer.sizeOf(image.configuration), lastTagTime }
        await this.showVariant(base, known, variant, image.names)
        return { changed }
      } finally {
        await fs.rm(workspace, { recursive: true, force: true })
      }
    })
  }

  private async showVariant(
    base: Pick<ImageRecord, 'id' | 'configuration' | 'size' | 'lastTagTime'>,
    known: ImageRecord | undefined,
    variant: DistributedManifest,
    names: string[],
  ): Promise<void> {
    const before = known?.distributed ?? []
    const same = before.find(({ manifest }) => manifest.digest === variant.manifest.digest)
    const repositories = [...new Set([...(same?.repositories ?? []), ...variant.repositories])]
    const distributed = [...before.filter((one) => one !== same), { ...variant, repositories }]
    const blobs = new Set([base.id, ...distributed.flatMap((one) => [one.manifest.digest, ...one.layers.map(({ digest }) => digest)])])
    await this.installer.show({ ...base, manifest: variant.manifest, layers: variant.layers, distributed, blobs: [...blobs] }, names)
    await this.changed()
    const stale = (known?.blobs ?? []).filter((digest) => !blobs.has(digest) && !this.isHeld(digest))
    const needed = new Set(stale.length === 0 ? [] : this.catalog.all().flatMap((image) => image.blobs))
    for (const digest of stale) if (!needed.has(digest)) await this.content.remove(digest)
  }

  /** What to push for a tag. Layers that are not compressed are, once: the result stays. */
  async outgoing(reference: string, repository: string, signal: AbortSignal): Promise<OutgoingImage> {
    const found = this.catalog.find(reference)
    if (found === undefined) {
      throw notFound(`An image does not exist locally with the tag: ${familiarName(parseReference(reference))}`)
    }
    const { image } = found
    const variant =
      image.distributed?.find(({ repositories }) => repositories.includes(repository)) ??
      image.distributed?.at(-1) ??
      (await this.compressed(image, signal))
    return { id: image.id, config: { digest: image.id, size: await this.sizeOf(image.id) }, ...variant }
  }

  private async compressed(image: ImageRecord, signal: AbortSignal): Promise<DistributedManifest> {
    const workspace = await this.content.workspace()
    try {
      const files = new Map<string, Ingested>()
      const layers: LayerDescriptor[] = []
      for (const layer of image.layers) {
        if (layer.mediaType !== layerTypes.plain) {
          layers.push(layer)
          continue
        }
        const file = files.get(layer.digest) ?? (await this.gzip(layer.digest, workspace, signal))
        files.set(layer.digest, file)
        layers.push({ mediaType: layerTypes.gzip, digest: file.digest, size: file.size, diffId: layer.diffId })
      }
      const config = { digest: image.id, size: await this.sizeOf(image.id) }
      const written = await this.content.spool(once(manifestOf(config, layers)), workspace)
      return await this.locks.run(LOCK, async () => {
        const current = this.catalog.require(image.id).image
        for (const file of [...files.values(), written]) await this.content.adopt(file)
        await this.content.sync()
        const variant = { manifest: { mediaType: manifestType, digest: written.digest, size: written.size }, layers, repositories: [] }
        await this.showVariant(current, current, variant, [])
        return variant
      })
    } finally {
      await fs.rm(workspace, { recursive: true, force: true })
    }
  }

  private gzip(digest: string, workspace: string, signal: AbortSignal): Promise<Ingested> {
    const plain = createReadStream(this.content.blobPath(digest), { highWaterMark: 1 << 18, signal })
    const zipped = createGzip({ chunkSize: 1 << 17 })
    plain.once('error', (error) => zipped.destroy(error))
    return this.content.spool(plain.pipe(zipped) as AsyncIterable<Uint8Array>, workspace)
  }

  private async sizeOf(digest: string): Promise<number> {
    return (await fs.stat(this.content.blobPath(digest))).size
  }

  /** An image was pushed: its digest becomes a name of it, unless it is gone. */
  async sent(image: OutgoingImage, repository: string): Promise<void> {
    await this.locks.run(LOCK, async () => {
      const current = this.catalog.get(image.id)
      if (current === undefined) return
      const variant = { manifest: image.manifest, layers: image.layers, repositories: [repository] }
      await this.showVariant(current, current, variant, [`${repository}@${image.manifest.digest}`])
    })
  }
}

function variantsOf(image: ImageRecord): { layers: LayerDescriptor[] }[] {
  return [image, ...(image.distributed ?? [])]
}

async function* once(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}

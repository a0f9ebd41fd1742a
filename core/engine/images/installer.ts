import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { formatReference, parseReference } from '../../base/reference.js'
import { invalidParameter } from '../../sdk/errors.js'
import { layerId } from '../layers/index.js'
import type { LayerBlob, LayerPins, Layers } from '../layers/index.js'
import { hexOf } from './catalog.js'
import type { ImageCatalog, ImageRecord, LayerDescriptor } from './catalog.js'
import { maxConfigBytes } from './config.js'
import type { ImageConfiguration } from './config.js'
import type { ContentStore, Descriptor, Ingested } from './content.js'

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const configType = 'application/vnd.oci.image.config.v1+json'
export const layerTypes = { plain: 'application/vnd.oci.image.layer.v1.tar', gzip: 'application/vnd.oci.image.layer.v1.tar+gzip' }

export interface NewImage {
  config: Ingested
  configuration: ImageConfiguration
  layers: Ingested[]
  /** Id of the image that it was built on. */
  parent?: string
}

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file, 'r')
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0)
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b
  } finally {
    await handle.close()
  }
}

/** Topmost layer of an image; undefined when it has none. */
export function topLayerOf(configuration: ImageConfiguration): string | undefined {
  let top: string | undefined
  for (const diffId of configuration.diffIds) top = layerId(top, diffId)
  return top
}

export const ownerOf = (image: string): string => `image/${hexOf(image)}`

/** Turns spooled files into layers, content and one record that makes the image visible. */
export class Installer {
  private readonly content: ContentStore
  private readonly layers: Layers
  private readonly catalog: ImageCatalog

  constructor(content: ContentStore, layers: Layers, catalog: ImageCatalog) {
    this.content = content
    this.layers = layers
    this.catalog = catalog
  }

  /** Applies one layer of the image; answers its id and size. */
  async applyLayer(image: NewImage, index: number, parent: string | undefined, pins: LayerPins, signal: AbortSignal): Promise<string> {
    const file = image.layers[index] as Ingested
    const blob: LayerBlob = {
      digest: file.digest,
      diffId: image.configuration.diffIds[index] as string,
      open: () => createReadStream(file.file, { highWaterMark: 1 << 17 }),
    }
    return (await this.layers.apply(blob, parent, pins, signal)).id
  }

  /** The layers of an image that the selected graph driver does not have (it was changed) come from the content store. */
  async restoreLayers(image: ImageRecord, signal: AbortSignal): Promise<void> {
    const pins = this.layers.pin()
    try {
      let parent: string | undefined
      for (const { digest, diffId } of image.layers) {
        parent = (await this.layers.apply({ digest, diffId, open: () => this.content.open(digest) }, parent, pins, signal)).id
      }
      if (parent !== undefined) await this.catalog.commit({ also: this.layers.refer(parent, ownerOf(image.id)) })
    } finally {
      await pins.release()
    }
  }

  /** Content and record. An image that is there keeps its content. To be called under the lock of the images, when all layers are applied. */
  async install(image: NewImage, names: string[], workspace: string, now: string): Promise<ImageRecord> {
    const known = this.catalog.get(image.config.digest)
    if (known !== undefined) return this.show(names.length > 0 ? { ...known, lastTagTime: now } : known, names)
    const { config, configuration } = image
    const layers: LayerDescriptor[] = []
    for (const [index, file] of image.layers.entries()) {
      const mediaType = (await isGzip(file.file)) ? layerTypes.gzip : layerTypes.plain
      layers.push({ mediaType, digest: file.digest, size: file.size, diffId: configuration.diffIds[index] as string })
    }
    // One file may be several layers: only the first adopts it.
    const files = new Map([config, ...image.layers].map((file) => [file.digest, file]))
    for (const file of files.values()) await this.content.adopt(file)
    const manifest = await this.content.write(manifestOf(config, layers), workspace)
    await this.content.sync()
    return this.show(
      {
        id: config.digest,
        manifest: { mediaType: manifestType, digest: manifest.digest, size: manifest.size },
        layers,
        configuration,
        ...(image.parent === undefined ? {} : { parent: image.parent }),
        blobs: [...files.keys(), manifest.digest],
        size: this.sizeOf(configuration),
        lastTagTime: names.length > 0 ? now : '',
      },
      names,
    )
  }

  /** Bytes of the layers, unpacked. */
  sizeOf(configuration: ImageConfiguration): number {
    const top = topLayerOf(configuration)
    return top === undefined ? 0 : this.layers.chain(top).reduce((sum, { size }) => sum + size, 0)
  }

  /** The batch that makes an image, and its names, visible. */
  async show(record: ImageRecord, names: string[]): Promise<ImageRecord> {
    const top = topLayerOf(record.configuration)
    const also = top === undefined ? [] : this.layers.refer(top, ownerOf(record.id))
    try {
      await this.catalog.commit({ put: [record], name: Object.fromEntries(names.map((name) => [name, record.id])), also })
    } catch (error) {
      if (top !== undefined && this.catalog.get(record.id) === undefined) this.layers.unrefer(top, ownerOf(record.id))
      throw error
    }
    return record
  }
}

export function manifestOf(config: { digest: string; size: number }, layers: Descriptor[]): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: configType, digest: config.digest, size: config.size },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  })
}

export function checkConfigSize(config: Ingested): void {
  if (config.size > maxConfigBytes)
    throw invalidParameter(`invalid image configuration: it has ${config.size} bytes, at most ${maxConfigBytes} are read`)
}

/** Entries of `index.json`: one for each name, one without for an image that has none. */
export function indexEntries(catalog: ImageCatalog): Descriptor[] {
  return catalog.all().flatMap(({ id, manifest }): Descriptor[] => {
    const tags = catalog
      .namesOf(id)
      .map((name) => parseReference(name))
      .filter(({ tag }) => tag !== undefined)
    if (tags.length === 0) return [manifest]
    return tags.map((reference) => ({
      ...manifest,
      annotations: { 'io.containerd.image.name': formatReference(reference), 'org.opencontainers.image.ref.name': reference.tag as string },
    }))
  })
}

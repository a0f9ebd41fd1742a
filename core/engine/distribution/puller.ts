import { Readable } from 'node:stream'
import { digestOf } from '../../base/digest.js'
import { familiarString, formatReference, repositoryOf, type Reference } from '../../base/reference.js'
import { notFound } from '../../sdk/errors.js'
import { maxConfigBytes, parseConfiguration } from '../images/index.js'
import type { Descriptor, ImageConfiguration, ImageExchange, LayerDescriptor } from '../images/index.js'
import { layerId } from '../layers/index.js'
import type { LayerPins, Layers } from '../layers/index.js'
import type { Downloader } from './downloader.js'
import { RegistryFault } from './faults.js'
import { parseManifest, type ImageIndex, type ImageManifest } from './manifest.js'
import { fitness, hostPlatform, platformText, type Platform } from './platform.js'
import { LayerProgress, type Emit } from './progress.js'
import type { RawManifest, Repository } from './registry.js'

const maxNesting = 3

export interface PullTask {
  /** With a tag or a digest. */
  reference: Reference
  /** Undefined: this machine's. */
  platform: Platform | undefined
  emit: Emit
  signal: AbortSignal
}

interface Chosen {
  raw: RawManifest
  manifest: ImageManifest
  /** Of the outermost document: what the image is called by. */
  digest: string
}

/** Pulls one image from one repository. */
export class Puller {
  constructor(
    private readonly exchange: ImageExchange,
    private readonly layers: Layers,
    private readonly downloader: Downloader,
  ) {}

  async pull(repository: Repository, task: PullTask): Promise<void> {
    const { reference, emit } = task
    const { raw, manifest, digest } = await this.choose(repository, task)
    const asked = reference.digest ?? reference.tag ?? ''
    emit({ status: `Pulling from ${reference.path}`, id: asked })
    const letGo = this.exchange.hold([manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)])
    const pins = this.layers.pin()
    try {
      const configuration = await this.configuration(repository, manifest.config, task)
      const layers = paired(manifest, configuration)
      await this.fetchLayers(repository, layers, pins, task)
      const repo = repositoryOf(reference)
      const byDigest = `${repo}@${digest}`
      const names = reference.digest === undefined ? [formatReference(reference), byDigest] : [byDigest]
      task.signal.throwIfAborted()
      const { changed } = await this.exchange.receive({
        manifest: { mediaType: manifest.mediaType, bytes: raw.bytes },
        config: manifest.config,
        layers,
        configuration,
        repository: repo,
        names,
      })
      emit({ status: `Digest: ${digest}` })
      emit({ status: `Status: ${changed ? 'Downloaded newer image' : 'Image is up to date'} for ${familiarString(reference)}` })
    } finally {
      await pins.release()
      await letGo()
    }
  }

  /** The manifest of the image for the platform, through as many indexes as it takes. */
  private async choose(repository: Repository, { reference, platform, signal }: PullTask): Promise<Chosen> {
    let raw = await repository.manifest(reference.digest ?? reference.tag ?? 'latest', signal)
    const digest = digestOf(raw.bytes)
    const expected = reference.digest ?? raw.digest
    if (expected !== '' && expected !== digest)
      throw new RegistryFault(`manifest verification failed for digest ${expected}: it is ${digest}`)
    for (let depth = 0; depth < maxNesting; depth++) {
      const manifest = parseManifest(raw.bytes, raw.mediaType)
      if (manifest.kind === 'image') return { raw, manifest, digest }
      const entry = fitting(manifest, platform)
      raw = await repository.manifest(entry.digest, signal)
      if (raw.bytes.length !== entry.size || digestOf(raw.bytes) !== entry.digest)
        throw new RegistryFault(`manifest verification failed for digest ${entry.digest}: it is ${digestOf(raw.bytes)}`)
    }
    throw new RegistryFault(`manifest ${digest}: its indexes are nested too deeply`)
  }

  private async configuration(
    repository: Repository,
    blob: Descriptor,
    { reference, platform, signal }: PullTask,
  ): Promise<ImageConfiguration> {
    if (blob.size > maxConfigBytes)
      throw new RegistryFault(`invalid manifest: the image configuration has ${blob.size} bytes, at most ${maxConfigBytes} are read`)
    await this.downloader.fetch(repository, blob, undefined, signal)
    const chunks: Buffer[] = []
    for await (const chunk of await this.exchange.content.openDownloaded(blob.digest)) chunks.push(chunk as Buffer)
    const configuration = parseConfiguration(Buffer.concat(chunks))
    if (platform !== undefined && fitness(platform, configuration) === undefined) {
      throw notFound(
        `image with reference ${familiarString(reference)} was found but its platform (${platformText(configuration)}) does not match the specified platform (${platformText(platform)})`,
      )
    }
    return configuration
  }

  /** Downloads side by side, applies in order as soon as each is there. */
  private async fetchLayers(repository: Repository, layers: LayerDescriptor[], pins: LayerPins, task: PullTask): Promise<void> {
    const failed = new AbortController()
    const signal = AbortSignal.any([task.signal, failed.signal])
    const known: boolean[] = []
    let id: string | undefined
    for (const layer of layers) {
      id = layerId(id, layer.diffId)
      pins.add(id)
      known.push(
        this.layers.get(id) !== undefined &&
          this.exchange.proves(layer.digest, layer.diffId) &&
          (await this.exchange.content.has(layer.digest)),
      )
    }
    const steps = layers.map((layer, index) => {
      const progress = new LayerProgress(task.emit, layer.digest)
      progress.status(known[index] === true ? 'Already exists' : 'Pulling fs layer')
      return { layer, progress, known: known[index] === true }
    })
    const downloads = steps.map(async ({ layer, progress, known: there }) => {
      if (!there) await this.downloader.fetch(repository, layer, progress, signal)
    })
    const all = [...downloads, this.applyAll(steps, downloads, pins, signal)]
    try {
      await Promise.all(all)
    } catch (error) {
      failed.abort(error)
      throw error
    } finally {
      // Whichever fails first ends the others; all have ended before anything is let go.
      await Promise.allSettled(all)
    }
  }

  private async applyAll(
    steps: { layer: LayerDescriptor; progress: LayerProgress; known: boolean }[],
    downloads: Promise<void>[],
    pins: LayerPins,
    signal: AbortSignal,
  ): Promise<void> {
    let parent: string | undefined
    for (const [index, { layer, progress, known }] of steps.entries()) {
      await downloads[index]
      if (!known) await this.apply(layer, parent, progress, pins, signal)
      parent = layerId(parent, layer.diffId)
    }
  }

  private async apply(
    layer: LayerDescriptor,
    parent: string | undefined,
    progress: LayerProgress,
    pins: LayerPins,
    signal: AbortSignal,
  ): Promise<void> {
    const source = await this.exchange.content.openDownloaded(layer.digest)
    const counted = async function* (): AsyncGenerator<Buffer> {
      let current = 0
      for await (const chunk of source as AsyncIterable<Buffer>) {
        current += chunk.length
        progress.bytes('Extracting', current, layer.size)
        yield chunk
      }
    }
    const blob = { digest: layer.digest, diffId: layer.diffId, open: () => Readable.from(counted(), { objectMode: false }) }
    try {
      await this.layers.apply(blob, parent, pins, signal)
    } finally {
      source.destroy()
    }
    progress.status('Pull complete')
  }
}

function fitting(index: ImageIndex, wanted: Platform | undefined): Descriptor {
  const platform = wanted ?? hostPlatform()
  let best: { entry: Descriptor; fit: number } | undefined
  for (const entry of index.manifests) {
    // An entry that names no platform is for all.
    const fit = entry.platform === undefined ? 1000 : fitness(platform, entry.platform)
    if (fit !== undefined && (best === undefined || fit < best.fit)) best = { entry, fit }
  }
  if (best === undefined)
    throw notFound(
      `no matching manifest for ${platformText(platform)} in the manifest list entries: no match for platform in manifest: not found`,
    )
  return best.entry
}

function paired({ layers }: ImageManifest, { diffIds }: ImageConfiguration): LayerDescriptor[] {
  if (layers.length !== diffIds.length) throw new RegistryFault("layers from manifest don't match image configuration")
  return layers.map(({ mediaType, digest, size }, index) => ({ mediaType, digest, size, diffId: diffIds[index] as string }))
}

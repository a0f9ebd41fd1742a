import { createReadStream } from 'node:fs'
import { parseReference, repositoryOf, type Reference } from '../../base/reference.js'
import type { ImageExchange, LayerDescriptor, OutgoingImage } from '../images/index.js'
import { maxManifestBytes } from './manifest.js'
import { isTemporary, RegistryRefusal } from './faults.js'
import type { Gate } from './gate.js'
import { LayerProgress, type Emit } from './progress.js'
import type { Repository } from './registry.js'

/** Where a registry takes no body of a blob's size, it is sent in parts of this many bytes. */
const partSize = 16 * 1024 * 1024

interface Blob {
  digest: string
  size: number
}

/** Pushes one image to one repository. */
export class Pusher {
  constructor(
    private readonly exchange: ImageExchange,
    private readonly gate: Gate,
    private readonly attempts: () => number,
  ) {}

  /** `reference`: with its tag. */
  async push(repository: Repository, reference: Reference, image: OutgoingImage, emit: Emit, signal: AbortSignal): Promise<void> {
    const letGo = this.exchange.hold([image.config.digest, image.manifest.digest, ...image.layers.map(({ digest }) => digest)])
    try {
      // Asked first: that nobody is there shows before anything is said.
      const configThere = await repository.hasBlob(image.config.digest, signal)
      await this.sendLayers(repository, image, reference, emit, signal)
      if (!configThere) await this.withAttempts(signal, () => this.sendBlob(repository, image.config, [], undefined, signal))
      const bytes = await this.exchange.content.read(image.manifest.digest, maxManifestBytes)
      await this.withAttempts(signal, () =>
        repository.putManifest(reference.tag ?? image.manifest.digest, image.manifest.mediaType, bytes, signal),
      )
      await this.exchange.sent(image, repositoryOf(reference))
    } finally {
      await letGo()
    }
    const { digest, size } = image.manifest
    emit({ status: `${reference.tag}: digest: ${digest} size: ${size}` })
    emit({ progressDetail: {}, aux: { Tag: reference.tag, Digest: digest, Size: size } })
  }

  private async sendLayers(
    repository: Repository,
    image: OutgoingImage,
    reference: Reference,
    emit: Emit,
    signal: AbortSignal,
  ): Promise<void> {
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    const elsewhere = image.repositories
      .map((name) => parseReference(name))
      .filter(({ domain, path }) => domain === reference.domain && path !== reference.path)
      .map(({ path }) => path)
    const layers = new Map<string, { layer: LayerDescriptor; progress: LayerProgress }>()
    for (const layer of image.layers) layers.set(layer.digest, { layer, progress: new LayerProgress(emit, layer.diffId) })
    for (const { progress } of layers.values()) progress.status('Preparing')
    const uploads = [...layers.values()].map(async ({ layer, progress }) => {
      if (this.gate.full) progress.status('Waiting')
      await this.gate.run(either, () => this.withAttempts(either, () => this.sendBlob(repository, layer, elsewhere, progress, either)))
    })
    try {
      await Promise.all(uploads)
    } catch (error) {
      failed.abort(error)
      throw error
    } finally {
      await Promise.allSettled(uploads)
    }
  }

  private async withAttempts(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work()
      } catch (error) {
        if (signal.aborted || !isTemporary(error) || attempt >= this.attempts()) throw error
      }
    }
  }

  private async sendBlob(
    repository: Repository,
    blob: Blob,
    elsewhere: string[],
    progress: LayerProgress | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    if (await repository.hasBlob(blob.digest, signal)) return progress?.status('Layer already exists')
    const [from] = elsewhere
    const begun = await this.begin(repository, blob.digest, from, signal)
    if (begun === 'mounted') return progress?.status(`Mounted from ${from}`)
    await this.upload(repository, begun, blob, progress, signal)
    progress?.status('Pushed')
  }

  /** A mount that is not allowed is no reason not to upload. */
  private async begin(repository: Repository, digest: string, from: string | undefined, signal: AbortSignal): Promise<URL | 'mounted'> {
    try {
      return await repository.startUpload(digest, from, signal)
    } catch (error) {
      if (from === undefined || !(error instanceof RegistryRefusal) || error.temporary) throw error
      return repository.startUpload(digest, undefined, signal)
    }
  }

  private content(blob: Blob, progress: LayerProgress | undefined, start: number, end: number): () => AsyncIterable<Uint8Array> {
    const file = this.exchange.content.blobPath(blob.digest)
    return async function* () {
      let current = start
      for await (const chunk of createReadStream(file, { highWaterMark: 1 << 17, start, end: end - 1 }) as AsyncIterable<Buffer>) {
        yield chunk
        current += chunk.length
        progress?.bytes('Pushing', current, blob.size)
      }
    }
  }

  private async upload(
    repository: Repository,
    begun: URL,
    blob: Blob,
    progress: LayerProgress | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const body = this.content(blob, progress, 0, blob.size)
      return await repository.finishUpload(begun, blob.digest, { body, size: blob.size }, signal)
    } catch (error) {
      if (!(error instanceof RegistryRefusal) || error.status !== 413 || blob.size <= partSize) throw error
    }
    let at = await repository.startUpload(blob.digest, undefined, signal)
    if (at === 'mounted') return
    for (let offset = 0; offset < blob.size; offset += partSize) {
      const size = Math.min(partSize, blob.size - offset)
      at = await repository.sendPart(at, { body: this.content(blob, progress, offset, offset + size), offset, size }, signal)
    }
    await repository.finishUpload(at, blob.digest, undefined, signal)
  }
}

import type { Readable } from 'node:stream'
import type { ImageDeleteResponseItem, ImageInspect, ImageSummary } from '../../schema/engine-api.js'
import type { HistoryEntry, ImageConfiguration, ImageRuntimeConfig } from './config.js'
import type { DerivedImage } from './derive.js'

/** One message of a progress stream, as Docker's clients print it. */
export interface ProgressMessage {
  stream?: string
  status?: string
  id?: string
  progress?: string
  progressDetail?: { current?: number; total?: number }
  error?: string
  errorDetail?: { code?: number; message: string }
  aux?: Record<string, unknown>
}

/** What a container needs of its image. */
export interface ResolvedImage {
  /** `sha256:<hex>` of the config. */
  id: string
  /** Graph layer id of the topmost layer; undefined for an image without layers. */
  topLayer: string | undefined
  config: ImageRuntimeConfig
  architecture: string
  os: string
}

export interface Images {
  /** By name, tag, digest, id or unique id prefix. NotFound `No such image: x`. */
  resolve(reference: string): Promise<ResolvedImage>
  /** The image that a reference means now, by id; undefined when there is none. */
  idOf(reference: string): Promise<string | undefined>
  list(options: { all: boolean; digests: boolean; filters: Record<string, string[]> }): Promise<ImageSummary[]>
  inspect(reference: string): Promise<ImageInspect>
  /** docker-archive and OCI layout tars, plain, gzip. Yields progress; a failure of the content is thrown. */
  load(tar: Readable, options: { quiet: boolean; signal: AbortSignal }): AsyncIterable<ProgressMessage>
  /** A root file system tar becomes an image. */
  import(
    tar: Readable,
    options: { repo: string; tag: string; message: string; changes: string[]; platform: string; signal: AbortSignal },
  ): AsyncIterable<ProgressMessage>
  /** The whole configuration, for those who build on it. */
  configuration(reference: string): Promise<{ id: string; configuration: ImageConfiguration }>
  /** One step on from an image, or from nothing. Answers the new image's id; it has no name. */
  derive(derived: DerivedImage, signal: AbortSignal): Promise<string>
  /** One of its layers (the lowest is 0) as a plain tar. */
  layerOf(reference: string, index: number): Promise<Readable>
  tag(reference: string, repo: string, tag: string): Promise<void>
  remove(reference: string, options: { force: boolean; noPrune: boolean }): Promise<ImageDeleteResponseItem[]>
  /** Containers keep their image from being deleted. `containers` answers who uses an image id: set by the containers service. */
  usedBy: (imageId: string) => { containerId: string; running: boolean }[]
  count(): Promise<number>
  /** At boot, before the API is served: removes content that belongs to no image. */
  reconcile(): Promise<void>
  /** What the image's configuration says of its making, oldest first. */
  history(reference: string): Promise<HistoryEntry[]>
}
export const Images = Symbol.for('tsd.Images')

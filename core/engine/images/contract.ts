import type { Readable } from 'node:stream'
import type { ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect, ImageSummary } from '../../schema/engine-api.js'
import type { ImageConfiguration, ImageRuntimeConfig } from './config.js'
import type { DerivedImage } from './derive.js'
import type { ImageExchange } from './exchange.js'

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

export interface CommitRequest {
  /** The container's image. */
  imageId: string
  changes: Readable
  /** Of the container; the changes below are applied to it. */
  config: ImageRuntimeConfig
  instructions: string[]
  repo: string
  tag: string
  author: string
  comment: string
  createdBy: string
  signal: AbortSignal
}

export interface Images {
  /** What pull and push need. */
  readonly exchange: ImageExchange
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
  derive(parentId: string | undefined, derived: DerivedImage, signal: AbortSignal): Promise<string>
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
  history(reference: string): Promise<ImageHistoryResponseItem[]>
  /** A container's changes become an image on the one that it was made of. Answers its id. */
  commit(commit: CommitRequest): Promise<{ id: string; name: string | undefined }>
  /** An OCI layout that docker load reads, of several images. The stream may end in an error. */
  save(references: string[]): Promise<Readable>
  /** Removes what no container uses: without names only, unless `dangling=false` is asked for. */
  prune(filters: Record<string, string[]>): Promise<{ ImagesDeleted: ImageDeleteResponseItem[]; SpaceReclaimed: number }>
  /** Disk space of all images. */
  usage(): Promise<{ LayersSize: number; Images: ImageSummary[] }>
}
export const Images = Symbol.for('tsd.Images')

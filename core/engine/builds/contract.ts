import type { Readable } from 'node:stream'
import type { HostConfig } from '../../schema/engine-api.js'
import type { RegistryCredentials } from '../distribution/index.js'
import type { ProgressMessage } from '../images/index.js'

export interface BuildOptions {
  /** Path of the Dockerfile in the context. */
  dockerfile: string
  /** `name[:tag]` to give to the result. */
  tags: string[]
  quiet: boolean
  noCache: boolean
  /** Images whose history may stand for steps. */
  cacheFrom: string[]
  /** Ask the registry for base images even when they are here. */
  pull: boolean
  /** Remove a step's container when the step succeeded; `forceRemove`: always. */
  remove: boolean
  forceRemove: boolean
  /** Null: the argument is named, and has no value. */
  buildArgs: Record<string, string | null>
  labels: Record<string, string>
  target: string
  platform: string
  /** Of the containers that steps run in. */
  hostConfig: HostConfig
  /** What RUN --mount=type=secret may ask for, by id. */
  secrets: ReadonlyMap<string, Buffer>
  /** By registry, as clients name them. */
  credentials: ReadonlyMap<string, RegistryCredentials>
}

export interface PrunedBuilds {
  CachesDeleted: string[]
  SpaceReclaimed: number
}

export interface Builds {
  /** Builds an image from a tar of its context. What is wrong with the request is thrown before the first message. */
  build(context: Readable, options: BuildOptions, signal: AbortSignal): AsyncIterable<ProgressMessage>
  /** Removes what RUN --mount=type=cache has kept, and what is remembered of steps. */
  prune(filters: Record<string, string[]>): Promise<PrunedBuilds>
  /** A clean stop of the daemon: builds at work are cancelled. Resolves when nothing of them is left. */
  stopAll(): Promise<void>
  /** At boot, after the containers: removes what builds of an earlier daemon left. */
  reconcile(): Promise<void>
}
export const Builds = Symbol.for('tsd.Builds')

/** Where base images come from that are not here. */
export interface BaseImages {
  /** Brings an image, or refuses by name. */
  pull(
    reference: string,
    options: { platform: string; credentials: ReadonlyMap<string, RegistryCredentials> },
    tell: (message: ProgressMessage) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>
}
export const BaseImages = Symbol.for('tsd.BaseImages')

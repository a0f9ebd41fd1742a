import { mkdir } from 'node:fs/promises'
import { randomHex } from '../../base/random.js'
import { categoryOf } from '../../sdk/errors.js'
import type { Containers } from '../containers/index.js'
import type { Images, ProgressMessage, ResolvedImage } from '../images/index.js'
import type { ArchiverPort, Clock, Downloads, LoggerPort, MetadataStore, TreesPort, Zstd } from '../ports/index.js'
import type { BuildArguments } from './arguments.js'
import type { CacheMounts } from './cache-mounts.js'
import type { StepCache } from './cache.js'
import type { BaseImages, BuildOptions } from './contract.js'
import type { Dockerfile } from './dockerfile/stages.js'
import type { Views } from './views.js'

/** What every build needs of the engine. */
export interface BuildServices {
  images: Images
  containers: Containers
  baseImages: BaseImages
  archiver: ArchiverPort
  trees: TreesPort
  downloads: Downloads
  zstd: Zstd
  store: MetadataStore
  clock: Clock
  logger: LoggerPort
  cacheMounts: CacheMounts
}

/** What the steps of one build share. */
export interface Workshop extends BuildServices {
  id: string
  options: BuildOptions
  file: Dockerfile
  arguments: BuildArguments
  cache: StepCache
  views: Views
  /** Holds `context/`, and `made/` for files that come from elsewhere. Gone with the build. */
  workDir: string
  /** As `workDir`, in memory where the host has its run files there. */
  secretDir: string
  signal: AbortSignal
  /** The image that an earlier stage ends with. */
  stageImage(index: number): Promise<string | undefined>
}

/** A new directory for files of one step, relative to the work directory. */
export async function madeDirectory({ workDir }: Workshop): Promise<string> {
  const name = `made/${randomHex(8)}`
  await mkdir(`${workDir}/${name}`, { recursive: true, mode: 0o700 })
  return name
}

/** An image by reference: here, or brought. */
export async function baseImage(
  shop: Workshop,
  reference: string,
  platform: string,
  tell: (message: ProgressMessage) => Promise<void>,
): Promise<ResolvedImage> {
  const { images, baseImages, signal, options } = shop
  if (options.pull) await baseImages.pull(reference, { platform, credentials: options.credentials }, tell, signal)
  const here = await images.resolve(reference).catch((error: unknown) => {
    if (categoryOf(error) === 'NotFound') return undefined
    throw error
  })
  if (here !== undefined && fits(here, platform)) return here
  if (!options.pull) await baseImages.pull(reference, { platform, credentials: options.credentials }, tell, signal)
  return images.resolve(reference)
}

function fits({ os, architecture }: { os: string; architecture: string }, platform: string): boolean {
  return platform === '' || platform === os || platform === `${os}/${architecture}` || platform.startsWith(`${os}/${architecture}/`)
}

/** Root directory of an image's tree; an empty directory for one without layers. */
export async function rootOf(shop: Workshop, image: string | undefined): Promise<string> {
  const layer = image === undefined ? undefined : (await shop.images.resolve(image)).topLayer
  if (layer !== undefined) return shop.views.of(layer)
  const empty = `${shop.workDir}/empty`
  await mkdir(empty, { recursive: true, mode: 0o755 })
  return empty
}

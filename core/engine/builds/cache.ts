import { digestOf } from '../../base/digest.js'
import type { HistoryEntry, ImageConfiguration, ImageRuntimeConfig, Images } from '../images/index.js'
import type { Clock, MetadataStore } from '../ports/index.js'

/** What was made of what: `build-step/<hex>`. */
interface StepRecord {
  image: string
}
export const STEP = 'build-step/'

export interface StepInput {
  parent: string | undefined
  config: ImageRuntimeConfig
  author: string
  /** What the step is, content included; becomes the image's history. */
  createdBy: string
  /** What else its result depends on. */
  also: readonly string[]
}

interface Source {
  id: string
  configuration: ImageConfiguration
}

/** Finds the image that a step made earlier: by parent, instruction and content. */
export class StepCache {
  private readonly images: Images
  private readonly store: MetadataStore
  private readonly clock: Clock
  private readonly sources: Source[]

  /** `sources`: images whose history may stand for steps (--cache-from). */
  constructor(images: Images, store: MetadataStore, clock: Clock, sources: Source[]) {
    this.images = images
    this.store = store
    this.clock = clock
    this.sources = sources
  }

  private key({ parent = '', config, author, createdBy, also }: StepInput): string {
    return STEP + digestOf(JSON.stringify([parent, config, author, createdBy, also])).slice('sha256:'.length)
  }

  async find(step: StepInput, signal: AbortSignal): Promise<string | undefined> {
    const record = await this.store.get<StepRecord>(this.key(step))
    if (record !== undefined && (await this.exists(record.image))) return record.image
    return this.fromSources(step, signal)
  }

  private async exists(image: string): Promise<boolean> {
    return this.images.configuration(image).then(
      () => true,
      () => false,
    )
  }

  async keep(step: StepInput, image: string): Promise<void> {
    await this.store.batch([{ put: this.key(step), value: { image } satisfies StepRecord }], { sync: false })
  }

  /** An image that another daemon may have built: its history tells which step made which of its layers. */
  private async fromSources(step: StepInput, signal: AbortSignal): Promise<string | undefined> {
    if (this.sources.length === 0 || step.also.length > 0) return undefined
    const parent = step.parent === undefined ? undefined : (await this.images.configuration(step.parent)).configuration
    for (const source of this.sources) {
      const entry = nextStep(source.configuration, parent)
      if (entry?.created_by !== step.createdBy) continue
      const { diffIds } = parent ?? { diffIds: [] }
      const image =
        source.configuration.history.length === (parent?.history.length ?? 0) + 1
          ? source.id
          : await this.images.derive(
              step.parent,
              {
                config: step.config,
                author: step.author,
                created: entry.created ?? this.clock.timestamp(),
                history: { created: entry.created ?? this.clock.timestamp(), created_by: step.createdBy },
                layer: entry.empty_layer === true ? undefined : await this.images.layerOf(source.id, diffIds.length),
              },
              signal,
            )
      await this.keep(step, image)
      return image
    }
    return undefined
  }
}

/** The step of an image's history that follows all of another's; undefined when it does not begin with that one. */
function nextStep(source: ImageConfiguration, parent: ImageConfiguration | undefined): HistoryEntry | undefined {
  const { history, diffIds } = parent ?? { history: [], diffIds: [] }
  const same =
    diffIds.every((diffId, index) => source.diffIds[index] === diffId) &&
    history.every((entry, index) => {
      const other = source.history[index]
      return other?.created_by === entry.created_by && (other?.empty_layer ?? false) === (entry.empty_layer ?? false)
    })
  return same ? source.history[history.length] : undefined
}

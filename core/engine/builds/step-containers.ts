import type { Readable } from 'node:stream'
import { shortId } from '../../base/ids.js'
import { randomHex } from '../../base/random.js'
import type { ContainerCreateBody } from '../../schema/engine-api.js'
import { categoryOf, messageOf } from '../../sdk/errors.js'
import type { Containers } from '../containers/index.js'
import type { ProgressMessage } from '../images/index.js'
import type { Layers } from '../layers/index.js'
import type { LoggerPort, MetadataStore } from '../ports/index.js'

/** A container that a build is about to make, by name: what a killed daemon leaves is found by it. */
export const STEP_CONTAINER = 'build-container/'

/** The containers that one stage's steps run in. */
export class StepContainers {
  private readonly containers: Containers
  private readonly layers: Layers
  private readonly store: MetadataStore
  private readonly logger: LoggerPort
  private readonly made = new Map<string, string>()

  constructor(services: { containers: Containers; layers: Layers; store: MetadataStore; logger: LoggerPort }) {
    this.containers = services.containers
    this.layers = services.layers
    this.store = services.store
    this.logger = services.logger
  }

  async create(body: ContainerCreateBody, tell: (message: ProgressMessage) => Promise<void>): Promise<string> {
    const name = `build_${randomHex(6)}`
    await this.store.batch([{ put: STEP_CONTAINER + name, value: {} }], { sync: false })
    const { Id, Warnings } = await this.containers.create(name, body)
    this.made.set(Id, name)
    for (const warning of Warnings) await tell({ stream: ` ---> [Warning] ${warning}\n` })
    return Id
  }

  /** What a container that has ended changed, as a layer tar. */
  changes(id: string): Promise<Readable> {
    return this.layers.containerDiff(id)
  }

  async removeAll(tell: (message: ProgressMessage) => Promise<void>): Promise<void> {
    for (const [id, name] of this.made) {
      await removeStepContainer(this.containers, this.store, id, name).then(
        () => tell({ stream: `Removing intermediate container ${shortId(id)}\n` }),
        (error: unknown) => this.logger.warn(`container ${name} of a build remains: ${messageOf(error)}`),
      )
    }
    this.made.clear()
  }

  /** They stay, as the client wants it: nobody looks for them any more. */
  async keepAll(): Promise<void> {
    await this.store.batch(
      [...this.made.values()].map((name) => ({ del: STEP_CONTAINER + name })),
      { sync: false },
    )
    this.made.clear()
  }
}

/** By id or name; that it is gone already is as good. */
export async function removeStepContainer(containers: Containers, store: MetadataStore, reference: string, name: string): Promise<void> {
  await containers.remove(reference, { force: true, volumes: true, link: false }).catch((error: unknown) => {
    if (categoryOf(error) !== 'NotFound') throw error
  })
  await store.batch([{ del: STEP_CONTAINER + name }], { sync: false })
}

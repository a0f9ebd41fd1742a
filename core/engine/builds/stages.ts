import os from 'node:os'
import type { Layers } from '../layers/index.js'
import { StageBuild } from './stage.js'
import type { Transcript } from './transcript.js'
import type { Workshop } from './workshop.js'

/** Stages at work at the same time. */
const together = Math.max(2, os.availableParallelism())

/**
 * Runs stages side by side. They begin in the order of the file and wait only for earlier ones, so that the earliest that is not done
 * can always go on.
 */
export class StageRunner {
  private readonly shop: Workshop
  private readonly layers: Layers
  private readonly transcript: Transcript
  private readonly over: AbortController
  /** Where the first failure was told. */
  failedLane = 0

  constructor(shop: Workshop, layers: Layers, transcript: Transcript, over: AbortController) {
    this.shop = shop
    this.layers = layers
    this.transcript = transcript
    this.over = over
  }

  /** Answers the last stage's image. Settles when every stage has. */
  async run(): Promise<string | undefined> {
    const { stages } = this.shop.file
    const images: Promise<string | undefined>[] = []
    const shop: Workshop = { ...this.shop, stageImage: (index) => images[index] ?? Promise.resolve(undefined) }
    let failure: { error: unknown } | undefined
    const working = new Set<Promise<unknown>>()
    for (const stage of stages) {
      while (working.size >= together) await Promise.race(working)
      const lane = stage.index + 1
      const tell = this.transcript.say.bind(this.transcript, lane)
      const image = new StageBuild(shop, this.layers, stage, tell).run()
      images.push(image)
      const settled = image.then(
        () => this.transcript.close(lane),
        (error: unknown) => {
          if (failure !== undefined) return
          failure = { error }
          this.failedLane = lane
          this.over.abort(error)
        },
      )
      working.add(settled)
      void settled.finally(() => working.delete(settled))
    }
    await Promise.allSettled(images)
    if (failure !== undefined) throw failure.error
    return images.at(-1)
  }
}

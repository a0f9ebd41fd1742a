import fs from 'node:fs'
import os from 'node:os'
import { Engine, type EngineName } from './engine.js'
import type { Samples } from './figure.js'
import { imageName, payloadImage } from './payload.js'

export interface Pair {
  tsd: Engine
  dockerd: Engine
}

/** What a group of figures measures with: the engines, the image, and where samples go. */
export class Bench {
  readonly samples: Samples = {}
  readonly loads: Record<string, number> = {}
  readonly notes: string[] = []
  private engines: Pair | undefined
  private image: Buffer | undefined

  constructor(
    readonly dir: string,
    readonly payload: string,
    private readonly wantedRounds: number | undefined,
  ) {}

  rounds(usual: number): number {
    return this.wantedRounds ?? usual
  }

  record(figure: string, engine: EngineName, value: number): void {
    const entry = (this.samples[figure] ??= {})
    ;(entry[engine] ??= []).push(value)
  }

  note(text: string): void {
    this.notes.push(text)
    this.say(`  ${text}`)
  }

  say(text: string): void {
    process.stderr.write(`${text}\n`)
  }

  async load(engine: Engine): Promise<void> {
    this.image ??= await payloadImage(this.payload)
    await engine.client.load(this.image)
  }

  /** Both engines, with the image; started once and used by every group that wants them side by side. */
  async pair(): Promise<Pair> {
    if (this.engines) return this.engines
    const tsd = await Engine.start('tsd')
    let dockerd: Engine | undefined
    try {
      dockerd = await Engine.start('dockerd')
      await this.load(tsd)
      await this.load(dockerd)
      // Neither engine's first container is a fair sample.
      for (const engine of [tsd, dockerd]) {
        for (let i = 0; i < 3; i++) {
          const id = await engine.client.create(imageName, ['true'])
          await engine.client.start(id)
          await engine.client.wait(id)
          await engine.client.forceRemove(id)
        }
      }
    } catch (error) {
      await tsd.stop()
      await dockerd?.stop()
      throw error
    }
    this.engines = { tsd, dockerd }
    return this.engines
  }

  /** A B A B: one sample of tsd, one of dockerd, and again. */
  async alternate(rounds: number, sample: (engine: Engine, round: number) => Promise<void>): Promise<void> {
    const { tsd, dockerd } = await this.pair()
    for (let round = 0; round < rounds; round++) {
      await sample(tsd, round)
      await sample(dockerd, round)
    }
  }

  async stopPair(): Promise<void> {
    const engines = this.engines
    this.engines = undefined
    await engines?.tsd.stop()
    await engines?.dockerd.stop()
  }

  async stop(): Promise<void> {
    await this.stopPair()
    fs.rmSync(this.dir, { recursive: true, force: true })
  }
}

export function load(): string {
  return os
    .loadavg()
    .map((value) => value.toFixed(2))
    .join(' ')
}

/** Runs `work` for 0..count-1, `width` at a time. */
export async function concurrently(count: number, width: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: width }, lane))
}

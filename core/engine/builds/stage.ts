// One stage: its FROM, then step by step from the cache or by doing it.
import { shortId } from '../../base/ids.js'
import { cancelled, invalidParameter, isTsdError } from '../../sdk/errors.js'
import { emptyConfig } from '../images/index.js'
import type { ImageRuntimeConfig, ProgressMessage } from '../images/index.js'
import type { Layers } from '../layers/index.js'
import { prepareCopy } from './copy.js'
import { parseInstruction } from './dockerfile/instruction.js'
import type { Step } from './dockerfile/instruction.js'
import { readSource } from './dockerfile/source.js'
import { namedStage } from './dockerfile/stages.js'
import type { Stage } from './dockerfile/stages.js'
import { expandWord } from './dockerfile/words.js'
import { applyMetadata } from './metadata.js'
import { prepareRun } from './run.js'
import { defaultPath, notRun } from './stage-state.js'
import type { StageState } from './stage-state.js'
import { StepContainers } from './step-containers.js'
import type { Work } from './work.js'
import { prepareWorkdir } from './workdir.js'
import { baseImage } from './workshop.js'
import type { Workshop } from './workshop.js'

type Tell = (message: ProgressMessage) => Promise<void>

export class StageBuild {
  private readonly shop: Workshop
  private readonly stage: Stage
  private readonly tell: Tell
  private readonly containers: StepContainers
  /** Once a step was done anew, nothing below it can come from the cache. */
  private missed = false

  constructor(shop: Workshop, layers: Layers, stage: Stage, tell: Tell) {
    this.shop = shop
    this.stage = stage
    this.tell = tell
    this.containers = new StepContainers({ ...shop, layers })
  }

  /** Answers the image that the stage ends with; undefined for a stage of nothing on `scratch`. */
  async run(): Promise<string | undefined> {
    try {
      const state = await this.begin()
      for (const [index, step] of this.stage.steps.entries()) {
        this.checkCancelled()
        await this.announce(this.stage.number + index + 1, step)
        await this.step(state, step)
        await this.tell({ stream: ` ---> ${shortId(state.image ?? '')}\n` })
      }
      if (state.image !== undefined) await this.tell({ aux: { ID: state.image } })
      return state.image
    } finally {
      if (this.shop.options.forceRemove || this.shop.signal.aborted) await this.containers.removeAll(this.tell)
      else await this.containers.keepAll()
    }
  }

  private checkCancelled(): void {
    const { signal } = this.shop
    if (signal.aborted) throw isTsdError(signal.reason) ? signal.reason : cancelled('the build was cancelled')
  }

  private announce(number: number, { line }: Step): Promise<void> {
    return this.tell({ stream: `Step ${number}/${this.shop.file.total} : ${line.text}\n` })
  }

  private async begin(): Promise<StageState> {
    const { shop, stage } = this
    this.checkCancelled()
    await this.announce(stage.number, stage.from)
    const variables = shop.arguments.beforeStages
    const name = expandWord(stage.from.image, variables, shop.file.escape)
    if (name === '') throw invalidParameter(`base name (${stage.from.image}) should not be blank`)
    const state: StageState = {
      index: stage.index,
      image: undefined,
      config: emptyConfig(),
      author: '',
      arguments: shop.arguments.stage(),
      commandSaid: false,
      escape: shop.file.escape,
    }
    const earlier = namedStage(shop.file.stages, name, stage.index)
    if (earlier !== undefined) state.image = await shop.stageImage(earlier.index)
    else if (name !== 'scratch') {
      const platform = expandWord(stage.from.platform, variables, shop.file.escape) || shop.options.platform
      state.image = (await baseImage(shop, name, platform, this.tell)).id
    }
    if (state.image !== undefined) {
      const { configuration } = await shop.images.configuration(state.image)
      state.config = structuredClone(configuration.config)
      state.author = configuration.author
    }
    if (!state.config.Env.some((entry) => entry.startsWith('PATH='))) state.config.Env = [...state.config.Env, defaultPath]
    await this.triggers(state)
    await this.tell({ stream: ` ---> ${shortId(state.image ?? '')}\n` })
    return state
  }

  /** ONBUILD of the base image. */
  private async triggers(state: StageState): Promise<void> {
    const triggers = state.config.OnBuild ?? []
    delete state.config.OnBuild
    if (triggers.length === 0) return
    await this.tell({ stream: `# Executing ${triggers.length} build trigger${triggers.length > 1 ? 's' : ''}\n` })
    for (const trigger of triggers) {
      const [line] = readSource(trigger).lines
      if (line === undefined) continue
      const step = parseInstruction(line, '\\')
      if (step.kind === 'from' || step.kind === 'maintainer' || step.kind === 'onbuild')
        throw invalidParameter(`${step.kind.toUpperCase()} isn't allowed as an ONBUILD trigger`)
      await this.step(state, step)
    }
  }

  private async prepare(state: StageState, step: Step): Promise<Work> {
    switch (step.kind) {
      case 'copy':
        return prepareCopy(this.shop, state, step, this.tell)
      case 'run':
        return prepareRun(this.shop, state, step, this.containers, this.tell)
      case 'workdir':
        return prepareWorkdir(this.shop, state, step.value)
      default: {
        const comment = applyMetadata(state, step)
        if (comment === undefined) throw invalidParameter(`${step.kind.toUpperCase()} has no place here`)
        return { createdBy: notRun(state, ` ${comment}`), also: [] }
      }
    }
  }

  private async step(state: StageState, step: Step): Promise<void> {
    const { shop } = this
    const work = await this.prepare(state, step)
    const input = { parent: state.image, config: state.config, author: state.author, createdBy: work.createdBy, also: work.also }
    if (!this.missed && !shop.options.noCache) {
      const found = await shop.cache.find(input, shop.signal)
      if (found !== undefined) {
        state.image = found
        return this.tell({ stream: ' ---> Using cache\n' })
      }
    }
    this.missed = true
    const created = shop.clock.timestamp()
    const layer = await work.run?.()
    const history = { created, created_by: work.createdBy, ...(state.author === '' ? {} : { author: state.author }) }
    const { config, author } = state
    state.image = await shop.images.derive(state.image, { config: plain(config), author, created, history, layer }, shop.signal)
    await shop.cache.keep(input, state.image)
    if (shop.options.remove) await this.containers.removeAll(this.tell)
  }
}

const plain = (config: ImageRuntimeConfig): ImageRuntimeConfig => structuredClone(config)

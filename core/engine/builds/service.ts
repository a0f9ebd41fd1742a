import { rm, mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { inject, injectable } from 'tsyringe'
import { Disposables } from '../../base/disposables.js'
import { shortId } from '../../base/ids.js'
import { randomHex } from '../../base/random.js'
import { familiarString, parseReference, withDefaultTag } from '../../base/reference.js'
import { cancelled, invalidParameter, messageOf } from '../../sdk/errors.js'
import { Containers } from '../containers/index.js'
import { Events } from '../events/index.js'
import { hostArchitecture, Images } from '../images/index.js'
import type { ProgressMessage } from '../images/index.js'
import { Layers } from '../layers/index.js'
import {
  Archiver,
  Clock,
  Downloads,
  Drivers,
  EngineConfig,
  Logger,
  MetadataStore,
  Mounter,
  RunLedger,
  Trees,
  Zstd,
} from '../ports/index.js'
import type { ArchiverPort, LoggerPort, MounterPort, TreesPort } from '../ports/index.js'
import { BuildArguments, platformArguments } from './arguments.js'
import { CacheMounts } from './cache-mounts.js'
import { StepCache } from './cache.js'
import { readDockerfile, unpackContext } from './context.js'
import { BaseImages } from './contract.js'
import type { BuildOptions, Builds, PrunedBuilds } from './contract.js'
import { parseDockerfile, upToTarget } from './dockerfile/stages.js'
import type { Dockerfile } from './dockerfile/stages.js'
import { expandWord } from './dockerfile/words.js'
import { pruneBuilds } from './prune.js'
import { StepFailed } from './run.js'
import { StageRunner } from './stages.js'
import { removeStepContainer, STEP_CONTAINER } from './step-containers.js'
import { Transcript } from './transcript.js'
import { Views } from './views.js'
import type { BuildServices, Workshop } from './workshop.js'

/** Characters of a quiet build's output, the last ones, that are kept to be told when it fails. */
const mostKept = 1 << 20
/** Milliseconds that a stop of the daemon waits for cancelled builds. */
const longestStop = 5_000
/** Global ARGs before the stages, and what is said after them. */
const before = 0

@injectable()
export class BuildsService implements Builds {
  private readonly services: BuildServices
  private readonly workRoot: string
  private readonly secretRoot: string
  /** Builds at work: how to cancel them, and when they are over. */
  private readonly atWork = new Map<AbortController, Promise<void>>()

  constructor(
    @inject(EngineConfig) private readonly config: EngineConfig,
    @inject(Drivers) private readonly drivers: Drivers,
    @inject(Mounter) private readonly mounter: MounterPort,
    @inject(RunLedger) private readonly ledger: RunLedger,
    @inject(Layers) private readonly layers: Layers,
    @inject(Events) private readonly events: Events,
    @inject(Images) images: Images,
    @inject(Containers) containers: Containers,
    @inject(BaseImages) baseImages: BaseImages,
    @inject(Archiver) archiver: ArchiverPort,
    @inject(Trees) trees: TreesPort,
    @inject(Downloads) downloads: Downloads,
    @inject(Zstd) zstd: Zstd,
    @inject(MetadataStore) store: MetadataStore,
    @inject(Clock) clock: Clock,
    @inject(Logger) logger: LoggerPort,
  ) {
    const root = path.join(config.dataRoot, 'builds')
    this.workRoot = path.join(root, 'work')
    this.secretRoot = path.join(config.execRoot, 'builds')
    this.services = {
      images,
      containers,
      baseImages,
      archiver,
      trees,
      downloads,
      zstd,
      store,
      clock,
      logger,
      cacheMounts: new CacheMounts(path.join(root, 'cache')),
    }
  }

  async *build(context: Readable, options: BuildOptions, signal: AbortSignal): AsyncGenerator<ProgressMessage> {
    const tags = options.tags.map(tagOf)
    const stack = new Disposables()
    const over = new AbortController()
    let ended = (): void => undefined
    this.atWork.set(over, new Promise((resolve) => (ended = resolve)))
    const abort = (): void => over.abort(cancelled('the build was cancelled: the client went away'))
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    try {
      const id = `build-${randomHex(8)}`
      const workDir = path.join(this.workRoot, id)
      stack.defer('work directory', () => this.services.archiver.remove(workDir))
      await unpackContext(this.services, context, path.join(workDir, 'context'), over.signal)
      const text = await readDockerfile(this.services, path.join(workDir, 'context'), options.dockerfile)
      const file = withLabels(upToTarget(parseDockerfile(text), options.target), options.labels)
      const shop = await this.workshop(id, workDir, file, options, over.signal, stack)
      const transcript = new Transcript(file.stages.length + 2)
      const work = this.run(shop, transcript, over, tags)
      try {
        yield* options.quiet ? quietly(transcript, work) : transcript
      } catch (error) {
        if (!(error instanceof StepFailed)) throw error
        const { message, exitCode: code } = error
        yield { errorDetail: { code, message }, error: message }
      } finally {
        abort()
        // Who waits for a reader that has gone goes on, to its end.
        transcript.end()
        await work
      }
    } finally {
      signal.removeEventListener('abort', abort)
      context.destroy()
      await stack.dispose().catch((error: unknown) => this.services.logger.warn(`after a build: ${messageOf(error)}`))
      this.atWork.delete(over)
      ended()
    }
  }

  private async workshop(
    id: string,
    workDir: string,
    file: Dockerfile,
    options: BuildOptions,
    signal: AbortSignal,
    stack: Disposables,
  ): Promise<Workshop> {
    const { images, store, clock } = this.services
    const secretDir = path.join(this.secretRoot, id)
    if (options.secrets.size > 0) stack.defer('secrets', () => rm(secretDir, { recursive: true, force: true }))
    const { drivers, mounter, ledger } = this
    const sources = []
    // One that is not here is no source, as Docker has it.
    for (const name of options.cacheFrom)
      sources.push(
        ...(await images.configuration(name).then(
          (one) => [one],
          () => [],
        )),
      )
    return {
      ...this.services,
      id,
      options,
      file,
      arguments: new BuildArguments(options.buildArgs, platformArguments('linux', hostArchitecture)),
      cache: new StepCache(images, store, clock, sources),
      views: new Views({ drivers, mounter, ledger, execRoot: this.config.execRoot }, id, stack),
      workDir,
      secretDir,
      signal,
      stageImage: () => Promise.reject(new Error('no stage has begun')),
    }
  }

  /** All stages, then names. Never rejects: what failed is told by the transcript. */
  private async run(shop: Workshop, transcript: Transcript, over: AbortController, tags: string[]): Promise<string | undefined> {
    const last = shop.file.stages.length + 1
    let lane = before
    try {
      await this.globalArguments(shop, transcript)
      transcript.close(before)
      const stages = new StageRunner(shop, this.layers, transcript, over)
      const image = await stages.run().catch((error: unknown) => {
        lane = stages.failedLane
        throw error
      })
      lane = last
      const tell = (stream: string): Promise<void> => transcript.say(last, { stream })
      const unused = shop.arguments.unused()
      if (unused.length > 0) await tell(`[Warning] One or more build-args [${unused.join(' ')}] were not consumed\n`)
      if (image === undefined) throw invalidParameter('No image was generated. Is your Dockerfile empty?')
      await tell(`Successfully built ${shortId(image)}\n`)
      for (const tag of tags) {
        const { repository, name } = splitTag(tag)
        await shop.images.tag(image, repository, name)
        await tell(`Successfully tagged ${tag}\n`)
      }
      transcript.end()
      return image
    } catch (error) {
      over.abort(error)
      transcript.end({ error, lane })
      return undefined
    }
  }

  private async globalArguments(shop: Workshop, transcript: Transcript): Promise<void> {
    for (const [index, { line, args }] of shop.file.global.entries()) {
      await transcript.say(before, { stream: `Step ${index + 1}/${shop.file.total} : ${line.text}\n` })
      for (const { name, value } of args)
        shop.arguments.declareGlobal(
          name,
          value === undefined ? undefined : expandWord(value, shop.arguments.beforeStages, shop.file.escape),
        )
    }
  }

  async stopAll(): Promise<void> {
    const builds = [...this.atWork]
    for (const [over] of builds) over.abort(cancelled('the build was cancelled: the daemon is stopping'))
    // Not for ever: a client that does not read keeps its answer open.
    await Promise.race([Promise.all(builds.map(([, ended]) => ended)), delay(longestStop, undefined, { ref: false })])
  }

  async prune(filters: Record<string, string[]>): Promise<PrunedBuilds> {
    const pruned = await pruneBuilds(this.services, filters)
    this.events.publish('builder', 'prune', '', { reclaimed: String(pruned.SpaceReclaimed) })
    return pruned
  }

  async reconcile(): Promise<void> {
    const { containers, store, archiver, logger } = this.services
    for (const { key } of await store.list(STEP_CONTAINER)) {
      const name = key.slice(STEP_CONTAINER.length)
      await removeStepContainer(containers, store, name, name).catch((error: unknown) =>
        logger.warn(`container ${name} of a build that was cut off remains: ${messageOf(error)}`),
      )
    }
    await mkdir(this.workRoot, { recursive: true, mode: 0o700 })
    for (const name of await readdir(this.workRoot)) await archiver.remove(path.join(this.workRoot, name))
    await rm(this.secretRoot, { recursive: true, force: true })
  }
}

/** -q: the id and nothing else; what was said is told when the build fails. */
async function* quietly(transcript: Transcript, work: Promise<string | undefined>): AsyncGenerator<ProgressMessage> {
  const said: ProgressMessage[] = []
  let size = 0
  try {
    for await (const message of transcript) {
      said.push(message)
      size += message.stream?.length ?? 0
      while (size > mostKept && said.length > 1) size -= said.shift()?.stream?.length ?? 0
    }
  } catch (error) {
    yield* said
    throw error
  }
  yield { stream: `${(await work) ?? ''}\n` }
}

function tagOf(text: string): string {
  const reference = parseReference(text)
  if (reference.digest !== undefined) throw invalidParameter('build tag cannot contain a digest')
  return familiarString(withDefaultTag(reference))
}

function splitTag(tag: string): { repository: string; name: string } {
  const colon = tag.lastIndexOf(':')
  return { repository: tag.slice(0, colon), name: tag.slice(colon + 1) }
}

/** Labels of the request are steps after the file's own. */
function withLabels(file: Dockerfile, labels: Record<string, string>): Dockerfile {
  const last = file.stages.at(-1)
  const entries = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  if (last === undefined || entries.length === 0) return file
  // Taken as they are: quotes keep variables from being seen in them.
  const literal = (text: string): string => text.replace(/[\\`"'$ \t]/g, (c) => file.escape + c)
  const steps = entries.map(([key, value]) => ({
    kind: 'label' as const,
    pairs: [[literal(key), literal(value)] as [string, string]],
    line: { number: 0, text: `LABEL ${key}=${value}`, heredocs: [] },
  }))
  const stage = { ...last, steps: [...last.steps, ...steps] }
  return { ...file, stages: [...file.stages.slice(0, -1), stage], total: file.total + steps.length }
}

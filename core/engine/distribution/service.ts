import { inject, injectable } from 'tsyringe'
import { digestOf } from '../../base/digest.js'
import {
  familiarName,
  familiarString,
  formatReference,
  parseReference,
  repositoryOf,
  withDefaultTag,
  type Reference,
} from '../../base/reference.js'
import type { DistributionInspect } from '../../schema/engine-api.js'
import { forbidden, invalidParameter, isTsdError, notFound, unauthorized } from '../../sdk/errors.js'
import { Events } from '../events/index.js'
import { Images, maxConfigBytes, parseConfiguration } from '../images/index.js'
import type { ProgressMessage } from '../images/index.js'
import { Layers } from '../layers/index.js'
import { EngineConfig } from '../ports/index.js'
import { release } from '../system/index.js'
import { CertificateDirectory } from './certificates.js'
import { Connector } from './connection.js'
import type { Distribution, PullOptions, PushOptions } from './contract.js'
import type { RegistryCredentials } from './credentials.js'
import { Downloader } from './downloader.js'
import { pullError, RegistryFault, RegistryRefusal } from './faults.js'
import { Gate } from './gate.js'
import { parseManifest } from './manifest.js'
import { parsePlatform, type Platform } from './platform.js'
import { Puller } from './puller.js'
import { Pusher } from './pusher.js'
import type { Emit } from './progress.js'
import type { Repository } from './registry.js'
import { SharedWork } from './shared-work.js'
import { usualPatience, type Patience } from './transport.js'

/** What tests make shorter. */
export interface DistributionPace {
  patience: Patience
  /** Milliseconds that stand for a second between two attempts. */
  second: number
}
export const DistributionPace = Symbol.for('tsd.DistributionPace')
export const usualPace: DistributionPace = { patience: usualPatience, second: 1000 }

@injectable()
export class DistributionService implements Distribution {
  private readonly connector: Connector
  private readonly puller: Puller
  private readonly pusher: Pusher
  private readonly pulls = new SharedWork()

  constructor(
    @inject(Images) private readonly images: Images,
    @inject(Layers) layers: Layers,
    @inject(Events) private readonly events: Events,
    @inject(EngineConfig) config: EngineConfig,
    @inject(DistributionPace) pace: DistributionPace,
  ) {
    const { exchange } = images
    const attempts = (): number => config.maxDownloadAttempts
    this.connector = new Connector({
      settings: config,
      certificates: new CertificateDirectory(config.registryCerts),
      patience: pace.patience,
      userAgent: `tsd/${release().version}`,
    })
    const downloads = new Gate(() => config.maxConcurrentDownloads)
    const downloader = new Downloader({ content: exchange.content, gate: downloads, attempts, second: pace.second })
    this.puller = new Puller(exchange, layers, downloader)
    this.pusher = new Pusher(exchange, new Gate(() => config.maxConcurrentUploads), attempts)
  }

  async *pull(options: PullOptions): AsyncGenerator<ProgressMessage> {
    const { image, tag, credentials, signal } = options
    const reference = named(image, tag)
    const platform = options.platform === '' ? undefined : parsePlatform(options.platform)
    await this.images.exchange.open()
    try {
      yield* this.pullAll(reference, platform, credentials, signal)
    } catch (error) {
      // To a 401 the docker command answers with a prompt for a password, which a script never sees.
      throw isTsdError(error) && error.category === 'Unauthorized' ? forbidden(error.message, { cause: error }) : error
    }
  }

  private async *pullAll(
    reference: Reference,
    platform: Platform | undefined,
    credentials: RegistryCredentials,
    signal: AbortSignal,
  ): AsyncGenerator<ProgressMessage> {
    if (reference.tag !== undefined || reference.digest !== undefined) return yield* this.pullOne(reference, platform, credentials, signal)
    const tags = await this.inRepository(reference, credentials, signal, (repository) => repository.tags(signal))
    if (tags.length === 0) throw notFound(`repository ${familiarName(reference)} has no tags`)
    for (const one of tags) yield* this.pullOne(named(repositoryOf(reference), one), platform, credentials, signal)
  }

  private pullOne(
    reference: Reference,
    platform: Platform | undefined,
    credentials: RegistryCredentials,
    signal: AbortSignal,
  ): AsyncGenerator<ProgressMessage> {
    const key = JSON.stringify([formatReference(reference), platform, credentials])
    const begin = async (emit: Emit, shared: AbortSignal): Promise<void> => {
      await this.inRepository(reference, credentials, shared, (repository) =>
        this.puller.pull(repository, { reference, platform, emit, signal: shared }),
      )
      this.events.publish('image', 'pull', familiarString(reference), { name: familiarName(reference) })
    }
    return this.pulls.join(key, signal, begin)
  }

  private async inRepository<T>(
    reference: Reference,
    credentials: RegistryCredentials,
    signal: AbortSignal,
    work: (repository: Repository) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.connector.withRepository({ ...reference, actions: 'pull' }, credentials, signal, work)
    } catch (error) {
      throw pullError(error, reference)
    }
  }

  async *push({ image, tag, credentials, signal }: PushOptions): AsyncGenerator<ProgressMessage> {
    const { exchange } = this.images
    const reference = named(image, tag)
    if (reference.digest !== undefined) throw invalidParameter('cannot push a digest reference')
    await exchange.open()
    const repository = repositoryOf(reference)
    const names = exchange.tagsOf(repository)
    if (names.length === 0) throw notFound(`An image does not exist locally with the tag: ${familiarName(reference)}`)
    const wanted = reference.tag === undefined ? names : names.filter((name) => name === formatReference(reference))
    if (wanted.length === 0) throw notFound(`tag does not exist: ${familiarString(reference)}`)
    yield { status: `The push refers to repository [${repository}]` }
    for (const name of wanted) {
      const begin = (emit: Emit, shared: AbortSignal): Promise<void> => this.pushOne(name, credentials, emit, shared)
      // A push is nobody else's: the key is its own.
      yield* new SharedWork().join(name, signal, begin)
    }
  }

  private async pushOne(name: string, credentials: RegistryCredentials, emit: Emit, signal: AbortSignal): Promise<void> {
    const reference = parseReference(name)
    const outgoing = await this.images.exchange.outgoing(name, repositoryOf(reference), signal)
    await this.connector.withRepository({ ...reference, actions: 'pull,push' }, credentials, signal, (repository) =>
      this.pusher.push(repository, reference, outgoing, emit, signal),
    )
    this.events.publish('image', 'push', familiarString(reference), { name: familiarName(reference) })
  }

  async login(credentials: RegistryCredentials, signal: AbortSignal): Promise<string> {
    const domain = domainOf(credentials.serverAddress)
    try {
      return await this.connector.login(domain, credentials, signal)
    } catch (error) {
      if (error instanceof RegistryRefusal && error.status === 401 && error.reason === '' && !error.message.startsWith('Get '))
        throw unauthorized(`login attempt to ${domain} failed with status: 401 Unauthorized`, { cause: error })
      throw error
    }
  }

  async inspect(image: string, credentials: RegistryCredentials, signal: AbortSignal): Promise<DistributionInspect> {
    const reference = withDefaultTag(named(image, ''))
    return this.inRepository(reference, credentials, signal, async (repository) => {
      const raw = await repository.manifest(reference.digest ?? reference.tag ?? '', signal)
      const digest = digestOf(raw.bytes)
      if (reference.digest !== undefined && reference.digest !== digest)
        throw new RegistryFault(`manifest verification failed for digest ${reference.digest}: it is ${digest}`)
      const manifest = parseManifest(raw.bytes, raw.mediaType)
      const platforms =
        manifest.kind === 'index'
          ? manifest.manifests.flatMap(({ platform }) => platform ?? [])
          : [parseConfiguration(await repository.smallBlob({ ...manifest.config, size: bounded(manifest.config.size) }, signal))]
      return {
        Descriptor: { mediaType: manifest.mediaType, digest, size: raw.bytes.length },
        Platforms: platforms.map(({ architecture, os, variant }) => ({ architecture, os, ...(variant === '' ? {} : { variant }) })),
      }
    })
  }
}

function bounded(size: number): number {
  if (size <= maxConfigBytes) return size
  throw new RegistryFault(`invalid manifest: the image configuration has ${size} bytes, at most ${maxConfigBytes} are read`)
}

/** `tag`, which may be a digest, goes before that of the name; a digest goes before a tag. */
function named(image: string, tag: string): Reference {
  const given = parseReference(image)
  const reference = tag === '' ? given : parseReference(`${repositoryOf(given)}${tag.includes(':') ? '@' : ':'}${tag}`)
  return reference.digest === undefined ? reference : { ...reference, tag: undefined }
}

/** The registry that an address of `docker login` means. */
function domainOf(address: string): string {
  const host = address.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  if (host === '' || host === 'index.docker.io' || host === 'registry-1.docker.io') return 'docker.io'
  if (!/^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?$/.test(host))
    throw invalidParameter(`invalid registry address ${JSON.stringify(address.slice(0, 200))}: give HOST or HOST:PORT`)
  return host
}

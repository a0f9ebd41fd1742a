import fs from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { inject, injectable } from 'tsyringe'
import { Digester } from '../../base/digest.js'
import { shortId } from '../../base/ids.js'
import { KeyedLock } from '../../base/keyed-lock.js'
import { formatReference, parseReference, withDefaultTag } from '../../base/reference.js'
import type { ImageDeleteResponseItem, ImageInspect, ImageSummary } from '../../schema/engine-api.js'
import { conflict, invalidParameter, notFound } from '../../sdk/errors.js'
import { Events } from '../events/index.js'
import { decompressed, Layers } from '../layers/index.js'
import { Clock, EngineConfig, Logger, MetadataStore } from '../ports/index.js'
import type { LoggerPort } from '../ports/index.js'
import { spoolArchive } from './archive.js'
import { familiar, ImageCatalog, parentOf } from './catalog.js'
import type { ImageRecord } from './catalog.js'
import { applyChange, emptyConfig } from './changes.js'
import { parseConfiguration } from './config.js'
import type { HistoryEntry, ImageConfiguration } from './config.js'
import { ContentStore } from './content.js'
import type { Images, ProgressMessage, ResolvedImage } from './contract.js'
import { checkConfigSize, indexEntries, Installer, ownerOf, topLayerOf } from './installer.js'
import type { NewImage } from './installer.js'
import { derivedConfiguration, emptyTar } from './derive.js'
import type { DerivedImage } from './derive.js'
import { listImages, namesOf } from './list.js'
import { hostArchitecture, planArchive } from './plan.js'
import type { PlannedImage } from './plan.js'
import { orphanedParent, planRemoval, untagged } from './remove.js'

const LOCK = 'images'

@injectable()
export class ImagesService implements Images {
  private readonly catalog: ImageCatalog
  private readonly content: ContentStore
  private readonly installer: Installer
  private readonly locks = new KeyedLock()
  private opened: Promise<void> | undefined

  usedBy: Images['usedBy'] = () => []

  constructor(
    @inject(MetadataStore) store: MetadataStore,
    @inject(Layers) private readonly layers: Layers,
    @inject(Events) private readonly events: Events,
    @inject(Clock) private readonly clock: Clock,
    @inject(EngineConfig) config: EngineConfig,
    @inject(Logger) private readonly logger: LoggerPort,
  ) {
    this.catalog = new ImageCatalog(store)
    this.content = new ContentStore(path.join(config.dataRoot, 'content'))
    this.installer = new Installer(this.content, layers, this.catalog)
  }

  private open(): Promise<void> {
    return (this.opened ??= Promise.all([this.catalog.open(), this.content.init(), this.layers.open()]).then(() => undefined))
  }

  async resolve(reference: string): Promise<ResolvedImage> {
    await this.open()
    const { image } = this.catalog.require(reference)
    const topLayer = topLayerOf(image.configuration)
    if (topLayer !== undefined && this.layers.get(topLayer) === undefined) {
      await this.locks.run(LOCK, () => this.installer.restoreLayers(image, new AbortController().signal))
    }
    const { config, architecture, os } = image.configuration
    return { id: image.id, topLayer, config, architecture, os }
  }

  async idOf(reference: string): Promise<string | undefined> {
    await this.open()
    return this.catalog.find(reference)?.image.id
  }

  async list(options: { all: boolean; digests: boolean; filters: Record<string, string[]> }): Promise<ImageSummary[]> {
    await this.open()
    return listImages(this.catalog, options.filters, this.clock.now(), options.all)
  }

  async count(): Promise<number> {
    await this.open()
    return this.catalog.all().length
  }

  async history(reference: string): Promise<HistoryEntry[]> {
    await this.open()
    return this.catalog.require(reference).image.configuration.history
  }

  async inspect(reference: string): Promise<ImageInspect> {
    await this.open()
    const { image } = this.catalog.require(reference)
    const { configuration } = image
    const { tags, digests } = namesOf(this.catalog, image.id)
    const topLayer = topLayerOf(configuration)
    return {
      Id: image.id,
      RepoTags: tags,
      RepoDigests: digests,
      Parent: parentOf(image),
      Comment: configuration.comment,
      Created: configuration.created,
      DockerVersion: configuration.dockerVersion,
      Author: configuration.author,
      Config: configOf(image),
      Architecture: configuration.architecture,
      ...(configuration.variant === '' ? {} : { Variant: configuration.variant }),
      Os: configuration.os,
      ...(configuration.osVersion === '' ? {} : { OsVersion: configuration.osVersion }),
      Size: image.size,
      GraphDriver: await this.layers.graphData(topLayer !== undefined && this.layers.get(topLayer) === undefined ? undefined : topLayer),
      RootFS: { Type: 'layers', Layers: configuration.diffIds },
      Metadata: { LastTagTime: image.lastTagTime === '' ? '0001-01-01T00:00:00Z' : image.lastTagTime },
    }
  }

  async *load(tar: Readable, options: { quiet: boolean; signal: AbortSignal }): AsyncGenerator<ProgressMessage> {
    await this.open()
    const workspace = await this.content.workspace()
    try {
      const archive = await spoolArchive(tar, this.content, workspace, options.signal)
      for (const planned of await planArchive(archive)) yield* this.loadOne(planned, workspace, options)
    } finally {
      tar.destroy()
      await fs.rm(workspace, { recursive: true, force: true })
    }
  }

  private async *loadOne(
    planned: PlannedImage,
    workspace: string,
    { quiet, signal }: { quiet: boolean; signal: AbortSignal },
  ): AsyncGenerator<ProgressMessage> {
    checkConfigSize(planned.config)
    // Files that became content of an earlier image of the same archive are read from there.
    const config = await this.located(planned.config)
    const configuration = parseConfiguration(await fs.readFile(config.file))
    const { diffIds } = configuration
    if (diffIds.length !== planned.layers.length) {
      throw invalidParameter(`invalid manifest, layers length mismatch: expected ${diffIds.length}, got ${planned.layers.length}`)
    }
    const image: NewImage = { config, configuration, layers: await Promise.all(planned.layers.map((file) => this.located(file))) }
    const pins = this.layers.pin()
    try {
      let top: string | undefined
      for (const [index, file] of image.layers.entries()) {
        const id = shortId(diffIds[index] as string)
        const known = this.layers.get(topLayerOf({ ...configuration, diffIds: diffIds.slice(0, index + 1) }) ?? '') !== undefined
        if (!quiet && !known) yield { status: 'Loading layer', id, progressDetail: { current: 0, total: file.size } }
        top = await this.installer.applyLayer(image, index, top, pins, signal)
        if (!quiet && !known) yield { status: 'Loading layer', id, progressDetail: { current: file.size, total: file.size } }
      }
      const renamed = await this.locks.run(LOCK, () => this.show(image, planned.names, workspace))
      for (const { name, old } of renamed) {
        yield { stream: `The image ${familiar(name)} already exists, renaming the old one with ID ${old} to empty string\n` }
      }
    } finally {
      await pins.release()
    }
    this.publish(image.config.digest, 'load')
    if (planned.names.length === 0) yield { stream: `Loaded image ID: ${image.config.digest}\n` }
    for (const name of planned.names) yield { stream: `Loaded image: ${familiar(name)}\n` }
  }

  private async located(file: NewImage['config']): Promise<NewImage['config']> {
    const there = await fs.access(file.file).then(
      () => true,
      () => false,
    )
    return there ? file : { ...file, file: this.content.blobPath(file.digest) }
  }

  /** Makes an image visible. Under the lock. Answers which names were another image's. */
  private async show(image: NewImage, names: string[], workspace: string): Promise<{ name: string; old: string }[]> {
    const id = image.config.digest
    const renamed = names
      .map((name) => ({ name, old: this.catalog.named(name) }))
      .filter((one): one is { name: string; old: string } => one.old !== undefined && one.old !== id)
    await this.installer.install(image, names, workspace, this.clock.timestamp())
    await this.writeIndex()
    return renamed
  }

  private writeIndex(): Promise<void> {
    return this.content.writeIndex(indexEntries(this.catalog))
  }

  async *import(
    tar: Readable,
    options: { repo: string; tag: string; message: string; changes: string[]; platform: string; signal: AbortSignal },
  ): AsyncGenerator<ProgressMessage> {
    await this.open()
    const names = options.repo === '' ? [] : [tagName(options.repo, options.tag)]
    const config = emptyConfig()
    for (const change of options.changes) applyChange(config, change)
    const [os = 'linux', architecture = hostArchitecture, variant = ''] = options.platform === '' ? [] : options.platform.split('/')
    if (os !== 'linux') throw invalidParameter(`operating system is not supported: ${os}`)
    const workspace = await this.content.workspace()
    try {
      const layer = await this.content.spool(tar as AsyncIterable<Buffer>, workspace)
      const file = await fs.open(layer.file, 'r')
      const digester = new Digester()
      for await (const chunk of decompressed(file.createReadStream({ highWaterMark: 1 << 17 }))) digester.update(chunk)
      if (digester.size === 0) throw invalidParameter('cannot import an empty archive')
      const created = this.clock.timestamp()
      const comment = options.message === '' ? 'Imported from -' : options.message
      const json = {
        created,
        architecture,
        ...(variant === '' ? {} : { variant }),
        os,
        comment,
        config,
        rootfs: { type: 'layers', diff_ids: [digester.digest()] },
        history: [{ created, comment }],
      }
      const text = Buffer.from(JSON.stringify(json))
      const blob = await this.content.spoolBytes(text, workspace)
      const image: NewImage = { config: blob, configuration: parseConfiguration(text), layers: [layer] }
      const pins = this.layers.pin()
      try {
        await this.installer.applyLayer(image, 0, undefined, pins, options.signal)
        await this.locks.run(LOCK, () => this.show(image, names, workspace))
      } finally {
        await pins.release()
      }
      this.publish(blob.digest, 'import')
      yield { status: blob.digest }
    } finally {
      tar.destroy()
      await fs.rm(workspace, { recursive: true, force: true })
    }
  }

  async configuration(reference: string): Promise<{ id: string; configuration: ImageConfiguration }> {
    await this.open()
    const { image } = this.catalog.require(reference)
    return { id: image.id, configuration: image.configuration }
  }

  async derive(derived: DerivedImage, signal: AbortSignal): Promise<string> {
    await this.open()
    const parent = derived.parent === undefined ? undefined : this.catalog.require(derived.parent).image
    const workspace = await this.content.workspace()
    const pins = this.layers.pin()
    try {
      const below = (parent?.layers ?? []).map(({ digest, size }) => ({ file: this.content.blobPath(digest), digest, size }))
      const layer = derived.layer === undefined ? undefined : await this.content.spool(derived.layer as AsyncIterable<Buffer>, workspace)
      const own = layer === undefined || layer.digest === emptyTar ? [] : [layer]
      const diffIds = [...(parent?.configuration.diffIds ?? []), ...own.map(({ digest }) => digest)]
      const text = Buffer.from(JSON.stringify(derivedConfiguration(derived, parent?.configuration, diffIds)))
      const config = await this.content.spoolBytes(text, workspace)
      checkConfigSize(config)
      const image: NewImage = {
        config,
        configuration: parseConfiguration(text),
        layers: [...below, ...own],
        ...(parent === undefined ? {} : { parent: parent.id }),
      }
      const top = parent === undefined ? undefined : topLayerOf(parent.configuration)
      if (own.length > 0) await this.installer.applyLayer(image, below.length, top, pins, signal)
      await this.locks.run(LOCK, async () => {
        if (parent !== undefined) this.catalog.require(parent.id)
        await this.show(image, [], workspace)
      })
      return config.digest
    } finally {
      derived.layer?.destroy()
      await pins.release()
      await fs.rm(workspace, { recursive: true, force: true })
    }
  }

  async layerOf(reference: string, index: number): Promise<Readable> {
    await this.open()
    const layer = this.catalog.require(reference).image.layers[index]
    if (layer === undefined) throw notFound(`image ${reference} has no layer ${index}`)
    return Readable.from(decompressed(this.content.open(layer.digest) as AsyncIterable<Buffer>), { objectMode: false })
  }

  async tag(reference: string, repo: string, tag: string): Promise<void> {
    await this.open()
    const name = tagName(repo, tag)
    const id = await this.locks.run(LOCK, async () => {
      const { image } = this.catalog.require(reference)
      await this.catalog.commit({ put: [{ ...image, lastTagTime: this.clock.timestamp() }], name: { [name]: image.id } })
      await this.writeIndex()
      return image.id
    })
    this.publish(id, 'tag', familiar(name))
  }

  async remove(reference: string, options: { force: boolean; noPrune: boolean }): Promise<ImageDeleteResponseItem[]> {
    await this.open()
    return this.locks.run(LOCK, async () => {
      const { image, unname, whole } = planRemoval(this.catalog, reference, options.force, (id) => this.usedBy(id))
      const removed: ImageDeleteResponseItem[] = unname.map(untagged)
      if (whole) {
        for (let gone: ImageRecord | undefined = image; gone !== undefined;) {
          removed.push(...(await this.removeWhole(gone, gone === image ? unname : [])))
          gone = options.noPrune ? undefined : orphanedParent(this.catalog, gone, (id) => this.usedBy(id))
        }
      } else {
        await this.catalog.commit({ unname })
        for (const _ of unname) this.publish(image, 'untag')
      }
      await this.writeIndex()
      return removed
    })
  }

  /** Takes away record and names in one batch, then what nothing else needs. */
  private async removeWhole(image: ImageRecord, unname: string[]): Promise<ImageDeleteResponseItem[]> {
    const top = topLayerOf(image.configuration)
    const also = top === undefined ? [] : this.layers.unrefer(top, ownerOf(image.id))
    try {
      await this.catalog.commit({ drop: [image.id], unname, also })
    } catch (error) {
      if (top !== undefined) this.layers.refer(top, ownerOf(image.id))
      throw error
    }
    for (const _ of unname) this.publish(image, 'untag')
    this.publish(image, 'delete')
    const layers = top === undefined ? [] : await this.layers.collect(top)
    await this.dropContent(image)
    return [{ Deleted: image.id }, ...layers.map(({ id }) => ({ Deleted: `sha256:${id}` }))]
  }

  private async dropContent(image: ImageRecord): Promise<void> {
    const shared = new Set(this.catalog.all().flatMap(({ blobs }) => blobs))
    for (const digest of image.blobs) if (!shared.has(digest)) await this.content.remove(digest)
  }

  async reconcile(): Promise<void> {
    await this.open()
    await this.locks.run(LOCK, async () => {
      const removed = await this.content.collect(new Set(this.catalog.all().flatMap(({ blobs }) => blobs)))
      if (removed > 0) this.logger.info('removed content that belongs to no image', { blobs: removed })
      await this.writeIndex()
    })
  }

  private publish(image: ImageRecord | string, action: string, name?: string): void {
    const record = typeof image === 'string' ? this.catalog.get(image) : image
    const id = typeof image === 'string' ? image : image.id
    this.events.publish('image', action, id, { ...record?.configuration.config.Labels, name: name ?? id })
  }
}

/** `repo` and `tag` as the API has them, to a full reference. */
function tagName(repo: string, tag: string): string {
  const reference = parseReference(tag === '' ? repo : `${repo}:${tag}`)
  if (reference.digest !== undefined) throw invalidParameter('cannot import digest reference')
  if (/^[0-9a-f]{64}$/.test(repo)) throw conflict('refusing to create an ambiguous tag using digest algorithm as name')
  return formatReference(withDefaultTag(reference))
}

function configOf(image: ImageRecord): NonNullable<ImageInspect['Config']> {
  const { Healthcheck, OnBuild, ...config } = image.configuration.config
  return {
    ...config,
    ...(Healthcheck === null ? {} : { Healthcheck }),
    OnBuild: OnBuild ?? null,
    Labels: Object.keys(config.Labels).length === 0 ? null : config.Labels,
    ...(config.StopSignal === '' ? { StopSignal: null } : {}),
  }
}

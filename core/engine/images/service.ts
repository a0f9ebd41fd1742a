import fs from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { inject, injectable } from 'tsyringe'
import { Digester } from '../../base/digest.js'
import { shortId } from '../../base/ids.js'
import { KeyedLock } from '../../base/keyed-lock.js'
import { formatReference, parseReference, withDefaultTag } from '../../base/reference.js'
import type { ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect, ImageSummary } from '../../schema/engine-api.js'
import { conflict, invalidParameter, notFound } from '../../sdk/errors.js'
import { Events } from '../events/index.js'
import { decompressed, Layers } from '../layers/index.js'
import { Clock, EngineConfig, Logger, MetadataStore, Zstd } from '../ports/index.js'
import type { LoggerPort } from '../ports/index.js'
import { spoolArchive } from './archive.js'
import { familiar, ImageCatalog, parentOf } from './catalog.js'
import type { ImageRecord } from './catalog.js'
import { applyChange, emptyConfig } from './changes.js'
import { parseConfiguration } from './config.js'
import type { ImageConfiguration } from './config.js'
import { ContentStore } from './content.js'
import type { Images, ProgressMessage, ResolvedImage } from './contract.js'
import type { CommitRequest } from './contract.js'
import { historyOf } from './history.js'
import { ImageExchange, LOCK } from './exchange.js'
import { checkConfigSize, indexEntries, Installer, ownerOf, topLayerOf } from './installer.js'
import type { NewImage } from './installer.js'
import { deriveImage } from './derive.js'
import type { DerivedImage } from './derive.js'
import { listImages, namesOf } from './list.js'
import { hostArchitecture, planArchive } from './plan.js'
import type { PlannedImage } from './plan.js'
import { orphanedParent, planRemoval, untagged } from './remove.js'
import { chooseImages, saveArchive } from './save.js'
import { measureImages } from './usage.js'

@injectable()
export class ImagesService implements Images {
  readonly exchange: ImageExchange
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
    @inject(Zstd) private readonly zstd: Zstd,
  ) {
    this.catalog = new ImageCatalog(store)
    this.content = new ContentStore(path.join(config.dataRoot, 'content'))
    this.installer = new Installer(this.content, layers, this.catalog)
    this.exchange = new ImageExchange(
      this.content,
      this.catalog,
      this.installer,
      this.locks,
      clock,
      () => this.open(),
      () => this.writeIndex(),
    )
  }

  private open(): Promise<void> {
    return (this.opened ??= Promise.all([this.catalog.open(), this.content.init(this.clock.now()), this.layers.open()]).then(
      () => undefined,
    ))
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

  async history(reference: string): Promise<ImageHistoryResponseItem[]> {
    await this.open()
    return historyOf(this.catalog, this.layers, this.catalog.require(reference).image)
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
      const archive = await spoolArchive(tar, this.content, workspace, this.zstd, options.signal)
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
      for await (const chunk of decompressed(file.createReadStream({ highWaterMark: 1 << 17 }), this.zstd)) digester.update(chunk)
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

  async derive(parentId: string | undefined, derived: DerivedImage, signal: AbortSignal): Promise<string> {
    await this.open()
    const parent = parentId === undefined ? undefined : this.catalog.require(parentId).image
    const gone = (): Error => notFound(`image ${parentId} was removed while another was built on it`)
    return deriveImage(this.deriving(parent, [], gone), parent, derived, signal)
  }

  /** How a derived image becomes visible: while its parent is there, whose content is its own too. */
  private deriving(parent: ImageRecord | undefined, names: string[], gone: () => Error): Parameters<typeof deriveImage>[0] {
    const show = async (image: NewImage, workspace: string): Promise<void> => {
      await this.locks.run(LOCK, async () => {
        if (parent !== undefined && this.catalog.get(parent.id) === undefined) throw gone()
        await this.show(image, names, workspace)
      })
    }
    return { content: this.content, layers: this.layers, installer: this.installer, show }
  }

  async layerOf(reference: string, index: number): Promise<Readable> {
    await this.open()
    const layer = this.catalog.require(reference).image.layers[index]
    if (layer === undefined) throw notFound(`image ${reference} has no layer ${index}`)
    return Readable.from(decompressed(this.content.open(layer.digest) as AsyncIterable<Buffer>, this.zstd), { objectMode: false })
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
    return (await this.locks.run(LOCK, () => this.removeLocked(reference, options.force, options.noPrune))).removed
  }

  private async removeLocked(
    reference: string,
    force: boolean,
    noPrune: boolean,
  ): Promise<{ removed: ImageDeleteResponseItem[]; freed: number }> {
    const usedBy = (id: string): ReturnType<Images['usedBy']> => this.usedBy(id)
    const { image, unname, whole } = planRemoval(this.catalog, reference, force, usedBy)
    const removed: ImageDeleteResponseItem[] = unname.map(untagged)
    let freed = 0
    if (whole) {
      for (let gone: ImageRecord | undefined = image; gone !== undefined;) {
        const layers = await this.removeWhole(gone, gone === image ? unname : [])
        removed.push({ Deleted: gone.id }, ...layers.map(({ id }) => ({ Deleted: `sha256:${id}` })))
        freed += layers.reduce((sum, { size }) => sum + size, 0)
        gone = noPrune ? undefined : orphanedParent(this.catalog, gone, usedBy)
      }
    } else {
      await this.catalog.commit({ unname })
      for (const _ of unname) this.publish(image, 'untag')
    }
    await this.writeIndex()
    return { removed, freed }
  }

  /** Takes away record and names in one batch, then what nothing else needs. Answers the layers that went. */
  private async removeWhole(image: ImageRecord, unname: string[]): Promise<{ id: string; size: number }[]> {
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
    return layers
  }

  async commit(request: CommitRequest): Promise<{ id: string; name: string | undefined }> {
    await this.open()
    const { repo, tag, imageId, config, instructions, createdBy, author, comment, changes, signal } = request
    const name = repo === '' ? undefined : tagName(repo, tag)
    const parent = this.catalog.get(imageId)
    if (parent === undefined && imageId !== '')
      throw conflict(`cannot commit: the image ${imageId} of the container was removed; docker export the container instead`)
    for (const instruction of instructions.flatMap((text) => text.split('\n')).filter((text) => text.trim() !== ''))
      applyChange(config, instruction)
    const gone = (): Error => conflict(`cannot commit: the image ${imageId} of the container was removed meanwhile`)
    const parts = this.deriving(parent, name === undefined ? [] : [name], gone)
    const created = this.clock.timestamp()
    const said = { ...(author === '' ? {} : { author }), ...(comment === '' ? {} : { comment }) }
    const history = { created, created_by: createdBy, ...said }
    const id = await deriveImage(parts, parent, { config, author, comment, created, history, layer: changes }, signal)
    return { id, name: name === undefined ? undefined : familiar(name) }
  }

  async save(references: string[]): Promise<Readable> {
    await this.open()
    const saved = chooseImages(this.catalog, references)
    for (const { image } of saved) this.publish(image, 'save')
    return saveArchive(saved, this.content)
  }

  async prune(filters: Record<string, string[]>): Promise<{ ImagesDeleted: ImageDeleteResponseItem[]; SpaceReclaimed: number }> {
    await this.open()
    const unknown = Object.keys(filters).find((key) => !['dangling', 'label', 'label!', 'until'].includes(key))
    if (unknown !== undefined) throw invalidParameter(`invalid filter '${unknown}'`)
    const { dangling = ['true'], ...rest } = filters
    const onlyBare = listImages(this.catalog, { ...rest, dangling }, this.clock.now(), false)
    const chosen = /^(0|f|false)$/i.test(dangling[0] ?? '') ? listImages(this.catalog, rest, this.clock.now(), false) : onlyBare
    const deleted: ImageDeleteResponseItem[] = []
    let reclaimed = 0
    for (const { Id = '' } of chosen) {
      await this.locks.run(LOCK, async () => {
        if (this.catalog.get(Id) === undefined || this.usedBy(Id).length > 0) return
        const { removed, freed } = await this.removeLocked(Id, true, false)
        deleted.push(...removed)
        reclaimed += freed
      })
    }
    this.events.publish('image', 'prune', '', { reclaimed: String(reclaimed) })
    return { ImagesDeleted: deleted, SpaceReclaimed: reclaimed }
  }

  async usage(): Promise<{ LayersSize: number; Images: ImageSummary[] }> {
    await this.open()
    const { layersSize, images } = measureImages(this.catalog, this.layers, (id) => this.usedBy(id))
    const list = listImages(this.catalog, {}, this.clock.now(), false).map((summary): ImageSummary => {
      const usage = images.get(summary.Id ?? '')
      return { ...summary, SharedSize: usage?.shared ?? 0, Containers: usage?.containers ?? 0 }
    })
    return { LayersSize: layersSize, Images: list }
  }

  private async dropContent(image: ImageRecord): Promise<void> {
    const shared = new Set(this.catalog.all().flatMap(({ blobs }) => blobs))
    for (const digest of image.blobs) if (!shared.has(digest) && !this.exchange.isHeld(digest)) await this.content.remove(digest)
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

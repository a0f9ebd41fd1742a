import { formatReference, parseAnyReference, parseReference, repositoryOf, withDefaultTag, familiarString } from '../../base/reference.js'
import { isTsdError, notFound } from '../../sdk/errors.js'
import type { MetadataStore, StoreOperation } from '../ports/index.js'
import type { Descriptor } from './content.js'
import type { ImageConfiguration } from './config.js'

export type LayerDescriptor = Descriptor & { diffId: string }

/** An image as registries know it. */
export interface DistributedManifest {
  manifest: Descriptor
  layers: LayerDescriptor[]
  /** Full repositories that it was pulled from or pushed to. */
  repositories: string[]
}

/** One image, as it stands in the metadata store under `image/<hex of its id>`. */
export interface ImageRecord {
  /** Digest of the configuration. */
  id: string
  manifest: Descriptor
  layers: LayerDescriptor[]
  configuration: ImageConfiguration
  /** Id of the image that it was built on, here. */
  parent?: string
  /** What of it went over the wire, latest last; the latest is `manifest` and `layers`. */
  distributed?: DistributedManifest[]
  /** Every blob that it needs. */
  blobs: string[]
  /** Bytes of its layers, unpacked. */
  size: number
  /** When a tag was last put on it, RFC 3339; empty: never. */
  lastTagTime: string
}

/** `ref/<full reference>` */
export interface ReferenceRecord {
  image: string
}

const IMAGE = 'image/'
const REFERENCE = 'ref/'

export const parentOf = ({ parent, configuration }: ImageRecord): string => parent ?? configuration.parent

export const hexOf = (digest: string): string => digest.slice(digest.indexOf(':') + 1)

/** Images and their names: the metadata store's documents, kept in memory. Nothing is visible here that is not on disk. */
export class ImageCatalog {
  private readonly store: MetadataStore
  private readonly images = new Map<string, ImageRecord>()
  private readonly references = new Map<string, string>()
  private opened: Promise<void> | undefined

  constructor(store: MetadataStore) {
    this.store = store
  }

  open(): Promise<void> {
    return (this.opened ??= this.load())
  }

  private async load(): Promise<void> {
    for (const { value } of await this.store.list<ImageRecord>(IMAGE)) this.images.set(value.id, value)
    for (const { key, value } of await this.store.list<ReferenceRecord>(REFERENCE))
      this.references.set(key.slice(REFERENCE.length), value.image)
  }

  all(): ImageRecord[] {
    return [...this.images.values()]
  }

  /** Images that were built on this one. */
  childrenOf(id: string): ImageRecord[] {
    return this.all().filter(({ parent }) => parent === id)
  }

  get(id: string): ImageRecord | undefined {
    return this.images.get(id)
  }

  /** Image id of a full reference. */
  named(reference: string): string | undefined {
    return this.references.get(reference)
  }

  /** Full references of an image, sorted. */
  namesOf(id: string): string[] {
    return [...this.references]
      .filter(([, image]) => image === id)
      .map(([name]) => name)
      .sort()
  }

  /** Finds by id, name, or unique prefix of an id. `name`: the full reference, when it was found by one. */
  find(text: string): { image: ImageRecord; name: string | undefined } | undefined {
    const named = this.findNamed(text)
    if (named !== undefined) return named
    const prefix = text.startsWith('sha256:') ? hexOf(text) : text
    if (!/^[0-9a-f]{1,64}$/.test(prefix)) return undefined
    const found = this.all().filter(({ id }) => hexOf(id).startsWith(prefix))
    return found.length === 1 && found[0] !== undefined ? { image: found[0], name: undefined } : undefined
  }

  private findNamed(text: string): { image: ImageRecord; name: string | undefined } | undefined {
    let parsed: ReturnType<typeof parseAnyReference>
    try {
      parsed = parseAnyReference(text)
    } catch (error) {
      // An id's prefix such as `sha256:12ab` is no reference.
      if (isTsdError(error)) return undefined
      throw error
    }
    if ('id' in parsed) {
      const image = this.images.get(parsed.id)
      return image === undefined ? undefined : { image, name: undefined }
    }
    const { reference } = parsed
    // With a digest the tag says nothing more.
    const name =
      reference.digest === undefined ? formatReference(withDefaultTag(reference)) : `${repositoryOf(reference)}@${reference.digest}`
    const image = this.images.get(this.references.get(name) ?? '')
    return image === undefined ? undefined : { image, name }
  }

  /** `find`, or Docker's error. */
  require(text: string): { image: ImageRecord; name: string | undefined } {
    const found = this.find(text)
    if (found !== undefined) return found
    let asked = text
    try {
      const parsed = parseAnyReference(text)
      if ('reference' in parsed) asked = familiarString(withDefaultTag(parsed.reference))
    } catch (error) {
      // Not a name: a client learns what is wrong with it, unless it looks like an id.
      if (!/^(sha256:)?[0-9a-f]+$/.test(text)) throw error
    }
    throw notFound(`No such image: ${asked}`)
  }

  /** One synchronous batch: when it answers, the change is on disk; then it is visible here. */
  async commit(change: {
    put?: ImageRecord[]
    drop?: string[]
    name?: Record<string, string>
    unname?: string[]
    also?: StoreOperation[]
  }): Promise<void> {
    const { put = [], drop = [], name = {}, unname = [], also = [] } = change
    await this.store.batch(
      [
        ...put.map((image) => ({ put: IMAGE + hexOf(image.id), value: image })),
        ...drop.map((id) => ({ del: IMAGE + hexOf(id) })),
        ...Object.entries(name).map(([reference, image]) => ({ put: REFERENCE + reference, value: { image } satisfies ReferenceRecord })),
        ...unname.map((reference) => ({ del: REFERENCE + reference })),
        ...also,
      ],
      { sync: true },
    )
    for (const image of put) this.images.set(image.id, image)
    for (const id of drop) this.images.delete(id)
    for (const [reference, image] of Object.entries(name)) this.references.set(reference, image)
    for (const reference of unname) this.references.delete(reference)
  }
}

/** As users write it: `hello:latest`. */
export function familiar(reference: string): string {
  return familiarString(parseReference(reference))
}

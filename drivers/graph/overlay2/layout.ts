// What a layer looks like on disk: <id>/{diff,link,lower,work}, and l/<short> leading to <id>/diff so that mount options stay short.
import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { allOf, conflict, invalidParameter, notFound } from 'tsd-engine/sdk'

export interface LayerRecord {
  id: string
  /** Name below `l/`. */
  short: string
  /** Short names of the layers below, topmost first. */
  lowers: string[]
  writable: boolean
}

/** The kernel's limit is 500; this is Docker's. */
const MAX_LOWERS = 128
const LINKS = 'l'
const TRASH = '.trash'
const STAGING = '.staging'

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

async function ignoring(codes: string[], work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!codes.includes(codeOf(error) ?? '')) throw error
  })
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

const life = randomBytes(4).toString('hex')
let names = 0

/** No name of this process, nor of an earlier one. */
const unique = (): string => `${life}-${(names++).toString(36)}`

/** 25 random bits, made anew when taken: short, because every byte counts 128 times in one page of mount options. */
const shortName = (): string => [...randomBytes(5)].map((byte) => alphabet[byte % 32]).join('')

export class Layout {
  readonly root: string
  /** Records never change once they are on disk. */
  private readonly cache = new Map<string, LayerRecord>()

  constructor(root: string) {
    this.root = root
  }

  dir(id: string): string {
    if (!/^[a-z0-9_.-]{1,128}$/.test(id) || id.startsWith('.') || id === LINKS)
      throw invalidParameter(`invalid layer id ${JSON.stringify(id)}`)
    return path.join(this.root, id)
  }

  diff(id: string): string {
    return path.join(this.dir(id), 'diff')
  }

  work(id: string): string {
    return path.join(this.dir(id), 'work')
  }

  link(short: string): string {
    return path.join(this.root, LINKS, short)
  }

  /** Makes what is missing and clears what a killed daemon left. Answers what lies in the trash. */
  async init(): Promise<string[]> {
    for (const name of [LINKS, TRASH, STAGING]) await fs.mkdir(path.join(this.root, name), { recursive: true, mode: 0o700 })
    for (const name of await fs.readdir(path.join(this.root, STAGING))) await this.discard(path.join(this.root, STAGING, name))
    for (const short of await fs.readdir(path.join(this.root, LINKS))) {
      const there = await fs.stat(this.link(short)).then(
        () => true,
        () => false,
      )
      if (!there) await fs.rm(this.link(short), { force: true })
    }
    return (await fs.readdir(path.join(this.root, TRASH))).map((name) => path.join(this.root, TRASH, name))
  }

  async list(): Promise<string[]> {
    const entries = await fs.readdir(this.root, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory() && entry.name !== LINKS && !entry.name.startsWith('.')).map(({ name }) => name)
  }

  async exists(id: string): Promise<boolean> {
    return (await this.find(id)) !== undefined
  }

  async read(id: string): Promise<LayerRecord> {
    const record = await this.find(id)
    if (record === undefined) throw notFound(`layer ${id} does not exist`)
    return record
  }

  private async find(id: string): Promise<LayerRecord | undefined> {
    const known = this.cache.get(id)
    if (known !== undefined) return known
    const dir = this.dir(id)
    try {
      const short = await fs.readlink(path.join(dir, 'link'))
      const [lower, writable] = await Promise.all([
        this.readLower(dir),
        fs.stat(path.join(dir, 'work')).then(
          () => true,
          () => false,
        ),
      ])
      const record: LayerRecord = { id, short, lowers: lower, writable }
      this.cache.set(id, record)
      return record
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  private async readLower(dir: string): Promise<string[]> {
    const text = await fs.readlink(path.join(dir, 'lower')).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return ''
      throw error
    })
    return text
      .split(':')
      .filter((part) => part !== '')
      .map((part) => path.basename(part))
  }

  /** Made aside and renamed into place: a layer is there whole, or not at all. */
  async make(id: string, parent: string | undefined, writable: boolean): Promise<void> {
    const target = this.dir(id)
    if (await this.exists(id)) return
    const below = parent === undefined ? undefined : await this.read(parent)
    const lowers = below === undefined ? [] : [below.short, ...below.lowers]
    if (lowers.length > MAX_LOWERS) throw invalidParameter(`cannot create layer ${id}: max depth exceeded (${MAX_LOWERS} layers)`)
    const short = shortName()
    const staging = path.join(this.root, STAGING, `${id}.${unique()}`)
    await fs.mkdir(staging, { mode: 0o710 })
    try {
      // As link targets these are part of the journal: whole after a power cut, without a sync.
      await allOf([
        this.makeDiff(path.join(staging, 'diff'), parent),
        writable ? fs.mkdir(path.join(staging, 'work'), { mode: 0o700 }) : undefined,
        fs.symlink(short, path.join(staging, 'link')),
        lowers.length > 0 ? fs.symlink(lowers.map((one) => `${LINKS}/${one}`).join(':'), path.join(staging, 'lower')) : undefined,
        fs.symlink(`../${id}/diff`, this.link(short)),
      ])
      await fs.rename(staging, target)
      this.cache.set(id, { id, short, lowers, writable })
    } catch (error) {
      await this.discard(staging)
      await ignoring(['ENOENT', 'EEXIST'], this.dropLink(short, id))
      // Somebody else made it meanwhile.
      if (codeOf(error) === 'ENOTEMPTY' || (codeOf(error) === 'EEXIST' && (await this.exists(id)))) return
      if (codeOf(error) === 'EEXIST') return this.make(id, parent, writable)
      throw error
    }
  }

  private async dropLink(short: string, id: string): Promise<void> {
    const leads = await fs.readlink(this.link(short))
    const record = await this.find(id)
    if (leads === `../${id}/diff` && record?.short !== short) await fs.rm(this.link(short), { force: true })
  }

  /** An empty diff directory whose own mode and owner are the parent's: it shows as the root directory. */
  private async makeDiff(dir: string, parent: string | undefined): Promise<void> {
    const [, stats] = await allOf([fs.mkdir(dir, { mode: 0o755 }), parent === undefined ? undefined : fs.stat(this.diff(parent))])
    if (stats === undefined) return
    const { mode, uid, gid } = stats
    if (uid !== process.getuid?.() || gid !== process.getgid?.()) await fs.chown(dir, uid, gid)
    await fs.chmod(dir, mode & 0o7777)
  }

  /** A directory to unpack into, beside the layer. */
  async stage(id: string, parent: string | undefined): Promise<string> {
    const staging = path.join(this.root, STAGING, `${id}.${unique()}`)
    await this.makeDiff(staging, parent)
    return staging
  }

  /** Puts an unpacked directory into the place of the layer's. Answers trash, when there was content before. */
  async install(id: string, staging: string): Promise<string | undefined> {
    try {
      await fs.rename(staging, this.diff(id))
      return undefined
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error
    }
    const trash = this.trashName(id)
    await fs.rename(this.diff(id), trash)
    await fs.rename(staging, this.diff(id))
    return trash
  }

  async discard(staging: string): Promise<void> {
    await ignoring(['ENOENT'], fs.rename(staging, this.trashName(path.basename(staging))))
  }

  /** Takes a layer out of sight at once; answers the trash to be removed later. */
  async drop(id: string): Promise<string | undefined> {
    const record = await this.find(id)
    const trash = this.trashName(id)
    this.cache.delete(id)
    try {
      await fs.rename(this.dir(id), trash)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      if (codeOf(error) === 'EBUSY') throw conflict(`layer ${id} is still mounted`, { code: 'EBUSY', cause: error })
      throw error
    }
    if (record !== undefined) await fs.rm(this.link(record.short), { force: true })
    return trash
  }

  private trashName(id: string): string {
    return path.join(this.root, TRASH, `${id.slice(0, 128)}.${unique()}`)
  }
}

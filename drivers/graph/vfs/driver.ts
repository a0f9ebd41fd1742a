import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { conflict, Holders, invalidParameter, messageOf, notFound, notImplemented } from 'tsd-engine/sdk'
import type { DriverContext, GraphDriver, LayerChange, LayerOptions, MountInstruction } from 'tsd-engine/sdk'

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** Below `dir/<id>` the tree, below `staging` what is being made, below `trash` what is being removed. */
export class Vfs implements GraphDriver {
  private readonly ctx: DriverContext
  private readonly holders: Holders
  private cleaning: Promise<void> = Promise.resolve()

  constructor(ctx: DriverContext) {
    this.ctx = ctx
    this.holders = new Holders(path.join(ctx.runDir, 'holders'))
  }

  async init(): Promise<void> {
    for (const name of ['dir', 'writable', 'staging', 'trash']) await fs.mkdir(this.place(name), { recursive: true, mode: 0o710 })
    for (const area of ['staging', 'trash']) for (const name of await fs.readdir(this.place(area))) this.clean(this.place(area, name))
  }

  private place(...parts: string[]): string {
    return path.join(this.ctx.dataDir, ...parts)
  }

  private dir(id: string): string {
    if (!/^[a-z0-9_.-]{1,128}$/.test(id) || id.startsWith('.')) throw invalidParameter(`invalid layer id ${JSON.stringify(id)}`)
    return this.place('dir', id)
  }

  async create(id: string, parent: string | undefined, options: LayerOptions = {}): Promise<void> {
    checkLayerOptions(options)
    const target = this.dir(id)
    if (await this.exists(id)) return
    const staging = this.place('staging', `${id}.${randomBytes(4).toString('hex')}`)
    try {
      await fs.mkdir(staging, { mode: 0o755 })
      if (parent !== undefined) await this.ctx.archiver.copy(await this.existing(parent), staging)
      await fs.rename(staging, target)
    } catch (error) {
      this.clean(staging)
      if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST') return
      throw error
    }
  }

  async createReadWrite(id: string, parent: string | undefined, options: LayerOptions = {}): Promise<void> {
    checkLayerOptions(options)
    this.dir(id)
    // Marked first: a layer is never there without its mark.
    await fs.writeFile(this.place('writable', id), '')
    await this.create(id, parent, options)
  }

  async remove(id: string): Promise<void> {
    const dir = this.dir(id)
    const holders = this.holders.of(id)
    if (holders.length > 0) throw conflict(`layer ${id} is in use by ${holders.join(', ')}`, { code: 'EBUSY' })
    const trash = this.place('trash', `${id}.${randomBytes(4).toString('hex')}`)
    try {
      await fs.rename(dir, trash)
      this.clean(trash)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
    await fs.rm(this.place('writable', id), { force: true })
  }

  exists(id: string): Promise<boolean> {
    return present(this.dir(id))
  }

  async list(): Promise<string[]> {
    return fs.readdir(this.place('dir'))
  }

  async prepare(id: string, holder: string): Promise<MountInstruction[]> {
    const source = await this.existing(id)
    const writable = await present(this.place('writable', id))
    this.holders.hold(id, holder, writable)
    return [{ type: 'bind', source, options: writable ? ['bind', 'rw'] : ['bind', 'ro'] }]
  }

  release(id: string, holder: string): Promise<void> {
    this.dir(id)
    this.holders.release(id, holder)
    return Promise.resolve()
  }

  /** On a fresh copy of the parent, so that a repeated call ends the same. */
  async applyDiff(id: string, parent: string | undefined, tar: Readable): Promise<{ size: number }> {
    const target = await this.existing(id)
    const staging = this.place('staging', `${id}.${randomBytes(4).toString('hex')}`)
    const old = this.place('trash', path.basename(staging))
    try {
      await fs.mkdir(staging, { mode: 0o755 })
      if (parent !== undefined) await this.ctx.archiver.copy(await this.existing(parent), staging)
      const { size } = await this.ctx.archiver.unpack(tar, {
        root: staging,
        whiteouts: 'apply',
        sync: true,
        ...(await room(this.ctx.dataDir)),
      })
      await fs.rename(target, old)
      await fs.rename(staging, target)
      this.clean(old)
      return { size }
    } catch (error) {
      this.clean(staging)
      throw error
    }
  }

  async diff(id: string, parent: string | undefined): Promise<Readable> {
    return this.ctx.archiver.pack({ root: await this.existing(id), whiteouts: 'none', ...(await this.base(parent)) })
  }

  async changes(id: string, parent: string | undefined): Promise<LayerChange[]> {
    return this.ctx.archiver.changes({ root: await this.existing(id), whiteouts: 'none', ...(await this.base(parent)) })
  }

  async diffSize(id: string, parent: string | undefined): Promise<number> {
    const whole = await this.ctx.archiver.size(await this.existing(id))
    if (parent === undefined) return whole
    return Math.max(0, whole - (await this.ctx.archiver.size(await this.existing(parent))))
  }

  status(): Promise<[string, string][]> {
    return Promise.resolve([])
  }

  async metadata(id: string): Promise<Record<string, string>> {
    await this.existing(id)
    return {}
  }

  /** Waits for what is being removed in the background. */
  async dispose(): Promise<void> {
    await this.cleaning
  }

  private async base(parent: string | undefined): Promise<{ base?: string }> {
    return parent === undefined ? {} : { base: await this.existing(parent) }
  }

  private async existing(id: string): Promise<string> {
    const dir = this.dir(id)
    if (!(await present(dir))) throw notFound(`layer ${id} does not exist`)
    return dir
  }

  private clean(trash: string): void {
    this.cleaning = this.cleaning
      .then(() => this.ctx.archiver.remove(trash))
      .catch((error: unknown) => this.ctx.logger.warn(`cannot remove ${trash}, tried again at the next start`, { error: messageOf(error) }))
  }
}

function present(file: string): Promise<boolean> {
  return fs.lstat(file).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return false
      throw error
    },
  )
}

function checkLayerOptions({ storageOpt = {}, mountLabel = '', uidMaps = [], gidMaps = [] }: LayerOptions): void {
  const [key] = Object.keys(storageOpt)
  if (key !== undefined) throw invalidParameter(`--storage-opt ${key} is not supported for vfs`)
  if (mountLabel !== '') throw notImplemented('vfs: SELinux mount labels are not supported')
  if (uidMaps.length > 0 || gidMaps.length > 0) throw notImplemented('vfs: id mapped layers are not supported')
}

/** A layer may fill the disk up to a reserve, in bytes and in inodes: a bomb stops there. */
async function room(dir: string): Promise<{ maxBytes: number; maxEntries?: number }> {
  const { bavail, bsize, files, ffree } = await fs.statfs(dir)
  const maxBytes = Math.max(0, bavail * bsize - 64 * 1024 * 1024)
  // Some file systems make inodes as they need them and count none.
  return files === 0 ? { maxBytes } : { maxBytes, maxEntries: Math.floor(ffree * 0.95) }
}

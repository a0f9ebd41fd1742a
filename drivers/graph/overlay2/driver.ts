import fs from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { conflict, Holders, invalidParameter, messageOf, notImplemented } from 'tsd-engine/sdk'
import type { DriverContext, GraphDriver, LayerChange, LayerOptions, MountInstruction } from 'tsd-engine/sdk'
import { tellsTypes } from 'tsd-engine/native'
import { Layout } from './layout.js'

const backingNames = new Map([
  [0xef53, 'extfs'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlayfs'],
  [0x2fc12fc1, 'zfs'],
  [0xf2f52010, 'f2fs'],
])

/** Features that would make layers unreadable as plain directories: turned off where the kernel has them on by default. */
const unwanted = ['index', 'redirect_dir', 'metacopy']

const hex = (type: number): string => `0x${type.toString(16)}`

/** Layers as directories, merged by the kernel's overlay file system. */
export class Overlay2 implements GraphDriver {
  private readonly ctx: DriverContext
  private readonly layout: Layout
  private readonly holders: Holders
  private backing = 'unknown'
  private typed = true
  private switches: string[] = []
  private cleaning: Promise<void> = Promise.resolve()

  constructor(ctx: DriverContext) {
    this.ctx = ctx
    this.layout = new Layout(ctx.dataDir)
    this.holders = new Holders(path.join(ctx.runDir, 'holders'))
  }

  async init(): Promise<void> {
    const { type } = await fs.statfs(this.ctx.dataDir)
    this.backing = backingNames.get(type) ?? hex(type)
    this.checkOptions()
    for (const trash of await this.layout.init()) this.clean(trash)
    this.typed = tellsTypes(this.ctx.dataDir)
    this.switches = []
    for (const feature of unwanted) {
      const value = await fs.readFile(`/sys/module/overlay/parameters/${feature}`, 'utf8').catch(() => 'N')
      if (value.trim() === 'Y') this.switches.push(`${feature}=off`)
    }
  }

  private checkOptions(): void {
    if (this.ctx.options['size'] === undefined) return
    if (this.backing !== 'xfs') {
      throw invalidParameter(`Storage Option overlay2.size only supported for backingFS XFS. Found ${this.backing}: remove the option`)
    }
    throw invalidParameter('Storage option overlay2.size not supported. Filesystem does not support Project Quota: remove the option')
  }

  async create(id: string, parent: string | undefined, options: LayerOptions = {}): Promise<void> {
    checkLayerOptions(options)
    await this.layout.make(id, parent, false)
  }

  async createReadWrite(id: string, parent: string | undefined, options: LayerOptions = {}): Promise<void> {
    checkLayerOptions(options)
    await this.layout.make(id, parent, true)
  }

  async remove(id: string): Promise<void> {
    this.layout.dir(id)
    const holders = this.holders.of(id)
    if (holders.length > 0) throw conflict(`layer ${id} is in use by ${holders.join(', ')}`, { code: 'EBUSY' })
    const trash = await this.layout.drop(id)
    if (trash !== undefined) this.clean(trash)
  }

  exists(id: string): Promise<boolean> {
    return this.layout.exists(id)
  }

  list(): Promise<string[]> {
    return this.layout.list()
  }

  async prepare(id: string, holder: string): Promise<MountInstruction[]> {
    const { short, lowers, writable } = await this.layout.read(id)
    this.holders.hold(id, holder, writable)
    const diff = this.layout.diff(id)
    const below = lowers.map((one) => this.layout.link(one))
    if (lowers.length === 0) return [{ type: 'bind', source: diff, options: writable ? ['bind', 'rw'] : ['bind', 'ro'] }]
    if (!writable) return [this.overlay([`lowerdir=${[this.layout.link(short), ...below].join(':')}`])]
    return [this.overlay([`lowerdir=${below.join(':')}`, `upperdir=${diff}`, `workdir=${this.layout.work(id)}`])]
  }

  private overlay(options: string[]): MountInstruction {
    return { type: 'overlay', source: 'overlay', options: [...options, ...this.switches] }
  }

  release(id: string, holder: string): Promise<void> {
    this.layout.dir(id)
    this.holders.release(id, holder)
    return Promise.resolve()
  }

  async applyDiff(id: string, parent: string | undefined, tar: Readable): Promise<{ size: number }> {
    await this.parentOf(id, parent)
    const staging = await this.layout.stage(id, parent)
    try {
      const { size } = await this.ctx.archiver.unpack(tar, {
        root: staging,
        whiteouts: 'overlay',
        sync: true,
        ...(await room(this.ctx.dataDir)),
      })
      const trash = await this.layout.install(id, staging)
      if (trash !== undefined) this.clean(trash)
      return { size }
    } catch (error) {
      await this.layout.discard(staging)
      throw error
    }
  }

  async diff(id: string, parent: string | undefined): Promise<Readable> {
    await this.parentOf(id, parent)
    return this.ctx.archiver.pack({ root: this.layout.diff(id), whiteouts: 'overlay' })
  }

  async changes(id: string, parent: string | undefined): Promise<LayerChange[]> {
    const lowers = await this.parentOf(id, parent)
    return this.ctx.archiver.changes({
      root: this.layout.diff(id),
      whiteouts: 'overlay',
      lowers: lowers.map((one) => this.layout.link(one)),
    })
  }

  async diffSize(id: string, parent: string | undefined): Promise<number> {
    await this.parentOf(id, parent)
    return this.ctx.archiver.size(this.layout.diff(id))
  }

  status(): Promise<[string, string][]> {
    return Promise.resolve([
      ['Backing Filesystem', this.backing],
      ['Supports d_type', String(this.typed)],
      ['Using metacopy', 'false'],
      ['Native Overlay Diff', 'true'],
      ['userxattr', 'false'],
    ])
  }

  async metadata(id: string): Promise<Record<string, string>> {
    const { lowers } = await this.layout.read(id)
    const below = await Promise.all(lowers.map((one) => fs.realpath(this.layout.link(one))))
    const dir = this.layout.dir(id)
    return {
      ...(below.length === 0 ? {} : { LowerDir: below.join(':') }),
      MergedDir: path.join(dir, 'merged'),
      UpperDir: this.layout.diff(id),
      WorkDir: this.layout.work(id),
    }
  }

  /** Waits for what is being removed in the background. */
  async dispose(): Promise<void> {
    await this.cleaning
  }

  /** A layer's own directory says what differs from the parent it was made on, and from no other. */
  private async parentOf(id: string, parent: string | undefined): Promise<string[]> {
    const { lowers } = await this.layout.read(id)
    const below = parent === undefined ? undefined : await this.layout.read(parent)
    if (below?.short !== lowers[0]) throw invalidParameter(`layer ${id} was not made on ${parent ?? 'nothing'}`)
    return lowers
  }

  /** Directories of used overlays take milliseconds to remove: one after the other, behind everybody's back. */
  private clean(trash: string): void {
    this.cleaning = this.cleaning
      .then(() => this.ctx.archiver.remove(trash))
      .catch((error: unknown) => this.ctx.logger.warn(`cannot remove ${trash}, tried again at the next start`, { error: messageOf(error) }))
  }
}

function checkLayerOptions({ storageOpt = {}, mountLabel = '', uidMaps = [], gidMaps = [] }: LayerOptions): void {
  for (const key of Object.keys(storageOpt)) {
    if (key.toLowerCase() !== 'size') throw invalidParameter(`Unknown option ${key}`)
    throw invalidParameter("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
  }
  if (mountLabel !== '') throw notImplemented('overlay2: SELinux mount labels are not supported')
  if (uidMaps.length > 0 || gidMaps.length > 0) throw notImplemented('overlay2: id mapped layers are not supported')
}

/** A layer may fill the disk up to a reserve, in bytes and in inodes: a bomb stops there. */
async function room(dir: string): Promise<{ maxBytes: number; maxEntries?: number }> {
  const { bavail, bsize, files, ffree } = await fs.statfs(dir)
  const maxBytes = Math.max(0, bavail * bsize - 64 * 1024 * 1024)
  // Some file systems make inodes as they need them and count none.
  return files === 0 ? { maxBytes } : { maxBytes, maxEntries: Math.floor(ffree * 0.95) }
}

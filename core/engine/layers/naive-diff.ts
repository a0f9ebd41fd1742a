import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import type { GraphDriver, LayerChange } from '../../sdk/kinds/graph.js'
import type { Archiver, Mounter, PackOptions } from '../../sdk/ports.js'

export type DiffingDriver = Required<Pick<GraphDriver, 'applyDiff' | 'diff' | 'changes' | 'diffSize'>>

interface Mounted {
  dir: string
  close(): Promise<void>
}

/** Gives a driver that cannot diff what it lacks: layers are mounted and compared. */
export class NaiveDiff {
  private readonly driver: GraphDriver
  private readonly mounter: Mounter
  private readonly archiver: Archiver
  private readonly dir: string

  /** Layers are mounted below `dir`. */
  constructor(driver: GraphDriver, mounter: Mounter, archiver: Archiver, dir: string) {
    this.driver = driver
    this.mounter = mounter
    this.archiver = archiver
    this.dir = dir
  }

  /** The driver's own methods, and ours where it has none. */
  completed(): DiffingDriver {
    const { driver } = this
    return {
      applyDiff: (id, parent, tar) => driver.applyDiff?.(id, parent, tar) ?? this.applyDiff(id, tar),
      diff: (id, parent) => driver.diff?.(id, parent) ?? this.diff(id, parent),
      changes: (id, parent) => driver.changes?.(id, parent) ?? this.changes(id, parent),
      diffSize: (id, parent) => driver.diffSize?.(id, parent) ?? this.diffSize(id, parent),
    }
  }

  private async applyDiff(id: string, tar: Readable): Promise<{ size: number }> {
    const { size } = await this.mounted([id], ([root]) =>
      this.archiver.unpack(tar, { root: root as string, whiteouts: 'apply', sync: true }),
    )
    return { size }
  }

  private async diff(id: string, parent: string | undefined): Promise<Readable> {
    const mounts = await this.mountAll(parent === undefined ? [id] : [id, parent])
    const tar = this.archiver.pack(options(mounts.map(({ dir }) => dir)))
    return tar.once('close', () => void this.closeAll(mounts).catch(() => undefined))
  }

  private changes(id: string, parent: string | undefined): Promise<LayerChange[]> {
    return this.mounted(parent === undefined ? [id] : [id, parent], (dirs) => this.archiver.changes(options(dirs)))
  }

  private async diffSize(id: string, parent: string | undefined): Promise<number> {
    return this.mounted(parent === undefined ? [id] : [id, parent], async ([own, below]) => {
      const size = await this.archiver.size(own as string)
      return below === undefined ? size : Math.max(0, size - (await this.archiver.size(below)))
    })
  }

  private async mounted<T>(ids: string[], work: (dirs: string[]) => Promise<T>): Promise<T> {
    const mounts = await this.mountAll(ids)
    try {
      return await work(mounts.map(({ dir }) => dir))
    } finally {
      await this.closeAll(mounts)
    }
  }

  private async mountAll(ids: string[]): Promise<Mounted[]> {
    const mounts: Mounted[] = []
    try {
      for (const id of ids) mounts.push(await this.mount(id))
      return mounts
    } catch (error) {
      await this.closeAll(mounts)
      throw error
    }
  }

  private async closeAll(mounts: Mounted[]): Promise<void> {
    for (const mount of mounts.reverse()) await mount.close()
  }

  private async mount(id: string): Promise<Mounted> {
    const holder = `diff-${randomBytes(8).toString('hex')}`
    const dir = path.join(this.dir, holder)
    const instructions = await this.driver.prepare(id, holder)
    try {
      await fs.mkdir(dir, { recursive: true, mode: 0o700 })
      // A layer that is being made is written through its mount, though it is read-only for its users.
      const writable = instructions.map((one) => ({ ...one, options: one.options.filter((option) => option !== 'ro') }))
      await this.mounter.mount(writable, dir)
    } catch (error) {
      await this.driver.release(id, holder)
      throw error
    }
    const close = async (): Promise<void> => {
      await this.mounter.unmount(dir)
      await fs.rmdir(dir)
      await this.driver.release(id, holder)
    }
    return { dir, close }
  }
}

function options([root, base]: string[]): PackOptions {
  return { root: root as string, whiteouts: 'none', ...(base === undefined ? {} : { base }) }
}

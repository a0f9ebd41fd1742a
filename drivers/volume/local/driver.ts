import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import {
  conflict,
  dataLoss,
  isTsdError,
  KeyedLock,
  messageOf,
  notFound,
  TsdError,
  type DriverContext,
  type VolumeDriver,
  type VolumeInfo,
} from 'tsd-engine/sdk'
import { Holders } from './holders.js'
import { checkName, isVolumeName, mountInstruction, parseOptions, withoutPassword, type LocalOptions } from './options.js'

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code

const absent = (error: unknown): undefined => {
  if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
  throw error
}

/**
 * Directories `<dataDir>/<name>/_data`. With `type` and `device` the device is mounted at `_data` while somebody holds the volume;
 * `opts.json` exists only then. All state is the directory tree, the holder files and the mount table.
 */
export class LocalVolumes implements VolumeDriver {
  private readonly locks = new KeyedLock()
  private readonly holders: Holders

  constructor(private readonly ctx: Pick<DriverContext, 'dataDir' | 'runDir' | 'mounter' | 'archiver' | 'logger'>) {
    this.holders = new Holders(ctx.runDir)
  }

  /** Deletes what a crash left half made or half deleted. */
  async sweep(): Promise<void> {
    const left = (await fs.readdir(this.ctx.dataDir)).filter((entry) => /^\.(new|trash)-/.test(entry))
    for (const entry of left) await this.discard(path.join(this.ctx.dataDir, entry))
  }

  capabilities(): Promise<{ scope: 'local' }> {
    return Promise.resolve({ scope: 'local' })
  }

  create(name: string, options: Record<string, string>): Promise<void> {
    return this.locks.run(name, async () => {
      checkName(name)
      const parsed = parseOptions(options)
      if (await this.exists(name)) {
        const present = await this.options(name)
        const same = (['type', 'device', 'o'] as const).every((key) => present?.[key] === parsed?.[key])
        if (same) return
        throw conflict(`volume ${name} exists with other options: remove it first, or choose another name`)
      }
      const temporary = path.join(this.ctx.dataDir, `.new-${randomBytes(8).toString('hex')}`)
      try {
        await fs.mkdir(temporary, { mode: 0o701 })
        await fs.mkdir(path.join(temporary, '_data'))
        await fs.chmod(path.join(temporary, '_data'), 0o755)
        if (parsed !== undefined) await writeSynced(path.join(temporary, 'opts.json'), JSON.stringify(parsed))
        await fs.rename(temporary, path.join(this.ctx.dataDir, name))
        await syncDirectory(this.ctx.dataDir)
      } catch (error) {
        await fs.rm(temporary, { recursive: true, force: true })
        if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'ENOTDIR' || codeOf(error) === 'EEXIST')
          throw conflict(`${path.join(this.ctx.dataDir, name)} is in the way and is no volume: move it away`, { cause: error })
        throw error
      }
    })
  }

  remove(name: string): Promise<void> {
    return this.locks.run(name, async () => {
      if (!isVolumeName(name) || !(await this.exists(name))) return
      if ((await this.holders.count(name)) > 0) throw conflict('volume has active mounts', { code: 'EBUSY' })
      const dir = path.join(this.ctx.dataDir, name)
      const data = path.join(dir, '_data')
      // Left by a crash between the mount and its holder: what is mounted must not be deleted with the volume.
      if ((await this.options(name)) !== undefined && (await this.ctx.mounter.mounted(data))) await this.ctx.mounter.unmount(data)
      const foreign = await mountBelow(dir)
      if (foreign !== undefined) throw conflict(`volume has active mounts: unmount ${foreign} first`, { code: 'EBUSY' })
      const trash = path.join(this.ctx.dataDir, `.trash-${randomBytes(8).toString('hex')}`)
      await fs.rename(dir, trash)
      await syncDirectory(this.ctx.dataDir)
      void this.discard(trash)
    })
  }

  async get(name: string): Promise<VolumeInfo | undefined> {
    if (!isVolumeName(name)) return undefined
    const stat = await fs.lstat(path.join(this.ctx.dataDir, name)).catch(absent)
    if (stat?.isDirectory() !== true || !(await this.exists(name))) return undefined
    const born = stat.birthtimeMs > 0 ? stat.birthtime : stat.ctime
    return { name, mountpoint: this.data(name), createdAt: born.toISOString().replace(/\.\d+Z$/, 'Z') }
  }

  async list(): Promise<VolumeInfo[]> {
    const volumes: VolumeInfo[] = []
    for (const entry of await fs.readdir(this.ctx.dataDir, { withFileTypes: true })) {
      const volume = entry.isDirectory() ? await this.get(entry.name) : undefined
      if (volume !== undefined) volumes.push(volume)
    }
    return volumes
  }

  async path(name: string): Promise<string | undefined> {
    if (!isVolumeName(name) || !(await this.exists(name))) return undefined
    const mountedWhenHeld = (await this.options(name)) !== undefined
    return mountedWhenHeld && (await this.holders.count(name)) === 0 ? undefined : this.data(name)
  }

  mount(name: string, holder: string): Promise<{ mountpoint: string }> {
    return this.locks.run(name, async () => {
      if (!isVolumeName(name) || !(await this.exists(name))) throw notFound(`no such volume: ${name}`)
      const options = await this.options(name)
      const added = await this.holders.add(name, holder)
      try {
        if (options !== undefined) await this.mountDevice(name, options)
      } catch (error) {
        if (added) await this.holders.remove(name, holder)
        throw error
      }
      return { mountpoint: this.data(name) }
    })
  }

  unmount(name: string, holder: string): Promise<void> {
    return this.locks.run(name, async () => {
      if (!isVolumeName(name) || !(await this.holders.has(name, holder))) return
      const last = (await this.holders.count(name)) === 1
      // The holder goes last: a crash in between repeats the unmount, which is harmless.
      if (last && (await this.options(name)) !== undefined) await this.ctx.mounter.unmount(this.data(name))
      await this.holders.remove(name, holder)
    })
  }

  private async mountDevice(name: string, options: LocalOptions): Promise<void> {
    if (await this.ctx.mounter.mounted(this.data(name))) return
    try {
      await this.ctx.mounter.mount([await mountInstruction(options)], this.data(name))
    } catch (error) {
      const message = `failed to mount local volume: ${withoutPassword(messageOf(error), options)}`
      const category = isTsdError(error) ? error.category : 'System'
      throw new TsdError(category, message, { plugin: 'local', call: 'VolumeDriver.Mount' })
    }
  }

  private data(name: string): string {
    return path.join(this.ctx.dataDir, name, '_data')
  }

  /** Read from the parent's entries: `_data` itself may be a dead remote mount, and a symlink in its place is no volume. */
  private async exists(name: string): Promise<boolean> {
    const dir = path.join(this.ctx.dataDir, name)
    if ((await fs.lstat(dir).catch(absent))?.isDirectory() !== true) return false
    const entries = await fs.readdir(dir, { withFileTypes: true }).catch(absent)
    return entries?.some((entry) => entry.name === '_data' && entry.isDirectory()) === true
  }

  private async options(name: string): Promise<LocalOptions | undefined> {
    const file = path.join(this.ctx.dataDir, name, 'opts.json')
    const text = await fs.readFile(file, 'utf8').catch(absent)
    if (text === undefined) return undefined
    try {
      return parseOptions(JSON.parse(text) as Record<string, string>)
    } catch (error) {
      throw dataLoss(`the options of volume ${name} cannot be read from ${file}: ${messageOf(error)}`, { cause: error })
    }
  }

  private async discard(trash: string): Promise<void> {
    try {
      await this.ctx.archiver.remove(trash)
    } catch (error) {
      this.ctx.logger.warn('a removed volume could not be deleted, it is tried again at the next start', {
        path: trash,
        error: messageOf(error),
      })
    }
  }
}

async function writeSynced(file: string, text: string): Promise<void> {
  const handle = await fs.open(file, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await fs.open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The first mount point at or below a directory. Read, not stat'ed: it may not answer. */
async function mountBelow(dir: string): Promise<string | undefined> {
  const escaped = (await fs.realpath(dir)).replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)
  const lines = (await fs.readFile('/proc/self/mountinfo', 'utf8')).split('\n')
  return lines.map((line) => line.split(' ')[4] ?? '').find((target) => target === escaped || target.startsWith(`${escaped}/`))
}

import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code

/** Who uses which volume: one file per holder on tmpfs, so that it outlives the daemon and is forgotten with the mounts at a reboot. */
export class Holders {
  constructor(private readonly dir: string) {}

  /** False when it was there already. */
  async add(name: string, holder: string): Promise<boolean> {
    const file = this.file(name, holder)
    for (;;) {
      try {
        await fs.writeFile(file, holder, { flag: 'wx' })
        return true
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return false
        if (codeOf(error) !== 'ENOENT') throw error
        await fs.mkdir(path.dirname(file), { recursive: true })
      }
    }
  }

  async remove(name: string, holder: string): Promise<void> {
    await fs.rm(this.file(name, holder), { force: true })
    await fs.rmdir(path.join(this.dir, name)).catch(() => undefined)
  }

  async has(name: string, holder: string): Promise<boolean> {
    return (await this.files(name)).includes(path.basename(this.file(name, holder)))
  }

  async count(name: string): Promise<number> {
    return (await this.files(name)).length
  }

  private async files(name: string): Promise<string[]> {
    try {
      return await fs.readdir(path.join(this.dir, name))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return []
      throw error
    }
  }

  /** Holders are named by their callers: any text, of any length. */
  private file(name: string, holder: string): string {
    return path.join(this.dir, name, createHash('sha256').update(holder).digest('hex'))
  }
}

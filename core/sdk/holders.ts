import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { conflict, invalidParameter } from './errors.js'

const hasCode = (error: unknown, code: string): boolean => (error as { code?: string }).code === code

/**
 * Who uses which object, kept as files in a directory on tmpfs (a driver's `runDir`): gone with a reboot, as the mounts are.
 * Calls are synchronous: a few microseconds each there.
 */
export class Holders {
  private readonly dir: string

  constructor(dir: string) {
    this.dir = dir
    fs.mkdirSync(dir, { recursive: true, mode: 0o700 })
  }

  private place(id: string): string {
    if (id === '' || id.startsWith('.') || id.includes('/')) throw invalidParameter(`invalid id ${JSON.stringify(id)}`)
    return path.join(this.dir, id)
  }

  /** Takes hold. Repeating a holder is success; an exclusive hold beside another one is a Conflict that names it. */
  hold(id: string, holder: string, exclusive: boolean): void {
    const place = this.place(id)
    fs.mkdirSync(place, { recursive: true, mode: 0o700 })
    // One name for all exclusive holders: the file system lets only one of them in.
    const file = path.join(place, exclusive ? 'exclusive' : createHash('sha256').update(holder).digest('hex').slice(0, 32))
    const complete = path.join(place, `.${process.pid}.${Math.random().toString(36).slice(2)}`)
    fs.writeFileSync(complete, holder)
    try {
      fs.linkSync(complete, file)
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
      const current = fs.readFileSync(file, 'utf8')
      if (current !== holder) throw conflict(`layer ${id} is in use by ${current}`, { code: 'EBUSY' })
    } finally {
      fs.rmSync(complete, { force: true })
    }
  }

  /** Lets go. An unknown holder is success. */
  release(id: string, holder: string): void {
    for (const { file, holder: current } of this.read(id)) if (current === holder) fs.rmSync(file, { force: true })
    try {
      fs.rmdirSync(this.place(id))
    } catch (error) {
      if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTEMPTY')) throw error
    }
  }

  of(id: string): string[] {
    return this.read(id).map(({ holder }) => holder)
  }

  private read(id: string): { file: string; holder: string }[] {
    const place = this.place(id)
    try {
      return fs
        .readdirSync(place)
        .map((name) => path.join(place, name))
        .filter((file) => {
          // Left by a process that was killed between writing and linking.
          if (path.basename(file).startsWith('.')) fs.rmSync(file, { force: true })
          return !path.basename(file).startsWith('.')
        })
        .map((file) => ({ file, holder: fs.readFileSync(file, 'utf8') }))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    }
  }
}

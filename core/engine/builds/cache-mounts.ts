import { chmod, chown, mkdir, readdir, rename, stat } from 'node:fs/promises'
import { digestOf } from '../../base/digest.js'
import { KeyedLock } from '../../base/keyed-lock.js'
import { randomHex } from '../../base/random.js'

/** shared: by all at once; locked: one after the other; private: a directory for each of those at work at the same time. */
export type Sharing = 'shared' | 'private' | 'locked'

/** Directories of RUN --mount=type=cache. They outlive builds, and are removed by prune alone. */
export class CacheMounts {
  readonly dir: string
  private readonly locks = new KeyedLock()
  private readonly users = new Map<string, number>()

  constructor(dir: string) {
    this.dir = dir
  }

  async take(
    id: string,
    sharing: Sharing,
    made: { mode: number; uid: number; gid: number },
    signal: AbortSignal,
  ): Promise<{ dir: string; release(): void }> {
    const name = (index: number): string => digestOf(index === 0 ? id : `${id}\n${index}`).slice('sha256:'.length)
    let index = 0
    if (sharing === 'private') while (this.users.has(name(index))) index++
    const chosen = name(index)
    this.users.set(chosen, (this.users.get(chosen) ?? 0) + 1)
    let unlock = (): void => undefined
    const release = (): void => {
      unlock()
      const users = (this.users.get(chosen) ?? 1) - 1
      if (users === 0) this.users.delete(chosen)
      else this.users.set(chosen, users)
    }
    try {
      if (sharing === 'locked') unlock = await this.locks.acquire(chosen, { signal })
      await this.make(chosen, made)
      return { dir: `${this.dir}/${chosen}`, release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** Made aside, so that it is never seen with the wrong owner. */
  private async make(name: string, { mode, uid, gid }: { mode: number; uid: number; gid: number }): Promise<void> {
    const path = `${this.dir}/${name}`
    const there = await stat(path).then(
      () => true,
      () => false,
    )
    if (there) return
    await mkdir(this.dir, { recursive: true, mode: 0o700 })
    const aside = `${this.dir}/new-${randomHex(6)}`
    await mkdir(aside)
    await chown(aside, uid, gid)
    await chmod(aside, mode)
    // Somebody else's is as good: an empty directory gives way to ours.
    await rename(aside, path)
  }

  /** Those that no step uses now. */
  async unused(): Promise<string[]> {
    const names = await readdir(this.dir).catch(() => [] as string[])
    return names.filter((name) => !this.users.has(name))
  }
}

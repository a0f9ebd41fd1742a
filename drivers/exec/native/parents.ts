import fs from 'node:fs/promises'
import type { CgroupLayout } from 'tsd-engine/native'

const read = async (file: string): Promise<string> => (await fs.readFile(file, 'utf8').catch(() => '')).trim()

async function mkdir(dir: string): Promise<void> {
  await fs.mkdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
}

/** A new cpuset group of v1 has no CPUs and no memory: it takes its parent's, and so do those made in it later. */
async function cpuset(parent: string, dir: string): Promise<void> {
  await fs.writeFile(`${dir}/cgroup.clone_children`, '1')
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if ((await read(`${dir}/${file}`)) === '')
      await fs.writeFile(`${dir}/${file}`, (await read(`${parent}/${file}`)) || (await read(`${parent}/cpuset.effective_${file.slice(7)}`)))
}

/** Makes the groups above a container's own, level by level, ready to have children. */
async function makeParents(layout: CgroupLayout, parent: string): Promise<void> {
  const levels = parent.split('/').filter((part) => part !== '')
  if (layout.version === 2) {
    const enable = async (dir: string) => {
      const have = (await read(`${dir}/cgroup.controllers`)).split(' ').filter((name) => name !== '')
      // One by one: a controller that is busy elsewhere must not keep the others away.
      for (const name of have) await fs.writeFile(`${dir}/cgroup.subtree_control`, `+${name}`).catch(() => undefined)
    }
    let dir = layout.dir
    await enable(dir)
    for (const level of levels) {
      dir = `${dir}/${level}`
      await mkdir(dir)
      await enable(dir)
    }
    return
  }
  for (const { dir: top, controllers } of layout.hierarchies) {
    let dir = top
    for (const level of levels) {
      const above = dir
      dir = `${dir}/${level}`
      await mkdir(dir)
      if (controllers.includes('cpuset')) await cpuset(above, dir)
    }
  }
}

/** Each parent is prepared once, and again after somebody removed it. */
export class CgroupParents {
  readonly #ready = new Set<string>()
  readonly #pending = new Map<string, Promise<void>>()
  readonly #layout: CgroupLayout

  constructor(layout: CgroupLayout) {
    this.#layout = layout
  }

  ready(parent: string): boolean {
    return this.#ready.has(parent)
  }

  prepare(parent: string): Promise<void> {
    let pending = this.#pending.get(parent)
    if (!pending) {
      pending = makeParents(this.#layout, parent)
        .then(() => void this.#ready.add(parent))
        .finally(() => this.#pending.delete(parent))
      this.#pending.set(parent, pending)
    }
    return pending
  }

  forget(parent: string): void {
    this.#ready.delete(parent)
  }
}

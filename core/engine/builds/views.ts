import { mkdir, rmdir } from 'node:fs/promises'
import type { Disposables } from '../../base/disposables.js'
import { randomHex } from '../../base/random.js'
import type { Drivers, MounterPort, RunLedger } from '../ports/index.js'

export interface ViewServices {
  drivers: Drivers
  mounter: MounterPort
  ledger: RunLedger
  execRoot: string
}

/** Images' trees on the host, to be read by workers and bound into containers. Each is mounted once for a build, and gone with it. */
export class Views {
  private readonly mounted = new Map<string, Promise<string>>()
  private readonly services: ViewServices
  private readonly owner: string
  private readonly stack: Disposables

  /** `owner` is what the ledger knows the build by. */
  constructor(services: ViewServices, owner: string, stack: Disposables) {
    this.services = services
    this.owner = owner
    this.stack = stack
  }

  /** The root directory of a layer and all below it. */
  of(layer: string): Promise<string> {
    const known = this.mounted.get(layer)
    if (known !== undefined) return known
    const made = this.mount(layer)
    this.mounted.set(layer, made)
    made.catch(() => this.mounted.delete(layer))
    return made
  }

  private async mount(layer: string): Promise<string> {
    const { drivers, mounter, ledger, execRoot } = this.services
    const driver = drivers.defaultName('graph')
    const holder = `${this.owner}.${randomHex(6)}`
    const target = `${execRoot}/rootfs/${holder}`
    const resources = [
      { kind: 'snapshot', key: holder, data: { driver, layer } },
      { kind: 'mount', key: target },
    ]
    const graph = await drivers.lease('graph', driver, `build ${this.owner}`)
    ledger.intend(this.owner, resources)
    const release = async (): Promise<void> => {
      await mounter.unmount(target)
      await rmdir(target).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
      await graph.driver.release(layer, holder)
      ledger.released(this.owner, resources)
      graph.release()
    }
    try {
      const instructions = await graph.driver.prepare(layer, holder)
      await mkdir(target, { recursive: true, mode: 0o700 })
      await mounter.mount(instructions, target)
    } catch (error) {
      await release()
      throw error
    }
    this.stack.defer(`view of layer ${layer}`, release)
    return target
  }
}

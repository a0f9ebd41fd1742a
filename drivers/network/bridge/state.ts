import fs from 'node:fs'
import path from 'node:path'
import type { PublishedPort } from 'tsd-engine/sdk'
import type { BridgeNetwork } from './options.js'

/** An endpoint that joined: what leave() needs to know. */
export interface BridgeEndpoint {
  networkId: string
  endpointId: string
  /** CIDR, or empty. */
  address: string
  addressIPv6: string
  /** Host end of the veth pair, and its MAC: name and MAC together say that a link is ours. */
  link: string
  linkMac: string
  /** With the host address that was in force. */
  ports: PublishedPort[]
}

const isId = (name: string): boolean => /^[0-9a-f]{1,64}$/.test(name)

/** Files of one kind, one per id. A file that was cut short by a kill was never acknowledged: it counts as absent. */
class Records<T> {
  readonly #all = new Map<string, T>()

  constructor(
    private readonly dir: string,
    /** What records of an older version lack. */
    lacking: Partial<T>,
  ) {
    fs.mkdirSync(dir, { recursive: true })
    for (const name of fs.readdirSync(dir)) {
      const id = name.endsWith('.json') ? name.slice(0, -5) : ''
      if (!isId(id)) continue
      try {
        this.#all.set(id, { ...lacking, ...(JSON.parse(fs.readFileSync(path.join(dir, name), 'utf8')) as T) })
      } catch {
        fs.rmSync(path.join(dir, name), { force: true })
      }
    }
  }

  #file(id: string): string {
    return path.join(this.dir, `${id}.json`)
  }

  get(id: string): T | undefined {
    return this.#all.get(id)
  }

  list(): T[] {
    return [...this.#all.values()]
  }

  put(id: string, value: T): void {
    if (!isId(id)) throw new TypeError(`${JSON.stringify(id)} is not an id`)
    const text = JSON.stringify(value)
    // An older record stays whole until the new one is.
    if (this.#all.has(id)) {
      fs.writeFileSync(`${this.#file(id)}.new`, text)
      fs.renameSync(`${this.#file(id)}.new`, this.#file(id))
    } else fs.writeFileSync(this.#file(id), text)
    this.#all.set(id, value)
  }

  delete(id: string): void {
    this.#all.delete(id)
    fs.rmSync(this.#file(id), { force: true })
  }

  /** One rename: the record is in exactly one place at any time. */
  moveTo(other: Records<T>, id: string): void {
    const value = this.#all.get(id)
    if (value === undefined) return
    fs.renameSync(this.#file(id), other.#file(id))
    this.#all.delete(id)
    other.#all.set(id, value)
  }
}

export class BridgeState {
  readonly networks: Records<BridgeNetwork>
  readonly endpoints: Records<BridgeEndpoint>
  /** Left, with a link that was still to be seen. */
  readonly leaving: Records<BridgeEndpoint>

  constructor(dataDir: string, runDir: string) {
    this.networks = new Records<BridgeNetwork>(path.join(dataDir, 'networks'), { subnetIPv6: '', gatewayIPv6: '' })
    this.endpoints = new Records<BridgeEndpoint>(path.join(runDir, 'endpoints'), { addressIPv6: '' })
    this.leaving = new Records<BridgeEndpoint>(path.join(runDir, 'leaving'), { addressIPv6: '' })
  }
}

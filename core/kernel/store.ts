import type { Kind } from '../sdk/driver.js'
import type { DriverInfo } from './driver-info.js'
import type { DriverSlot } from './slot.js'

/** A driver that the kernel knows, and where it came from. */
export interface StoredDriver<K extends Kind = Kind> {
  slot: DriverSlot<K>
  info: DriverInfo
}

/** The inventory: every driver that was found, by kind and name. */
export class DriverStore {
  private readonly drivers = new Map<string, StoredDriver>()
  private readonly callbacks: { kind: Kind; callback: (name: string) => void }[] = []

  /** The first one of a kind and name stays. Answers whether this was it. */
  add(driver: StoredDriver): boolean {
    const key = driver.slot.id
    if (this.drivers.has(key)) return false
    this.drivers.set(key, driver)
    return true
  }

  get<K extends Kind>(kind: K, name: string): StoredDriver<K> | undefined {
    return this.drivers.get(`${kind}/${name}`) as StoredDriver<K> | undefined
  }

  remove(kind: Kind, name: string): void {
    this.drivers.delete(`${kind}/${name}`)
  }

  getAllByCapability<K extends Kind>(kind: K): StoredDriver<K>[] {
    return this.getAll().filter((one) => one.slot.kind === kind) as StoredDriver[] as StoredDriver<K>[]
  }

  getAll(): StoredDriver[] {
    return [...this.drivers.values()]
  }

  onActivate(kind: Kind, callback: (name: string) => void): void {
    this.callbacks.push({ kind, callback })
    for (const { slot } of this.getAllByCapability(kind)) if (slot.state === 'active') callback(slot.name)
  }

  activated(kind: Kind, name: string): void {
    for (const one of this.callbacks) if (one.kind === kind) one.callback(name)
  }
}

import type { DriverInstance, Kind, KindMap } from '../sdk/driver.js'
import { conflict, deadlineExceeded, unavailable, type TsdError } from '../sdk/errors.js'
import type { Lease } from '../sdk/registry.js'

export type SlotState = 'available' | 'starting' | 'active' | 'draining' | 'failed'

interface Holder {
  holder: string
  since: number
}

/** One driver under one name: its state, its instance, and who uses it. */
export class DriverSlot<K extends Kind = Kind> {
  state: SlotState = 'available'
  /** Why it failed, when it did. */
  failure: Error | undefined
  private instance: DriverInstance<K> | undefined
  private activation: Promise<DriverInstance<K>> | undefined
  private readonly holders = new Set<Holder>()
  private drained: (() => void) | undefined

  constructor(
    readonly kind: K,
    readonly name: string,
    /** Makes the instance; called again after a failure. */
    private readonly make: () => Promise<DriverInstance<K>>,
    private readonly crashOnly = true,
  ) {}

  get driver(): KindMap[K] | undefined {
    return this.state === 'active' ? this.instance : undefined
  }

  get id(): string {
    return `${this.kind}/${this.name}`
  }

  /** Everyone who asks while it starts waits for the same start. */
  activate(): Promise<DriverInstance<K>> {
    if (this.state === 'active') return Promise.resolve(this.instance as DriverInstance<K>)
    if (this.state === 'draining') return Promise.reject(unavailable(`driver ${this.id} is being disabled`))
    this.activation ??= this.start()
    return this.activation
  }

  async lease(holder: string): Promise<Lease<KindMap[K]>> {
    const driver = await this.activate()
    return this.hold(holder, driver)
  }

  leases(): { holder: string; since: string }[] {
    return [...this.holders].map(({ holder, since }) => ({ holder, since: new Date(since).toISOString() }))
  }

  /** Waits until nobody holds it, then disposes of the instance. New leases are refused meanwhile. */
  async drain(milliseconds: number): Promise<void> {
    if (this.state !== 'active') return
    this.state = 'draining'
    try {
      await this.idle(milliseconds)
    } catch (error) {
      this.state = 'active'
      throw error
    }
    await this.dispose()
  }

  /** Ends the instance whether or not somebody holds it. */
  async dispose(): Promise<void> {
    const { instance } = this
    this.instance = undefined
    this.activation = undefined
    this.state = 'available'
    await instance?.dispose?.()
  }

  private async start(): Promise<DriverInstance<K>> {
    this.state = 'starting'
    try {
      this.instance = await this.make()
      this.state = 'active'
      this.failure = undefined
      return this.instance
    } catch (error) {
      this.state = 'failed'
      this.failure = error as TsdError
      throw error
    } finally {
      this.activation = undefined
    }
  }

  private hold(holder: string, driver: KindMap[K]): Lease<KindMap[K]> {
    if (this.state === 'draining') throw conflict(`driver ${this.id} is being disabled`)
    const entry: Holder = { holder, since: Date.now() }
    this.holders.add(entry)
    return {
      name: this.name,
      driver,
      crashOnly: this.crashOnly,
      release: () => {
        if (this.holders.delete(entry) && this.holders.size === 0) this.drained?.()
      },
    }
  }

  private async idle(milliseconds: number): Promise<void> {
    if (this.holders.size === 0) return
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        this.drained = resolve
        timer = setTimeout(() => {
          const names = [...this.holders].map((one) => one.holder).slice(0, 10)
          reject(deadlineExceeded(`driver ${this.id} is still used after ${milliseconds / 1000} s by ${names.join(', ')}`))
        }, milliseconds)
      })
    } finally {
      clearTimeout(timer)
      this.drained = undefined
    }
  }
}

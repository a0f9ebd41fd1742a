import type { DriverInstance, Kind } from '../sdk/driver.js'
import { messageOf, notFound } from '../sdk/errors.js'
import type { Logger } from '../sdk/ports.js'
import type { DriverAlias } from './manager-options.js'
import { DriverSlot } from './slot.js'
import type { DriverStore, StoredDriver } from './store.js'

/** A retired name whose holders stay longer is left to them. */
const drainMilliseconds = 10_000

interface Present {
  alias: DriverAlias
  /** What a plugin brought under the same name. */
  covered: StoredDriver | undefined
}

export interface AliasesOptions {
  store: DriverStore
  /** Makes the target's driver under another name. */
  make(target: StoredDriver, alias: DriverAlias): Promise<DriverInstance<Kind>>
  looked(): readonly string[]
  logger: Logger
}

const idOf = ({ kind, name }: DriverAlias): string => `${kind}/${name}`

/** The administrator's further names for drivers. They go before what plugins bring under the same names. */
export class Aliases {
  private readonly present = new Map<string, Present>()

  constructor(private readonly options: AliasesOptions) {}

  /** From now on just these. Whoever holds a driver under a name that goes keeps it. */
  replaceBy(aliases: readonly DriverAlias[]): void {
    const wanted = new Map(aliases.map((alias) => [idOf(alias), alias]))
    for (const [id, { alias }] of this.present) if (JSON.stringify(wanted.get(id)) !== JSON.stringify(alias)) this.retire(id)
    for (const [id, alias] of wanted) if (!this.present.has(id)) this.add(alias)
  }

  /** Names of drivers as plugins bring them, covered by an alias or not. */
  plainNames(kind: Kind): string[] {
    return this.options.store
      .getAllByCapability(kind)
      .map(({ slot }) => slot.name)
      .filter((name) => this.present.get(`${kind}/${name}`)?.covered !== undefined || !this.present.has(`${kind}/${name}`))
  }

  private add(alias: DriverAlias): void {
    const { store, make, looked } = this.options
    const { kind, name, driver } = alias
    // By name, and not by slot: an alias may cover the very driver that it is of.
    const target = store.get(kind, driver)
    const slot = new DriverSlot(kind, name, () => {
      if (target?.info.manifest !== undefined) return make(target, alias)
      return Promise.reject(
        notFound(`driver ${kind}/${name} needs ${kind}/${driver}, which was not found: looked in ${looked().join(', ')}`),
      )
    })
    const covered = store.get(kind, name)
    store.remove(kind, name)
    const info = target?.info ?? {
      host: 'in-process' as const,
      source: '',
      version: '',
      plugin: '',
      manifest: undefined,
      entry: undefined,
      bundled: false,
      crashOnly: true,
      details: () => ({}),
    }
    store.add({ slot: slot as unknown as DriverSlot, info: { ...info, details: () => ({ ...info.details(), Alias: driver }) } })
    this.present.set(idOf(alias), { alias, covered })
  }

  private retire(id: string): void {
    const { store, logger } = this.options
    const { alias, covered } = this.present.get(id) as Present
    const retired = store.get(alias.kind, alias.name)
    store.remove(alias.kind, alias.name)
    if (covered !== undefined) store.add(covered)
    this.present.delete(id)
    void retired?.slot
      .drain(drainMilliseconds)
      .catch((error: unknown) =>
        logger.info('a driver that was taken out of the configuration is kept by its users', { error: messageOf(error) }),
      )
  }
}

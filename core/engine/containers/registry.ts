import { conflict, invalidParameter, notFound } from '../../sdk/errors.js'
import type { MetadataStore } from '../ports/index.js'
import { Container } from './container.js'
import type { ContainerRecord } from './record.js'

const keyOf = (id: string): string => `container/${id}`
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/

/** All containers, by id and name. Names are unique from the moment they are reserved. */
export class ContainerRegistry {
  private readonly byId = new Map<string, Container>()
  private readonly idByName = new Map<string, string>()

  constructor(private readonly store: MetadataStore) {}

  async load(): Promise<Container[]> {
    for (const { value } of await this.store.list<ContainerRecord>('container/')) {
      this.byId.set(value.id, new Container(value))
      this.idByName.set(value.name, value.id)
    }
    return this.all()
  }

  all(): Container[] {
    return [...this.byId.values()]
  }

  /** By id, name (with or without a slash) or unique id prefix. */
  find(reference: string): Container | undefined {
    const exact = this.byId.get(reference)
    if (exact) return exact
    const named = this.idByName.get(reference.replace(/^\//, ''))
    if (named) return this.byId.get(named)
    if (!/^[0-9a-f]{1,64}$/.test(reference)) return undefined
    const matches = this.all().filter((c) => c.id.startsWith(reference))
    if (matches.length > 1) throw invalidParameter(`Multiple IDs found with provided prefix: ${reference}`)
    return matches[0]
  }

  get(reference: string): Container {
    const found = reference === '' ? undefined : this.find(reference)
    if (!found) throw notFound(`No such container: ${reference}`)
    return found
  }

  reserve(name: string, id: string): void {
    if (!namePattern.test(name)) throw invalidParameter(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`)
    const holder = this.idByName.get(name)
    if (holder !== undefined && holder !== id)
      throw conflict(
        `Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
      )
    this.idByName.set(name, id)
  }

  has(name: string): boolean {
    return this.idByName.has(name)
  }

  unreserve(name: string, id: string): void {
    if (this.idByName.get(name) === id) this.idByName.delete(name)
  }

  add(container: Container): void {
    this.byId.set(container.id, container)
  }

  /** What was acknowledged must be on disk: callers pass sync for whatever a client is told. */
  save(container: Container, options: { sync: boolean }): Promise<void> {
    return this.saveAs(container, container.record, options)
  }

  /** Writes a record that memory does not show yet. */
  async saveAs(container: Container, record: ContainerRecord, options: { sync: boolean }): Promise<void> {
    await this.store.batch([{ put: keyOf(container.id), value: record }], options)
  }

  async delete(container: Container): Promise<void> {
    await this.store.batch([{ del: keyOf(container.id) }], { sync: true })
    this.forget(container)
  }

  forget(container: Container): void {
    this.byId.delete(container.id)
    this.unreserve(container.record.name, container.id)
  }
}

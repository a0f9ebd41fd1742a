import { createHash } from 'node:crypto'
import { parseTimestamp } from '../../base/rfc3339.js'
import { isOutOfReach, notFound, systemError } from '../errors.js'
import type { VolumeDriver, VolumeInfo } from '../kinds/volume.js'
import { fold, listOf, recordOf, stringOf, stringsOf } from './fold.js'
import type { CallOptions, PluginCaller, Wire } from './wire.js'

/** Docker's limits, per attempt: Create and Mount 2 min, others 1 min. */
const slow = { timeout: 120_000 }
const quick = { timeout: 60_000 }

const nameKeys = ['Name', 'Opts', 'ID'] as const
const volumeKeys = ['Name', 'Mountpoint', 'CreatedAt', 'Status'] as const

function volumeOf(value: unknown): VolumeInfo {
  const volume = fold(value, volumeKeys)
  const mountpoint = stringOf(volume.Mountpoint, 'Mountpoint')
  const createdAt = stringOf(volume.CreatedAt, 'CreatedAt')
  if (createdAt !== '') parseTimestamp(createdAt)
  return {
    name: stringOf(volume.Name, 'Name'),
    ...(mountpoint === '' ? {} : { mountpoint }),
    ...(createdAt === '' ? {} : { createdAt }),
    ...(volume.Status === undefined ? {} : { status: recordOf(volume.Status, 'Status') }),
  }
}

const volumeReply = (volume: VolumeInfo): Record<string, unknown> => ({
  Name: volume.name,
  ...(volume.mountpoint === undefined ? {} : { Mountpoint: volume.mountpoint }),
  ...(volume.createdAt === undefined ? {} : { CreatedAt: volume.createdAt }),
  ...(volume.status === undefined ? {} : { Status: volume.status }),
})

/** A volume driver behind a socket. Foreign plugins know nothing of holders: a holder becomes a Mount ID that is as fresh as itself. */
class VolumeClient implements VolumeDriver {
  /** Mount points by volume and Mount ID, of this life: foreign plugins count Mounts, so none may be repeated to them. */
  private readonly mounts = new Map<string, Promise<{ mountpoint: string }>>()
  /** Uses that were ended in this life. Small: bounded below. */
  private readonly ended = new Set<string>()

  constructor(private readonly plugin: PluginCaller) {}

  async create(name: string, options: Record<string, string>): Promise<void> {
    // Docker asks first: a volume that is there is not made again.
    if (!this.plugin.native && (await this.get(name)) !== undefined) return
    await this.plugin.call('Create', { Name: name, Opts: options }, slow)
  }

  async remove(name: string): Promise<void> {
    await this.plugin.call('Remove', { Name: name }, quick)
  }

  async get(name: string): Promise<VolumeInfo | undefined> {
    let reply: unknown
    try {
      reply = await this.plugin.call('Get', { Name: name }, quick)
    } catch (error) {
      // An answer that is an error means "not there"; only a plugin out of reach is a failure.
      if (isOutOfReach(error)) throw error
      return undefined
    }
    const { Volume: volume } = fold(reply, ['Volume'])
    return volume === undefined ? undefined : { ...volumeOf(volume), name }
  }

  async list(): Promise<VolumeInfo[]> {
    const { Volumes: volumes } = fold(await this.plugin.call('List', {}, this.glance), ['Volumes'])
    return listOf(volumes, 'Volumes').map(volumeOf)
  }

  async path(name: string): Promise<string | undefined> {
    const { Mountpoint: mountpoint } = fold(await this.plugin.call('Path', { Name: name }, quick), ['Mountpoint'])
    const path = stringOf(mountpoint, 'Mountpoint')
    return path === '' ? undefined : path
  }

  mount(name: string, holder: string): Promise<{ mountpoint: string }> {
    if (this.plugin.native) return this.send(name, holder)
    const id = mountId(holder)
    const use = `${name}\0${id}`
    const known = this.mounts.get(use)
    if (known !== undefined) return known
    const mounting = this.send(name, id)
    this.mounts.set(use, mounting)
    mounting.catch(() => this.mounts.delete(use))
    return mounting
  }

  async unmount(name: string, holder: string): Promise<void> {
    const id = this.plugin.native ? holder : mountId(holder)
    const use = `${name}\0${id}`
    if (!this.plugin.native && this.ended.has(use)) return
    try {
      await this.plugin.call('Unmount', { Name: name, ID: id }, quick)
    } catch (error) {
      if (!isOutOfReach(error)) this.end(use)
      throw error
    }
    this.end(use)
  }

  async capabilities(): Promise<{ scope: 'local' | 'global' }> {
    try {
      const { Capabilities: capabilities } = fold(await this.plugin.call('Capabilities', {}, this.glance), ['Capabilities'])
      const { Scope: scope } = fold(capabilities, ['Scope'])
      return { scope: typeof scope === 'string' && scope.toLowerCase() === 'global' ? 'global' : 'local' }
    } catch {
      return { scope: 'local' }
    }
  }

  /** A stranger that is dead or slow must not hold up who asks about all volumes. */
  private get glance(): CallOptions {
    return this.plugin.native ? quick : { timeout: 5_000, retry: false }
  }

  /** Nothing more is said of a use to a stranger that may count what is said. */
  private end(use: string): void {
    if (this.plugin.native) return
    this.mounts.delete(use)
    this.ended.add(use)
    for (const oldest of this.ended) {
      if (this.ended.size <= 1024) break
      this.ended.delete(oldest)
    }
  }

  private async send(name: string, id: string): Promise<{ mountpoint: string }> {
    let reply: unknown
    try {
      reply = await this.plugin.call('Mount', { Name: name, ID: id }, slow)
    } catch (error) {
      // A refusal has mounted nothing, and its Unmount would be taken from another use. Without an answer it is sent.
      if (!isOutOfReach(error)) this.end(`${name}\0${id}`)
      throw error
    }
    const { Mountpoint: mountpoint } = fold(reply, ['Mountpoint'])
    const path = stringOf(mountpoint, 'Mountpoint')
    if (!path.startsWith('/')) {
      throw systemError(
        `volume plugin ${this.plugin.name} answered the mount point ${JSON.stringify(path)} for ${name}: expected an absolute path`,
        {
          plugin: this.plugin.name,
          call: 'VolumeDriver.Mount',
        },
      )
    }
    return { mountpoint: path }
  }
}

/** 64 hex, as plugins expect; the same for a holder in every life of the daemon. */
const mountId = (holder: string): string => createHash('sha256').update(holder).digest('hex')

interface NameRequest {
  name: string
  id: string
  options: Record<string, string>
}

function nameOf(body: unknown): NameRequest {
  const request = fold(body, nameKeys)
  return { name: stringOf(request.Name, 'Name'), id: stringOf(request.ID, 'ID'), options: stringsOf(request.Opts, 'Opts') }
}

export const volumeWire: Wire<'volume'> = {
  kind: 'volume',
  subsystem: 'VolumeDriver',
  errorMember: 'Err',
  version: 1,
  client: (caller) => new VolumeClient(caller),
  server: (driver) => ({
    Create: async (request) => {
      const { name, options } = nameOf(await request.json())
      await driver.create(name, options)
      return {}
    },
    Remove: async (request) => {
      await driver.remove(nameOf(await request.json()).name)
      return {}
    },
    Get: async (request) => {
      const { name } = nameOf(await request.json())
      const volume = await driver.get(name)
      if (volume === undefined) throw notFound(`no such volume: ${name}`)
      return { Volume: volumeReply(volume) }
    },
    List: async () => ({ Volumes: (await driver.list()).map(volumeReply) }),
    Path: async (request) => ({ Mountpoint: (await driver.path(nameOf(await request.json()).name)) ?? '' }),
    Mount: async (request) => {
      const { name, id } = nameOf(await request.json())
      return { Mountpoint: (await driver.mount(name, id)).mountpoint }
    },
    Unmount: async (request) => {
      const { name, id } = nameOf(await request.json())
      await driver.unmount(name, id)
      return {}
    },
    Capabilities: async () => ({ Capabilities: { Scope: (await driver.capabilities?.())?.scope ?? 'local' } }),
  }),
}

import type { Volume, VolumeListResponse } from '../../schema/engine-api.js'

export interface VolumeCreateRequest {
  name: string
  /** Empty: the default driver, or the one that has the name already. */
  driver: string
  driverOpts: Record<string, string>
  labels: Record<string, string>
}

export interface VolumeMountRequest {
  name: string
  /** Unique for one use: never reused. */
  holder: string
  /** Told with the mount and unmount events: container, destination, read/write, propagation. None: the engine's own use, no events. */
  attributes?: Record<string, string>
}

export interface Volumes {
  /** Docker's semantics: creating an existing name with the same driver answers it; another driver is a Conflict. Empty name: 64 hex, labelled anonymous. */
  create(request: VolumeCreateRequest): Promise<Volume>
  list(filters: Record<string, string[]>): Promise<VolumeListResponse>
  inspect(name: string): Promise<Volume>
  remove(name: string, options: { force: boolean }): Promise<void>
  /** All, with how many containers use them and the space that local ones take (-1: not known). */
  usage(): Promise<Volume[]>
  prune(filters: Record<string, string[]>): Promise<{ VolumesDeleted: string[]; SpaceReclaimed: number }>
  /** Keeps the volume from being removed while a container refers to it. Persistent: rebuilt by containers at boot. */
  reference(name: string, containerId: string): void
  unreference(name: string, containerId: string): void
  usedBy(name: string): string[]
  /** Makes sure that the volume exists (creating it as `docker run -v name:/x` does) and answers it. */
  ensure(name: string, driver: string): Promise<Volume>
  /** Exactly one mount per holder; the ledger entry is written by this service under `owner`. */
  mount(request: VolumeMountRequest, owner: string): Promise<{ mountpoint: string }>
  unmount(request: VolumeMountRequest, owner: string): Promise<void>
  /**
   * First use: copies the image's directory into the volume that `holder` has mounted, root directory's owner and mode included, when the volume
   * is empty. Answers whether it copied. `nocopy` is the caller's.
   */
  populate(name: string, holder: string, sourceDir: string): Promise<boolean>
  /**
   * At boot: keeps the mounts of owners that live and unmounts those of owners that do not. What a driver out of reach holds stays pending and
   * is retried when the driver activates.
   */
  restore(alive: (owner: string) => boolean): Promise<void>
}
export const Volumes = Symbol.for('tsd.Volumes')

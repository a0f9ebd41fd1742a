/** A volume as its driver sees it. */
export interface VolumeInfo {
  name: string
  /** Absolute host path, when known without mounting. */
  mountpoint?: string
  /** RFC 3339. */
  createdAt?: string
  /** Free-form, shown by `docker volume inspect`. */
  status?: Record<string, unknown>
}

/**
 * Named storage. The engine asks `get` before `create`; `holder` is unique for one use of one volume and never reused, so that
 * repeated mounts and unmounts of a holder are harmless. Source of the calls: Docker's VolumeDriver protocol.
 */
export interface VolumeDriver {
  /** Creating what exists with equal options is success. Unknown or malformed options: InvalidParameter. */
  create(name: string, options: Record<string, string>): Promise<void>
  /** Removing what is not there is success; one that is mounted answers Conflict. */
  remove(name: string): Promise<void>
  get(name: string): Promise<VolumeInfo | undefined>
  list(): Promise<VolumeInfo[]>
  /** Host path of the content, or undefined while it is not mounted anywhere. */
  path(name: string): Promise<string | undefined>
  /** Makes the content available at an absolute host path that stays valid until every holder has left. */
  mount(name: string, holder: string): Promise<{ mountpoint: string }>
  unmount(name: string, holder: string): Promise<void>
  capabilities?(): Promise<{ scope: 'local' | 'global' }>
}

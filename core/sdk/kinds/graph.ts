import type { Readable } from 'node:stream'

/** One mount, as an instruction. Nothing is mounted by describing it. */
export interface MountInstruction {
  /** File system type, or `bind`. */
  type: string
  /** Device or source path; for `bind` an absolute host path. */
  source: string
  /** mount(8) style options: `lowerdir=...`, `ro`, `nosuid` ... For overlay, `lowerdir` is colon separated, topmost first. */
  options: string[]
}

/** Host id ranges mapped into a container's user namespace. */
export interface IdMapping {
  containerId: number
  hostId: number
  size: number
}

export interface LayerOptions {
  /** SELinux label of the mount; empty when unused. */
  mountLabel?: string
  /** Per layer options (`size`). Unknown keys must be refused with InvalidParameter. */
  storageOpt?: Record<string, string>
  uidMaps?: IdMapping[]
  gidMaps?: IdMapping[]
}

export type ChangeKind = 'modify' | 'add' | 'delete'

export interface LayerChange {
  /** Absolute path inside the layer. */
  path: string
  kind: ChangeKind
}

/**
 * Storage of layers. Layer ids are `[a-z0-9_.-]{1,128}`. Every call is idempotent and may be repeated after a crash of
 * either side; the driver keeps nothing in memory that it cannot rebuild from disk.
 */
export interface GraphDriver {
  /** Makes an empty layer on top of `parent` (undefined: no parent). Creating what exists is success. */
  create(id: string, parent: string | undefined, options?: LayerOptions): Promise<void>
  /** Makes a writable layer, to be used by one container. */
  createReadWrite(id: string, parent: string | undefined, options?: LayerOptions): Promise<void>
  /** Removes a layer. Removing what is not there is success; a layer still prepared answers Conflict. */
  remove(id: string): Promise<void>
  exists(id: string): Promise<boolean>
  /** All layer ids on disk: what reconcile compares with the engine's own records. */
  list(): Promise<string[]>
  /**
   * What to mount, in order, to see the layer at a root. Activation (a dm device, a fuse process) happens here.
   * `holder` names the user; repeating a holder is success. A writable layer has at most one holder (Conflict).
   */
  prepare(id: string, holder: string): Promise<MountInstruction[]>
  /** Ends a holder's use. Conflict with code EBUSY means: still busy, ask again later. An unknown holder is success. */
  release(id: string, holder: string): Promise<void>
  /** Applies an uncompressed layer tar (AUFS whiteouts) and answers the unpacked size in bytes. Absent: the engine does it through the mount. */
  applyDiff?(id: string, parent: string | undefined, tar: Readable): Promise<{ size: number }>
  /** The layer as an uncompressed tar relative to `parent`. Absent: the engine compares two mounts. */
  diff?(id: string, parent: string | undefined): Promise<Readable>
  changes?(id: string, parent: string | undefined): Promise<LayerChange[]>
  /** Bytes that the layer adds to its parent. */
  diffSize?(id: string, parent: string | undefined): Promise<number>
  /** Two-column rows shown by `docker info`. */
  status(): Promise<[string, string][]>
  /** Shown as GraphDriver.Data by image and container inspect. */
  metadata(id: string): Promise<Record<string, string>>
}

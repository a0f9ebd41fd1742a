import type { Readable } from 'node:stream'
import type { LayerChange } from '../../sdk/kinds/graph.js'
import type { StoreOperation } from '../ports/index.js'

/** A layer as an image brings it: a blob, and the digest that it must have once it is decompressed. */
export interface LayerBlob {
  diffId: string
  /** Digest of the blob as it is stored. */
  digest: string
  open(): Readable
}

/** A layer on disk. Its id is the hex of its chain id: what the graph driver knows it by. */
export interface Layer {
  id: string
  diffId: string
  parent: string | undefined
  /** Bytes that it adds. */
  size: number
}

/** Keeps layers from being collected while what will refer to them is in the making. */
export interface LayerPins {
  add(id: string): void
  /** Unreferenced layers that were pinned are removed. */
  release(): Promise<void>
}

/** Image layers by chain id and containers' writable layers, over the leased graph driver. */
export interface Layers {
  /** Reads the records. The other calls await it, but for the synchronous ones. */
  open(): Promise<void>
  /** Makes a container's writable layer (graph id: the container's id) on the image's topmost layer. Idempotent. */
  createContainerLayer(containerId: string, topLayer: string | undefined, storageOpt: Record<string, string>): Promise<void>
  /** Removing what is not there is success. */
  removeContainerLayer(containerId: string): Promise<void>
  /** Bytes in the writable layer, and in all layers together. */
  containerSizes(containerId: string, topLayer: string | undefined): Promise<{ rw: number; rootFs: number }>
  /** What the container changed of its image. */
  containerChanges(containerId: string): Promise<LayerChange[]>
  /** The container's writable layer as a layer tar. */
  containerDiff(containerId: string): Promise<Readable>

  /** Applies a blob on a parent. Visible only when both digests are right. Layers that are there already are answered as they are. */
  apply(blob: LayerBlob, parent: string | undefined, pins: LayerPins, signal: AbortSignal): Promise<Layer>
  pin(): LayerPins
  get(id: string): Layer | undefined
  /** A layer and those below it, topmost first. */
  chain(id: string): Layer[]
  /** Part of the batch that makes an owner (`image/<id>`) visible or takes it away. */
  refer(id: string, owner: string): StoreOperation[]
  unrefer(id: string, owner: string): StoreOperation[]
  /** Removes a layer and those below it that nothing refers to any more. Answers what went, topmost first. */
  collect(id: string): Promise<Layer[]>
  /** `GraphDriver` of inspect. */
  graphData(id: string | undefined): Promise<{ Name: string; Data: Record<string, string> }>
  /** At boot: forgets containers' layers that belong to no container, and removes what no record speaks of. */
  reconcile(containerIds: ReadonlySet<string>): Promise<void>
}
export const Layers = Symbol.for('tsd.Layers')

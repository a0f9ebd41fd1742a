import type { ContainerSummary, ImageSummary, SystemInfo, SystemVersion, Volume } from '../../schema/engine-api.js'

export type DiskUsageType = 'container' | 'image' | 'volume' | 'build-cache'

export interface DiskUsage {
  LayersSize?: number
  Images?: ImageSummary[]
  Containers?: ContainerSummary[]
  Volumes?: Volume[]
  BuildCache?: never[]
}

export interface System {
  /** Only what was asked for: measuring takes time. */
  diskUsage(types: ReadonlySet<DiskUsageType>): Promise<DiskUsage>
  info(): Promise<SystemInfo>
  version(): Promise<SystemVersion>
}
export const System = Symbol.for('tsd.System')

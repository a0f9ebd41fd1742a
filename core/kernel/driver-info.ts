import type { Manifest, ManifestKind } from './manifest.js'

/** What is known of a driver besides its state. */
export interface DriverInfo {
  host: 'in-process' | 'process' | 'http'
  /** Folder, socket or address it came from. */
  source: string
  version: string
  plugin: string
  manifest: Manifest | undefined
  entry: ManifestKind | undefined
  bundled: boolean
  /** False for Docker plugins: they know nothing of holders. */
  crashOnly: boolean
  /** Further facts of the host. */
  details: () => Record<string, unknown>
}

import path from 'node:path'
import type { PluginRoot } from './discovery.js'

/** Where plugins lie, in the order in which they are looked for. */
export function pluginRoots(options: { dist: string; dataRoot: string; folders: readonly string[]; system?: string }): PluginRoot[] {
  const external = [options.system ?? '/usr/lib/tsd/plugins', path.join(options.dataRoot, 'plugins'), ...options.folders]
  return [
    { path: path.join(options.dist, 'drivers'), bundled: true },
    { path: path.join(options.dist, 'plugins'), bundled: true },
    ...[...new Set(external)].map((folder) => ({ path: folder, bundled: false })),
  ]
}

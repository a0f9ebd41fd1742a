import type { SystemInfo, SystemVersion } from '../../schema/engine-api.js'

export interface System {
  info(): Promise<SystemInfo>
  version(): Promise<SystemVersion>
}
export const System = Symbol.for('tsd.System')

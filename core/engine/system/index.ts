export { System } from './contract.js'
export type { DiskUsage, DiskUsageType } from './contract.js'
export { EngineSystem } from './engine-system.js'
export { release, type Release } from './release.js'

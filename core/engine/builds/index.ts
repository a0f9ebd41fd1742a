export { BaseImages, Builds } from './contract.js'
export type { BuildOptions, PrunedBuilds } from './contract.js'
export { PulledBaseImages } from './base-images.js'
export { BuildsService } from './service.js'

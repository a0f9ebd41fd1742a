export { BaseImages, Builds } from './contract.js'
export type { BuildOptions, PrunedBuilds } from './contract.js'
export { LocalBaseImages } from './base-images.js'
export { BuildsService } from './service.js'

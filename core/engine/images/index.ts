export { Images } from './contract.js'
export type { ProgressMessage, ResolvedImage } from './contract.js'
export type { ImageRuntimeConfig } from './config.js'
export { ImagesService } from './service.js'

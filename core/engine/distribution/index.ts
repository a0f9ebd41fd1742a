export { Distribution } from './contract.js'
export type { PullOptions, PushOptions } from './contract.js'
export type { RegistryCredentials } from './credentials.js'
export { DistributionPace, DistributionService, usualPace } from './service.js'

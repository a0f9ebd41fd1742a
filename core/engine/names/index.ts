export { Names, type NameServerRequest, type UpstreamServer } from './contract.js'
export { NamesService } from './service.js'

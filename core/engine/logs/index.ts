export { Logs } from './contract.js'
export { LogsService } from './service.js'
export type { LogDriver } from '../../sdk/kinds/log.js'

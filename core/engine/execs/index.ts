export { Execs } from './contract.js'
export { ExecService } from './service.js'

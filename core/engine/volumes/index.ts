export { Volumes, type VolumeCreateRequest, type VolumeMountRequest } from './contract.js'
export { VolumesService } from './service.js'

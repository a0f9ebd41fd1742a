export {
  Networks,
  type Endpoint,
  type EndpointRequest,
  type NetworkCreateRequest,
  type NetworkFacts,
  type NetworkMember,
  type PortRequest,
} from './contract.js'
export { NetworksService } from './service.js'

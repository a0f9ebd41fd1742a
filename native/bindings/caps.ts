export { CAPABILITIES, capabilitiesOfMask, capabilityMask } from '../../core/base/capabilities.js'

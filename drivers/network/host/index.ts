import { defineDriver } from 'tsd-engine/sdk'
import { HostNetwork } from './driver.js'

export default defineDriver({ kind: 'network', name: 'host', create: () => new HostNetwork() })

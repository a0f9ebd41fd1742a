import { defineDriver } from 'tsd-engine/sdk'
import { NoNetwork } from './driver.js'

// Docker's name for the driver of the network `none`.
export default defineDriver({ kind: 'network', name: 'null', create: () => new NoNetwork() })

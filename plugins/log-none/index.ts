import { defineDriver } from 'tsd-engine/sdk'
import { NoLog } from './driver.js'

export default defineDriver({ kind: 'log', name: 'none', create: () => new NoLog() })

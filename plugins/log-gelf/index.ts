import { defineDriver, ForwardingLog } from 'tsd-engine/sdk'
import { gelf } from './driver.js'

export default defineDriver({ kind: 'log', name: 'gelf', create: (ctx) => new ForwardingLog(gelf, ctx) })

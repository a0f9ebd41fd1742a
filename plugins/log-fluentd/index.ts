import { defineDriver, ForwardingLog } from 'tsd-engine/sdk'
import { fluentd } from './driver.js'

export default defineDriver({ kind: 'log', name: 'fluentd', create: (ctx) => new ForwardingLog(fluentd, ctx) })

import { defineDriver, ForwardingLog } from 'tsd-engine/sdk'
import { syslog } from './driver.js'

export default defineDriver({ kind: 'log', name: 'syslog', create: (ctx) => new ForwardingLog(syslog, ctx) })

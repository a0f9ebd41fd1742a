import { defineDriver, ForwardingLog } from 'tsd-engine/sdk'
import { journald } from './driver.js'

export default defineDriver({
  kind: 'log',
  name: 'journald',
  create: (ctx) => new ForwardingLog(journald(typeof ctx.options.socket === 'string' ? ctx.options.socket : undefined), ctx),
})

import { defineDriver } from 'tsd-engine/sdk'
import { LocalLog } from './driver.js'

export default defineDriver({ kind: 'log', name: 'local', create: (ctx) => new LocalLog(ctx.logger) })

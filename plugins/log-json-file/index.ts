import { defineDriver } from 'tsd-engine/sdk'
import { JsonFileLog } from './driver.js'

export default defineDriver({ kind: 'log', name: 'json-file', create: (ctx) => new JsonFileLog(ctx.logger) })

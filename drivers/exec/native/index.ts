import { defineDriver } from 'tsd-engine/sdk'
import { NativeExec } from './driver.js'

export default defineDriver({
  kind: 'exec',
  name: 'native',
  probe: () => Promise.resolve(process.getuid?.() === 0 ? { ok: true } : { ok: false, reason: 'running containers needs root' }),
  create: (ctx) => new NativeExec(ctx),
})

import v8 from 'node:v8'
import { localParts, runLocal } from '../local.js'
import { stopDaemon } from '../background.js'
import type { Verb } from '../verb.js'

/** Its flags are the daemon's own: everything is passed on, except `--stop`. */
export const verb: Verb = {
  name: 'daemon',
  usage: '[OPTIONS]',
  summary: 'Run the engine in the foreground',
  flags: [],
  args: [0, Infinity],
  passThrough: true,
  async run({ args, engine }) {
    if (args.includes('--stop')) return stopDaemon(engine)
    v8.setFlagsFromString('--max-semi-space-size=1')
    await runLocal(localParts.daemon, args)
    return new Promise<never>(() => undefined)
  },
}

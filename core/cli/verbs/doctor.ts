import { localParts, runLocal } from '../local.js'
import type { Verb } from '../verb.js'

export const verb: Verb = {
  name: 'doctor',
  usage: '[OPTIONS]',
  summary: 'Check what this machine can do',
  flags: [],
  args: [0, Infinity],
  passThrough: true,
  async run({ args }) {
    await runLocal(localParts.doctor, args)
    return new Promise<never>(() => undefined)
  },
}

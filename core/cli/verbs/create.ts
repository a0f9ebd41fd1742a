import { containerRequest } from '../container/config.js'
import { createContainer } from '../container/create.js'
import { containerFlags } from '../container/flags.js'
import { EngineError, ExitStatus } from '../status.js'
import type { Verb } from '../verb.js'

export const verb: Verb = {
  name: 'create',
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  summary: 'Create a new container',
  aliases: ['container create', 'create'],
  flags: containerFlags,
  args: [1, Infinity],
  interspersed: false,
  failure: 125,
  hint: true,
  async run({ values, args, engine }) {
    const [image = '', ...command] = args
    const request = containerRequest(values, image, command)
    try {
      process.stdout.write(`${await createContainer(engine, values, request)}\n`)
    } catch (error) {
      // Unlike run, create leaves 125 to what it refuses by itself.
      throw error instanceof EngineError ? new ExitStatus(1, error.message) : error
    }
  },
}

import { containerRequest } from '../container/config.js'
import { createContainer } from '../container/create.js'
import { containerFlags } from '../container/flags.js'
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
    const id = await createContainer(engine, values, containerRequest(values, image, command))
    process.stdout.write(`${id}\n`)
  },
}

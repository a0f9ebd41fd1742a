import type { Engine } from '../engine.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { inspectAll } from '../format/inspection.js'
import { inspectFormatFlag } from '../format/option.js'
import { EngineError } from '../status.js'
import type { Verb } from '../verb.js'

/** In the order in which Docker looks. */
const types: Readonly<Record<string, (name: string) => string>> = {
  container: (name) => `/containers/${segment(name)}/json`,
  image: (name) => `/images/${segment(name)}/json`,
  network: (name) => `/networks/${segment(name)}`,
  volume: (name) => `/volumes/${segment(name)}`,
}

async function find(engine: Engine, name: string, type: string, size: boolean): Promise<string> {
  const candidates = type === '' ? Object.keys(types) : [type]
  for (const candidate of candidates) {
    try {
      const query = candidate === 'container' && size ? { size: true } : {}
      return await engine.text('GET', (types[candidate] as (n: string) => string)(name), { query })
    } catch (error) {
      // Names of one kind may be no legal names of another: 400 and 501 mean "not here" as 404 does.
      if (!(error instanceof EngineError) || ![400, 404, 501].includes(error.status)) throw error
      if (type !== '') throw error
    }
  }
  throw new Error(`Error: No such object: ${name}`)
}

export const verb: Verb = {
  name: 'inspect',
  usage: '[OPTIONS] NAME|ID [NAME|ID...]',
  summary: 'Return low-level information on objects',
  flags: [
    inspectFormatFlag,
    flag('bool', 's,size', 'Display total file sizes if the type is container'),
    flag('string', 'type', 'Only inspect objects of the given type (container, image, network, volume)'),
  ],
  args: [1, Infinity],
  async run({ values, args, engine }) {
    const type = values.string('type')
    if (type !== '' && !Object.hasOwn(types, type))
      throw new Error(
        `unknown type: ${JSON.stringify(type)}: must be one of ${Object.keys(types)
          .map((t) => JSON.stringify(t))
          .join(', ')}`,
      )
    return inspectAll(args, values.string('format'), (name) => find(engine, name, type, values.bool('size')))
  },
}

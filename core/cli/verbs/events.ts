import type { EventMessage } from '../../schema/engine-api.js'
import { jsonLines } from '../engine.js'
import { flag } from '../flags.js'
import { filterFlag, filterQuery } from '../format/listing.js'
import { formatFlag, formatOf } from '../format/option.js'
import { templateOf } from '../format/template.js'
import { engineTime } from '../format/time.js'
import { ExitStatus } from '../status.js'
import type { Verb } from '../verb.js'

/** Local time with nine digits, as Docker prints it. */
function stamp(event: EventMessage): string {
  const nanoseconds = event.timeNano ?? (event.time ?? 0) * 1e9
  const milliseconds = Math.floor(nanoseconds / 1e6)
  const date = new Date(milliseconds)
  const two = (n: number) => String(n).padStart(2, '0')
  const offset = -date.getTimezoneOffset()
  const zone = offset === 0 ? 'Z' : `${offset < 0 ? '-' : '+'}${two(Math.trunc(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  const fraction = String(Math.trunc(nanoseconds % 1e9)).padStart(9, '0')
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${fraction}${zone}`
}

function lineOf(event: EventMessage): string {
  const attributes = Object.entries(event.Actor?.Attributes ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
  return `${stamp(event)} ${event.Type} ${event.Action} ${event.Actor?.ID ?? ''}${attributes.length > 0 ? ` (${attributes.join(', ')})` : ''}`
}

export const verb: Verb = {
  name: 'events',
  usage: '[OPTIONS]',
  summary: 'Get real time events from the server',
  aliases: ['system events', 'events'],
  flags: [
    filterFlag('Filter output based on conditions provided'),
    formatFlag,
    flag('string', 'since', 'Show all events created since timestamp'),
    flag('string', 'until', 'Stream events until this timestamp'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const format = formatOf(values)
    const template = format === '' || format === 'json' ? undefined : await templateOf(format, 'Error parsing format')
    const query = {
      since: engineTime(values.string('since')),
      until: engineTime(values.string('until')),
      filters: filterQuery(values.list('filter')),
    }
    const stream = await engine.stream('GET', '/events', { query })
    for await (const event of jsonLines<EventMessage>(stream)) {
      process.stdout.write(`${template ? template.render(event) : format === 'json' ? JSON.stringify(event) : lineOf(event)}\n`)
    }
    if (values.string('until') === '') throw new ExitStatus(1, 'unexpected EOF')
  },
}

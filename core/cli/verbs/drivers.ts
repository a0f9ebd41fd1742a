// Our own routes: what drivers there are, and why they were chosen.
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { inspectAll } from '../format/inspection.js'
import { renderListing } from '../format/listing.js'
import { formatFlag, formatOf, inspectFormatFlag } from '../format/option.js'
import type { Verb } from '../verb.js'

export interface DriverSummary {
  kind: string
  name: string
  version: string
  host: string
  state: string
  selected: boolean
  source: string
}

interface DriverVerdict {
  name: string
  verdict: string
  reason: string
  source: string
}

export const list: Verb = {
  name: 'driver ls',
  usage: '[OPTIONS]',
  summary: 'List drivers',
  aliases: ['driver ls', 'driver list'],
  flags: [formatFlag, flag('bool', 'q,quiet', 'Only display names')],
  args: [0, 0],
  async run({ values, engine }) {
    const drivers = await engine.get<DriverSummary[]>('/tsd/v1/drivers')
    const rows = drivers.map((driver) => ({
      Host: driver.host,
      Kind: driver.kind,
      Name: driver.name,
      Selected: driver.selected ? '*' : '',
      Source: driver.source,
      State: driver.state,
      Version: driver.version,
    }))
    const headers = { Kind: 'KIND', Name: 'NAME', Selected: 'CHOSEN', State: 'STATE', Version: 'VERSION', Host: 'HOST', Source: 'SOURCE' }
    const columns = ['Kind', 'Name', 'Selected', 'State', 'Version', 'Host', 'Source']
    process.stdout.write(
      await renderListing({ headers, columns, rows, format: formatOf(values), quiet: values.bool('quiet') ? 'Name' : undefined }),
    )
  },
}

export const why: Verb = {
  name: 'driver why',
  usage: '[OPTIONS] KIND',
  summary: 'Say which driver of a kind was chosen, and why not the others (graph, volume, network, ipam, exec, log)',
  flags: [formatFlag],
  args: [1, 1],
  async run({ values, args, engine }) {
    const verdicts = await engine.get<DriverVerdict[]>(`/tsd/v1/drivers/why/${segment(args[0] as string)}`)
    const rows = verdicts.map(({ name, verdict, reason, source }) => ({ Name: name, Verdict: verdict, Reason: reason, Source: source }))
    const headers = { Name: 'NAME', Verdict: 'VERDICT', Reason: 'REASON', Source: 'SOURCE' }
    process.stdout.write(await renderListing({ headers, columns: ['Name', 'Verdict', 'Reason', 'Source'], rows, format: formatOf(values) }))
  },
}

export const inspect: Verb = {
  name: 'driver inspect',
  usage: '[OPTIONS] NAME [NAME...]',
  summary: 'Display detailed information on a driver',
  flags: [inspectFormatFlag],
  args: [1, Infinity],
  run: ({ values, args, engine }) =>
    inspectAll(args, values.string('format'), (name) => engine.text('GET', `/tsd/v1/drivers/${segment(name)}`)),
}

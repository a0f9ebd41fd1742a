import type { Volume, VolumeListResponse } from '../../schema/engine-api.js'
import { formatDecimalSize } from '../../base/sizes.js'
import { pairs } from '../container/environment.js'
import { ExitStatus } from '../status.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { inspectAll } from '../format/inspection.js'
import { filterFlag, filterQuery, renderListing } from '../format/listing.js'
import { formatFlag, formatOf, inspectFormatFlag } from '../format/option.js'
import type { Verb } from '../verb.js'
import { forEach } from './each.js'
import { confirm } from './confirm.js'

const headers = {
  Name: 'VOLUME NAME',
  Driver: 'DRIVER',
  Scope: 'SCOPE',
  Availability: 'AVAILABILITY',
  Mountpoint: 'MOUNTPOINT',
  Labels: 'LABELS',
  Links: 'LINKS',
  Size: 'SIZE',
  Group: 'GROUP',
  Status: 'STATUS',
}

const cluster = 'cluster volumes are not built'

export const list: Verb = {
  name: 'volume ls',
  usage: '[OPTIONS]',
  summary: 'List volumes',
  aliases: ['volume ls', 'volume list'],
  flags: [
    flag('bool', 'cluster', 'Display only cluster volumes', { refused: cluster, hidden: true }),
    filterFlag('Provide filter values (e.g. "dangling=true")'),
    formatFlag,
    flag('bool', 'q,quiet', 'Only display volume names'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const { Volumes } = await engine.get<VolumeListResponse>('/volumes', { filters: filterQuery(values.list('filter')) })
    const rows = (Volumes ?? [])
      .toSorted((a, b) => (a.Name ?? '').localeCompare(b.Name ?? '', 'en', { numeric: true }))
      .map((volume: Volume) => {
        const labels = volume.Labels ?? {}
        return {
          Availability: 'N/A',
          Driver: volume.Driver ?? '',
          Group: 'N/A',
          Labels: Object.entries(labels)
            .map(([k, v]) => `${k}=${v}`)
            .sort()
            .join(','),
          Links: volume.UsageData?.RefCount === undefined ? 'N/A' : String(volume.UsageData.RefCount),
          Mountpoint: volume.Mountpoint ?? '',
          Name: volume.Name ?? '',
          Scope: volume.Scope ?? '',
          Size: volume.UsageData?.Size === undefined ? 'N/A' : formatDecimalSize(volume.UsageData.Size),
          Status: 'N/A',
          Label: (name: unknown) => labels[String(name)] ?? '',
        }
      })
    process.stdout.write(
      await renderListing({
        headers,
        columns: ['Driver', 'Name'],
        rows,
        format: formatOf(values),
        quiet: values.bool('quiet') ? 'Name' : undefined,
      }),
    )
  },
}

export const create: Verb = {
  name: 'volume create',
  usage: '[OPTIONS] [VOLUME]',
  summary: 'Create a volume',
  flags: [
    flag('string', 'd,driver', 'Specify volume driver name', { default: 'local' }),
    flag('string', 'name', 'Specify volume name', { hidden: true }),
    flag('list', 'label', 'Set metadata for a volume'),
    flag('map', 'o,opt', 'Set driver specific options'),
    ...[
      'availability',
      'group',
      'limit-bytes',
      'required-bytes',
      'scope',
      'secret',
      'sharing',
      'topology-preferred',
      'topology-required',
      'type',
    ].map((name) => flag('string', name, 'For cluster volumes', { refused: cluster, hidden: true })),
  ],
  args: [0, 1],
  async run({ values, args, engine }) {
    if (args.length > 0 && values.has('name'))
      throw new Error('conflicting options: cannot specify a volume-name through both --name and as a positional arg')
    const name = args[0] ?? values.string('name')
    const body = {
      Driver: values.string('driver'),
      ...(values.has('opt') ? { DriverOpts: pairs(values.list('opt')) } : {}),
      ...(values.has('label') ? { Labels: pairs(values.list('label')) } : {}),
      ...(name === '' ? {} : { Name: name }),
    }
    const volume = await engine.post<Volume>('/volumes/create', undefined, body)
    process.stdout.write(`${volume.Name}\n`)
  },
}

export const inspect: Verb = {
  name: 'volume inspect',
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  summary: 'Display detailed information on one or more volumes',
  flags: [inspectFormatFlag],
  args: [1, Infinity],
  run: ({ values, args, engine }) => inspectAll(args, values.string('format'), (name) => engine.text('GET', `/volumes/${segment(name)}`)),
}

export const remove: Verb = {
  name: 'volume rm',
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  summary: 'Remove one or more volumes. You cannot remove a volume that is in use by a container.',
  aliases: ['volume rm', 'volume remove'],
  flags: [flag('bool', 'f,force', 'Force the removal of one or more volumes')],
  args: [1, Infinity],
  run: ({ values, args, engine }) =>
    forEach(args, (name) => engine.delete(`/volumes/${segment(name)}`, { force: values.bool('force') || undefined })),
}

export const prune: Verb = {
  name: 'volume prune',
  usage: '[OPTIONS]',
  summary: 'Remove unused local volumes',
  flags: [
    flag('bool', 'a,all', 'Remove all unused volumes, not just anonymous ones'),
    filterFlag('Provide filter values (e.g. "label=<label>")', 'filter'),
    flag('bool', 'f,force', 'Do not prompt for confirmation'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const all = values.bool('all')
    if (all && values.list('filter').some((f) => f.startsWith('all=')))
      throw new ExitStatus(1, 'conflicting options: cannot specify both --all and --filter all=1')
    const what = all ? 'all local volumes' : 'anonymous local volumes'
    if (!values.bool('force') && !(await confirm(`WARNING! This will remove ${what} not used by at least one container.`)))
      throw new ExitStatus(1, 'volume prune has been cancelled')
    const filters = filterQuery([...values.list('filter'), ...(all ? ['all=true'] : [])])
    const { VolumesDeleted, SpaceReclaimed } = await engine.post<{ VolumesDeleted?: string[] | null; SpaceReclaimed?: number }>(
      '/volumes/prune',
      { filters },
    )
    if (VolumesDeleted?.length) process.stdout.write(`Deleted Volumes:\n${VolumesDeleted.join('\n')}\n\n`)
    process.stdout.write(`Total reclaimed space: ${formatDecimalSize(SpaceReclaimed ?? 0)}\n`)
  },
}

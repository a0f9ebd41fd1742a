import type { ContainerSummary } from '../../schema/engine-api.js'
import { formatDecimalSize } from '../../base/sizes.js'
import { flag } from '../flags.js'
import { ellipsis, goTime, shortId, since } from '../format/human.js'
import { filterFlag, filterQuery, renderListing } from '../format/listing.js'
import type { Row } from '../format/listing.js'
import { formatFlag, formatOf } from '../format/option.js'
import { displayPorts } from '../format/ports.js'
import type { Verb } from '../verb.js'

const headers = {
  ID: 'CONTAINER ID',
  Names: 'NAMES',
  Image: 'IMAGE',
  Command: 'COMMAND',
  CreatedAt: 'CREATED AT',
  RunningFor: 'CREATED',
  Ports: 'PORTS',
  State: 'STATE',
  Status: 'STATUS',
  Size: 'SIZE',
  Labels: 'LABELS',
  Mounts: 'MOUNTS',
  LocalVolumes: 'LOCAL VOLUMES',
  Networks: 'NETWORKS',
  Platform: 'PLATFORM',
}

export function rowOf(container: ContainerSummary, truncate: boolean): Row {
  const names = (container.Names ?? []).map((name) => name.replace(/^\//, ''))
  const own = names.filter((name) => !name.includes('/'))
  const labels = container.Labels ?? {}
  const command = container.Command ?? ''
  const platform = (container as { ImageManifestDescriptor?: { platform?: { os?: string; architecture?: string } } })
    .ImageManifestDescriptor?.platform
  const mounts = (container.Mounts ?? []).map((mount) => {
    const name = mount.Name || mount.Source || ''
    return truncate ? ellipsis(name, 15) : name
  })
  const size = `${formatDecimalSize(container.SizeRw ?? 0, 3)}${container.SizeRootFs ? ` (virtual ${formatDecimalSize(container.SizeRootFs, 3)})` : ''}`
  return {
    Command: JSON.stringify(truncate ? ellipsis(command, 20) : command),
    CreatedAt: goTime(container.Created ?? 0),
    ID: truncate ? shortId(container.Id ?? '') : container.Id,
    Image: imageOf(container, truncate),
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join(','),
    LocalVolumes: String((container.Mounts ?? []).filter((mount) => mount.Driver === 'local').length),
    Mounts: mounts.join(','),
    Names: (truncate ? own : names).join(','),
    Networks: Object.keys(container.NetworkSettings?.Networks ?? {})
      .sort()
      .join(','),
    Platform: platform ?? null,
    Ports: displayPorts(container.Ports ?? []),
    RunningFor: since(container.Created ?? 0),
    Size: size,
    State: container.State,
    Status: container.Status,
    Label: (name: unknown) => labels[String(name)] ?? '',
  }
}

function imageOf(container: ContainerSummary, truncate: boolean): string {
  const image = container.Image ?? ''
  if (image === '') return '<no image>'
  if (!truncate) return image
  if (shortId(container.ImageID ?? '') === shortId(image) || /^sha256:[0-9a-f]{64}$/.test(image)) return shortId(image)
  return image.includes('@sha256:') && /:[^/]+@/.test(image) ? (image.split('@')[0] as string) : image
}

export const verb: Verb = {
  name: 'ps',
  usage: '[OPTIONS]',
  summary: 'List containers',
  aliases: ['container ls', 'container list', 'container ps', 'ps'],
  flags: [
    flag('bool', 'a,all', 'Show all containers (default shows just running)'),
    filterFlag('Filter output based on conditions provided'),
    formatFlag,
    flag('int', 'n,last', 'Show n last created containers (includes all states)', { default: '-1' }),
    flag('bool', 'l,latest', 'Show the latest created container (includes all states)'),
    flag('bool', 'no-trunc', "Don't truncate output"),
    flag('bool', 'q,quiet', 'Only display container IDs'),
    flag('bool', 's,size', 'Display total file sizes'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const format = formatOf(values)
    const limit = values.bool('latest') ? 1 : values.int('last')
    const size = values.bool('size') || /\{\{.*\.Size\b|\{\{\s*json\s+\.\s*\}\}/.test(format)
    const containers = await engine.get<ContainerSummary[]>('/containers/json', {
      all: values.bool('all') || undefined,
      limit: limit > 0 ? limit : undefined,
      size: size || undefined,
      filters: filterQuery(values.list('filter')),
    })
    const rows = containers.map((container) => rowOf(container, !values.bool('no-trunc')))
    const columns = ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names', ...(values.bool('size') ? ['Size'] : [])]
    process.stdout.write(await renderListing({ headers, columns, rows, format, quiet: values.bool('quiet') ? 'ID' : undefined }))
  },
}

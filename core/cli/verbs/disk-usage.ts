import type { ContainerSummary, ImageSummary, Volume } from '../../schema/engine-api.js'
import { formatDecimalSize } from '../../base/sizes.js'
import { flag } from '../flags.js'
import { layOut, renderListing, type Row } from '../format/listing.js'
import { formatFlag, formatOf } from '../format/option.js'
import type { Verb } from '../verb.js'
import { rowsOf } from './images.js'
import { rowOf } from './ps.js'

interface BuildCacheRecord {
  ID?: string
  Type?: string
  Size?: number
  InUse?: boolean
  Shared?: boolean
}

interface Usage {
  LayersSize?: number
  Images?: ImageSummary[] | null
  Containers?: ContainerSummary[] | null
  Volumes?: Volume[] | null
  BuildCache?: BuildCacheRecord[] | null
}

const headers = { Type: 'TYPE', TotalCount: 'TOTAL', Active: 'ACTIVE', Size: 'SIZE', Reclaimable: 'RECLAIMABLE' }

const sum = (numbers: (number | null | undefined)[]): number => numbers.reduce<number>((total, one) => total + Math.max(one ?? 0, 0), 0)

function summary(type: string, count: number, active: number, size: number, free: number, percent = true): Row {
  const share = percent && size > 0 ? ` (${Math.trunc((free * 100) / size)}%)` : ''
  return {
    Type: type,
    TotalCount: String(count),
    Active: String(active),
    Size: formatDecimalSize(size),
    Reclaimable: formatDecimalSize(free) + share,
  }
}

function summaries(usage: Usage): Row[] {
  const images = usage.Images ?? []
  const used = images.filter(({ Containers = 0 }) => Containers > 0)
  const kept = sum(used.map(({ Size = 0, SharedSize = 0 }) => Size - SharedSize))
  const layers = usage.LayersSize ?? 0
  const containers = usage.Containers ?? []
  const isActive = ({ State }: ContainerSummary): boolean => State === 'running' || State === 'paused' || State === 'restarting'
  const written = (list: ContainerSummary[]): number => sum(list.map(({ SizeRw = 0 }) => SizeRw))
  const volumes = usage.Volumes ?? []
  const space = (list: Volume[]): number => sum(list.map(({ UsageData }) => UsageData?.Size ?? 0))
  const idle = volumes.filter(({ UsageData }) => (UsageData?.RefCount ?? 0) <= 0)
  const cache = usage.BuildCache ?? []
  const cached = (list: BuildCacheRecord[]): number => sum(list.map(({ Size = 0, Shared }) => (Shared ? 0 : Size)))
  return [
    summary('Images', images.length, used.length, layers, layers - kept),
    summary(
      'Containers',
      containers.length,
      containers.filter(isActive).length,
      written(containers),
      written(containers.filter((c) => !isActive(c))),
    ),
    summary('Local Volumes', volumes.length, volumes.length - idle.length, space(volumes), space(idle)),
    summary(
      'Build Cache',
      cache.length,
      cache.filter(({ InUse }) => InUse).length,
      cached(cache),
      cached(cache.filter(({ InUse }) => !InUse)),
      false,
    ),
  ]
}

const table = (head: readonly string[], rows: Row[], columns: readonly string[]): Promise<string> =>
  layOut(
    [head, ...rows.map((row) => columns.map((column) => String(row[column] ?? '').replace(/[\t\n]/g, ' ')))].map((cells) =>
      cells.join('\t'),
    ),
  )

async function verbose(usage: Usage): Promise<string> {
  const images = (usage.Images ?? []).flatMap((image) => rowsOf(image, true, false))
  const containers = (usage.Containers ?? []).map((container) => rowOf(container, true))
  const volumes = (usage.Volumes ?? []).map(({ Name, UsageData }) => ({
    Name,
    Links: String(UsageData?.RefCount ?? 0),
    Size: (UsageData?.Size ?? -1) < 0 ? 'N/A' : formatDecimalSize(UsageData?.Size ?? 0),
  }))
  const cache = usage.BuildCache ?? []
  const size = formatDecimalSize(sum(cache.map(({ Size = 0 }) => Size)))
  return [
    'Images space usage:\n\n',
    await table(['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE', 'SHARED SIZE', 'UNIQUE SIZE', 'CONTAINERS'], images, [
      'Repository',
      'Tag',
      'ID',
      'CreatedSince',
      'Size',
      'SharedSize',
      'UniqueSize',
      'Containers',
    ]),
    '\nContainers space usage:\n\n',
    await table(
      ['CONTAINER ID', 'IMAGE', 'COMMAND', 'LOCAL VOLUMES', 'SIZE', 'CREATED', 'STATUS', 'NAMES'],
      containers.map((row) => ({ ...row, Size: String(row['Size']).replace(/ \(virtual .*/, '') })),
      ['ID', 'Image', 'Command', 'LocalVolumes', 'Size', 'RunningFor', 'Status', 'Names'],
    ),
    '\nLocal Volumes space usage:\n\n',
    await table(['VOLUME NAME', 'LINKS', 'SIZE'], volumes, ['Name', 'Links', 'Size']),
    `\nBuild cache usage: ${size}\n\n`,
    await table(
      ['CACHE ID', 'CACHE TYPE', 'SIZE'],
      cache.map(({ ID, Type, Size = 0 }) => ({ ID, Type, Size: formatDecimalSize(Size) })),
      ['ID', 'Type', 'Size'],
    ),
  ].join('')
}

export const diskUsage: Verb = {
  name: 'system df',
  usage: '[OPTIONS]',
  summary: 'Show disk usage of the engine',
  flags: [formatFlag, flag('bool', 'v,verbose', 'Show detailed information on space usage')],
  args: [0, 0],
  async run({ values, engine }) {
    const format = formatOf(values)
    const detailed = values.bool('verbose')
    if (detailed && format !== '' && format !== 'table' && format !== 'json')
      throw new Error('--verbose goes with the default table and with --format json only')
    const usage = await engine.get<Usage>('/system/df')
    if (detailed) process.stdout.write(format === 'json' ? `${JSON.stringify(usage)}\n` : await verbose(usage))
    else process.stdout.write(await renderListing({ headers, columns: Object.keys(headers), rows: summaries(usage), format }))
  },
}

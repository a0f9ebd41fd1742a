import type { ContainerStatsResponse, ContainerSummary } from '../../schema/engine-api.js'
import { formatBinarySize, formatDecimalSize } from '../../base/sizes.js'
import { jsonLines, segment, type Engine } from '../engine.js'
import { flag } from '../flags.js'
import { shortId } from '../format/human.js'
import { renderListing, type Row } from '../format/listing.js'
import { formatFlag, formatOf } from '../format/option.js'
import type { Verb } from '../verb.js'

const headers = {
  Container: 'CONTAINER',
  ID: 'CONTAINER ID',
  Name: 'NAME',
  CPUPerc: 'CPU %',
  MemUsage: 'MEM USAGE / LIMIT',
  MemPerc: 'MEM %',
  NetIO: 'NET I/O',
  BlockIO: 'BLOCK I/O',
  PIDs: 'PIDS',
}
const columns = ['ID', 'Name', 'CPUPerc', 'MemUsage', 'MemPerc', 'NetIO', 'BlockIO', 'PIDs']

function cpuPercent({ cpu_stats: now, precpu_stats: before }: ContainerStatsResponse): number {
  const used = (now?.cpu_usage?.total_usage ?? 0) - (before?.cpu_usage?.total_usage ?? 0)
  const passed = (now?.system_cpu_usage ?? 0) - (before?.system_cpu_usage ?? 0)
  const cpus = now?.online_cpus || (now?.cpu_usage?.percpu_usage?.length ?? 0)
  return used > 0 && passed > 0 ? (used / passed) * cpus * 100 : 0
}

/** Without the page cache that can be given back at once: named differently by the versions of cgroups. */
function memoryUsed({ memory_stats: memory }: ContainerStatsResponse): number {
  const usage = memory?.usage ?? 0
  const cache = memory?.stats?.['total_inactive_file'] ?? memory?.stats?.['inactive_file'] ?? 0
  return cache < usage ? usage - cache : usage
}

function rowOf(container: string, stats: ContainerStatsResponse, truncate: boolean): Row {
  const limit = stats.memory_stats?.limit ?? 0
  const used = memoryUsed(stats)
  const networks = Object.values(stats.networks ?? {})
  const blocks = stats.blkio_stats?.io_service_bytes_recursive ?? []
  const bytes = (letter: string): number =>
    blocks.reduce((sum, entry) => sum + (entry?.op?.toLowerCase().startsWith(letter) ? (entry.value ?? 0) : 0), 0)
  const id = stats.id ?? ''
  return {
    Container: container,
    ID: truncate ? shortId(id) : id,
    Name: (stats.name ?? '').replace(/^\//, ''),
    CPUPerc: `${cpuPercent(stats).toFixed(2)}%`,
    MemUsage: `${formatBinarySize(used)} / ${formatBinarySize(limit)}`,
    MemPerc: `${(limit === 0 ? 0 : (used / limit) * 100).toFixed(2)}%`,
    NetIO: `${formatDecimalSize(
      networks.reduce((sum, one) => sum + (one?.rx_bytes ?? 0), 0),
      3,
    )} / ${formatDecimalSize(
      networks.reduce((sum, one) => sum + (one?.tx_bytes ?? 0), 0),
      3,
    )}`,
    BlockIO: `${formatDecimalSize(bytes('r'), 3)} / ${formatDecimalSize(bytes('w'), 3)}`,
    PIDs: String(stats.pids_stats?.current ?? 0),
  }
}

async function chosen(engine: Engine, args: string[], all: boolean): Promise<string[]> {
  if (args.length > 0) return args
  const containers = await engine.get<ContainerSummary[]>('/containers/json', { all: all || undefined })
  return containers.map(({ Id = '' }) => Id)
}

export const verb: Verb = {
  name: 'stats',
  usage: '[OPTIONS] [CONTAINER...]',
  summary: 'Display a live stream of container(s) resource usage statistics',
  aliases: ['container stats', 'stats'],
  flags: [
    flag('bool', 'a,all', 'Show all containers (default shows just running)'),
    formatFlag,
    flag('bool', 'no-stream', 'Disable streaming stats and only pull the first result'),
    flag('bool', 'no-trunc', 'Do not truncate output'),
  ],
  args: [0, Infinity],
  async run({ values, args, engine }) {
    const names = await chosen(engine, args, values.bool('all'))
    const truncate = !values.bool('no-trunc')
    const path = (name: string): string => `/containers/${segment(name)}/stats`
    const show = (rows: Row[]): Promise<string> => renderListing({ headers, columns, rows, format: formatOf(values) })
    if (values.bool('no-stream')) {
      const stats = await Promise.all(names.map((name) => engine.get<ContainerStatsResponse>(path(name), { stream: false })))
      process.stdout.write(await show(stats.map((one, i) => rowOf(names[i] as string, one, truncate))))
      return
    }
    const rows = new Map<string, Row>()
    const streams = await Promise.all(names.map((name) => engine.stream('GET', path(name), { query: { stream: true } })))
    const draw = async (): Promise<void> => {
      const text = await show(names.map((name) => rows.get(name)).filter((row): row is Row => row !== undefined))
      process.stdout.write(process.stdout.isTTY ? `\u001b[2J\u001b[H${text}` : text)
    }
    const timer = setInterval(() => void draw(), 1000)
    const follow = async (stream: NodeJS.ReadableStream, name: string): Promise<void> => {
      for await (const stats of jsonLines<ContainerStatsResponse>(stream)) rows.set(name, rowOf(name, stats, truncate))
    }
    await Promise.all(streams.map((stream, i) => follow(stream, names[i] as string)))
    clearInterval(timer)
  },
}

import { invalidParameter } from '../../sdk/errors.js'
import type { ContainerSummary } from '../../schema/engine-api.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'
import type { ListOptions } from './contract.js'
import { exposedPorts, expandPort } from './ports.js'
import { summarise } from './summary.js'

type Filters = Record<string, string[]>
type Predicate = (container: Container) => boolean

const statuses = new Set(['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead'])
const healths = new Set(['starting', 'healthy', 'unhealthy', 'none'])

const invalid = (key: string, value: string) => invalidParameter(`invalid filter '${key}=${value}'`)

export function labelMatches(labels: Record<string, string>, wanted: string): boolean {
  const equals = wanted.indexOf('=')
  if (equals < 0) return wanted in labels
  return labels[wanted.slice(0, equals)] === wanted.slice(equals + 1)
}

function nameMatches(name: string, pattern: string): boolean {
  try {
    const expression = new RegExp(pattern)
    return expression.test(name) || expression.test(`/${name}`)
  } catch {
    return name.includes(pattern)
  }
}

function portSet(values: string[]): Set<string> {
  return new Set(values.flatMap(expandPort).map(({ protocol, port }) => `${port}/${protocol}`))
}

async function predicateOf(ctx: ContainersContext, key: string, values: string[]): Promise<Predicate> {
  switch (key) {
    case 'id':
      return (c) => values.some((v) => c.id.startsWith(v))
    case 'name':
      return (c) => values.some((v) => nameMatches(c.record.name, v))
    case 'label':
      return (c) => values.every((v) => labelMatches(c.record.config.Labels ?? {}, v))
    case 'label!':
      return (c) => !values.some((v) => labelMatches(c.record.config.Labels ?? {}, v))
    case 'status': {
      for (const v of values) if (!statuses.has(v)) throw invalid(key, v)
      return (c) => values.includes(c.record.state.status)
    }
    case 'exited': {
      const codes = values.map((v) => {
        if (!/^-?\d+$/.test(v)) throw invalid(key, v)
        return Number(v)
      })
      return (c) => c.record.hasBeenStarted && !c.isRunning && codes.includes(c.record.state.exitCode)
    }
    case 'ancestor': {
      const ids = new Set<string>()
      for (const v of values) {
        const image = await ctx.images.resolve(v).catch(() => undefined)
        if (image) ids.add(image.id)
      }
      return (c) => ids.has(c.record.imageId) || values.includes(c.record.image)
    }
    case 'before':
    case 'since': {
      const edges = values.map((v) => Date.parse(ctx.registry.get(v).record.created))
      const after = key === 'since'
      return (c) => edges.every((edge) => (after ? Date.parse(c.record.created) > edge : Date.parse(c.record.created) < edge))
    }
    case 'volume':
      return (c) => values.some((v) => c.record.mounts.some((m) => m.name === v || m.destination === v || m.source === v))
    case 'network': {
      const names = new Set(values)
      for (const v of values) {
        const network = await ctx.networks.resolve(v).catch(() => undefined)
        if (network) names.add(network.name)
      }
      return (c) => Object.keys(c.record.networks).some((name) => names.has(name))
    }
    case 'publish': {
      const wanted = portSet(values)
      return (c) => c.running?.endpoints.some((e) => e.publishedPorts.some((p) => wanted.has(`${p.hostPort}/${p.protocol}`))) ?? false
    }
    case 'expose': {
      const wanted = portSet(values)
      return (c) => exposedPorts(c.record.config, c.record.hostConfig).some((p) => wanted.has(p))
    }
    case 'health': {
      for (const v of values) if (!healths.has(v)) throw invalid(key, v)
      return (c) => values.includes(c.record.state.health?.status ?? 'none')
    }
    case 'isolation':
      return () => values.every((v) => v === '' || v === 'default')
    case 'is-task':
      for (const v of values) if (!/^(true|false|1|0)$/.test(v)) throw invalid(key, v)
      return () => values.includes('false') || values.includes('0')
    default:
      throw invalidParameter(`invalid filter '${key}'`)
  }
}

export async function filterContainers(ctx: ContainersContext, filters: Filters): Promise<Container[]> {
  const predicates: Predicate[] = []
  for (const [key, values] of Object.entries(filters)) predicates.push(await predicateOf(ctx, key, values))
  return ctx.registry.all().filter((container) => predicates.every((predicate) => predicate(container)))
}

/** A reference that means another image by now, or none, gives way to the id of the image that the container was made of. */
async function named(ctx: ContainersContext, summaries: ContainerSummary[]): Promise<ContainerSummary[]> {
  const references = [...new Set(summaries.map(({ Image = '' }) => Image))]
  const ids = new Map(await Promise.all(references.map(async (reference) => [reference, await ctx.images.idOf(reference)] as const)))
  return summaries.map((summary) => (ids.get(summary.Image ?? '') === summary.ImageID ? summary : { ...summary, Image: summary.ImageID }))
}

export async function listContainers(ctx: ContainersContext, options: ListOptions): Promise<ContainerSummary[]> {
  const { filters } = options
  const everyState = options.all || options.limit > 0 || filters['status'] !== undefined || filters['exited'] !== undefined
  let found = (await filterContainers(ctx, filters)).filter((container) => everyState || container.isRunning)
  found.sort((a, b) => (a.record.created < b.record.created ? 1 : -1))
  if (options.limit > 0) found = found.slice(0, options.limit)
  const summaries = await named(
    ctx,
    found.map((container) => summarise(ctx, container)),
  )
  if (!options.size) return summaries
  return Promise.all(
    summaries.map(async (summary, i) => {
      const record = found[i]?.record
      if (!record) return summary
      const sizes = await ctx.layers.containerSizes(record.id, record.topLayer)
      return { ...summary, SizeRw: sizes.rw, SizeRootFs: sizes.rootFs }
    }),
  )
}

/** Removes every stopped container that matches; `until` is an age or a time. */
export async function pruneCandidates(ctx: ContainersContext, filters: Filters, until: number | undefined): Promise<Container[]> {
  for (const key of Object.keys(filters)) if (key !== 'label' && key !== 'label!') throw invalidParameter(`invalid filter '${key}'`)
  const stopped = (await filterContainers(ctx, filters)).filter((container) => !container.isRunning)
  return stopped.filter((container) => until === undefined || Date.parse(container.record.created) < until)
}

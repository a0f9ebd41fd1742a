import type { ImageDeleteResponseItem } from '../../schema/engine-api.js'
import { formatDecimalSize } from '../../base/sizes.js'
import type { Engine } from '../engine.js'
import { flag } from '../flags.js'
import { filterFlag, filterQuery } from '../format/listing.js'
import { EngineError, ExitStatus } from '../status.js'
import type { Verb } from '../verb.js'
import { confirm } from './confirm.js'

interface Pruned {
  lines: string[]
  space: number
}

interface Answer {
  SpaceReclaimed?: number
  ContainersDeleted?: string[] | null
  NetworksDeleted?: string[] | null
  VolumesDeleted?: string[] | null
  CachesDeleted?: string[] | null
  ImagesDeleted?: ImageDeleteResponseItem[] | null
}

const post = (engine: Engine, path: string, filters: string[]): Promise<Answer> =>
  engine.post<Answer>(path, { filters: filterQuery(filters) })

const pruned = (title: string, names: string[] | null | undefined, space = 0): Pruned => ({
  lines: names?.length ? [`Deleted ${title}:`, ...names, ''] : [],
  space,
})

async function containers(engine: Engine, filters: string[]): Promise<Pruned> {
  const { ContainersDeleted, SpaceReclaimed } = await post(engine, '/containers/prune', filters)
  return pruned('Containers', ContainersDeleted, SpaceReclaimed)
}

async function networks(engine: Engine, filters: string[]): Promise<Pruned> {
  return pruned('Networks', (await post(engine, '/networks/prune', filters)).NetworksDeleted)
}

async function volumes(engine: Engine, filters: string[]): Promise<Pruned> {
  const { VolumesDeleted, SpaceReclaimed } = await post(engine, '/volumes/prune', filters)
  return pruned('Volumes', VolumesDeleted, SpaceReclaimed)
}

async function images(engine: Engine, filters: string[], all: boolean): Promise<Pruned> {
  const { ImagesDeleted, SpaceReclaimed } = await post(engine, '/images/prune', [...filters, `dangling=${!all}`])
  const names = (ImagesDeleted ?? []).map(({ Deleted, Untagged }) => (Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`))
  return pruned('Images', names, SpaceReclaimed)
}

/** An engine that builds nothing has no cache. */
async function buildCache(engine: Engine, filters: string[], all: boolean): Promise<Pruned> {
  try {
    const answer = await engine.post<Answer>('/build/prune', { all, filters: filterQuery(filters) })
    return pruned('build cache objects', answer.CachesDeleted, answer.SpaceReclaimed)
  } catch (error) {
    if (error instanceof EngineError && error.status === 501) return { lines: [], space: 0 }
    throw error
  }
}

const print = ({ lines }: Pruned): void => void process.stdout.write(lines.map((line) => `${line}\n`).join(''))
const total = (space: number): void => void process.stdout.write(`Total reclaimed space: ${formatDecimalSize(space)}\n`)

export const containerPrune: Verb = {
  name: 'container prune',
  usage: '[OPTIONS]',
  summary: 'Remove all stopped containers',
  flags: [
    filterFlag('Provide filter values (e.g. "until=<timestamp>")', 'filter'),
    flag('bool', 'f,force', 'Do not prompt for confirmation'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    if (!values.bool('force') && !(await confirm('WARNING! This will remove all stopped containers.')))
      throw new ExitStatus(1, 'container prune has been cancelled')
    const result = await containers(engine, values.list('filter'))
    print(result)
    total(result.space)
  },
}

export const imagePrune: Verb = {
  name: 'image prune',
  usage: '[OPTIONS]',
  summary: 'Remove unused images',
  flags: [
    flag('bool', 'a,all', 'Remove all unused images, not just dangling ones'),
    filterFlag('Provide filter values (e.g. "until=<timestamp>")', 'filter'),
    flag('bool', 'f,force', 'Do not prompt for confirmation'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const all = values.bool('all')
    const what = all ? 'all images without at least one container associated to them' : 'all dangling images'
    if (!values.bool('force') && !(await confirm(`WARNING! This will remove ${what}.`)))
      throw new ExitStatus(1, 'image prune has been cancelled')
    const result = await images(engine, values.list('filter'), all)
    print(result)
    total(result.space)
  },
}

export const systemPrune: Verb = {
  name: 'system prune',
  usage: '[OPTIONS]',
  summary: 'Remove unused data',
  flags: [
    flag('bool', 'a,all', 'Remove all unused images not just dangling ones'),
    filterFlag('Provide filter values (e.g. "label=<key>=<value>")', 'filter'),
    flag('bool', 'f,force', 'Do not prompt for confirmation'),
    flag('bool', 'volumes', 'Prune anonymous volumes'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const [all, withVolumes, filters] = [values.bool('all'), values.bool('volumes'), values.list('filter')]
    if (withVolumes && filters.some((filter) => filter.startsWith('until=')))
      throw new Error('the "until" filter is not supported with "--volumes"')
    const warnings = [
      'all stopped containers',
      'all networks not used by at least one container',
      ...(withVolumes ? ['all anonymous volumes not used by at least one container'] : []),
      all ? 'all images without at least one container associated to them' : 'all dangling images',
      all ? 'all build cache' : 'unused build cache',
    ]
    if (!values.bool('force') && !(await confirm(`WARNING! This will remove:\n${warnings.map((line) => `  - ${line}\n`).join('')}`)))
      throw new ExitStatus(1, 'system prune has been cancelled')
    const steps = [
      () => containers(engine, filters),
      () => networks(engine, filters),
      ...(withVolumes ? [() => volumes(engine, filters)] : []),
      () => images(engine, filters, all),
      () => buildCache(engine, filters, all),
    ]
    let space = 0
    for (const step of steps) {
      const result = await step()
      print(result)
      space += result.space
    }
    total(space)
  },
}

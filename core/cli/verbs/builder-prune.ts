import { formatDecimalSize } from '../../base/sizes.js'
import { flag } from '../flags.js'
import { filterQuery } from '../format/listing.js'
import type { Verb } from '../verb.js'
import { confirm } from './confirm.js'

export const verb: Verb = {
  name: 'builder prune',
  usage: '[OPTIONS]',
  summary: 'Remove build cache',
  flags: [
    flag('bool', 'a,all', 'Remove all unused build cache, not just dangling ones'),
    flag('list', 'filter', 'Provide filter values (e.g., "until=24h")', { value: 'filter' }),
    flag('bool', 'f,force', 'Do not prompt for confirmation'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    if (!values.bool('force') && !(await confirm('WARNING! This will remove all cache mounts, and what is remembered of build steps.')))
      return
    const filters = values.list('filter')
    const query = { all: values.bool('all') || undefined, filters: filterQuery(filters) }
    const { CachesDeleted, SpaceReclaimed } = await engine.post<{ CachesDeleted: string[] | null; SpaceReclaimed: number }>(
      '/build/prune',
      query,
    )
    if (CachesDeleted && CachesDeleted.length > 0) process.stdout.write(`Deleted build cache objects:\n${CachesDeleted.join('\n')}\n\n`)
    process.stdout.write(`Total reclaimed space: ${formatDecimalSize(SpaceReclaimed)}\n`)
  },
}

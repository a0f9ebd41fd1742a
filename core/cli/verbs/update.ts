import { restartPolicy } from '../container/config.js'
import { containerFlags } from '../container/flags.js'
import { resourcesOf } from '../container/resources.js'
import { segment } from '../engine.js'
import type { Verb } from '../verb.js'
import { forEach } from './each.js'

const changeable = new Set([
  'blkio-weight',
  'cpu-period',
  'cpu-quota',
  'cpu-rt-period',
  'cpu-rt-runtime',
  'cpu-shares',
  'cpus',
  'cpuset-cpus',
  'cpuset-mems',
  'memory',
  'memory-reservation',
  'memory-swap',
  'pids-limit',
  'restart',
])

export const verb: Verb = {
  name: 'update',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Update configuration of one or more containers',
  aliases: ['container update', 'update'],
  flags: containerFlags.filter(({ name }) => changeable.has(name)),
  args: [1, Infinity],
  async run({ values, args, engine }) {
    if (![...changeable].some((name) => values.has(name))) throw new Error('you must provide one or more flags when using this command')
    const { PidsLimit, ...resources } = resourcesOf(values)
    const body = {
      ...Object.fromEntries(Object.entries(resources).filter(([field]) => field !== 'MemorySwappiness')),
      ...(values.has('pids-limit') ? { PidsLimit } : {}),
      ...(values.has('restart') ? { RestartPolicy: restartPolicy(values.string('restart')) } : {}),
    }
    const warnings: string[] = []
    const update = async (name: string): Promise<void> => {
      const answer = await engine.post<{ Warnings?: string[] | null }>(`/containers/${segment(name)}/update`, undefined, body)
      warnings.push(...(answer.Warnings ?? []))
    }
    const status = await forEach(args, update)
    if (warnings.length > 0) process.stderr.write(`${warnings.join('\n')}\n`)
    return status
  },
}

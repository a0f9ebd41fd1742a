import type { ContainerInspectResponse } from '../../schema/engine-api.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { engineTime } from '../format/time.js'
import { copyRaw, demultiplex } from '../stdcopy.js'
import type { Verb } from '../verb.js'

export const verb: Verb = {
  name: 'logs',
  usage: '[OPTIONS] CONTAINER',
  summary: 'Fetch the logs of a container',
  aliases: ['container logs', 'logs'],
  flags: [
    flag('bool', 'details', 'Show extra details provided to logs'),
    flag('bool', 'f,follow', 'Follow log output'),
    flag('string', 'since', 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'),
    flag('string', 'n,tail', 'Number of lines to show from the end of the logs', { default: 'all' }),
    flag('bool', 't,timestamps', 'Show timestamps'),
    flag('string', 'until', 'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'),
  ],
  args: [1, 1],
  async run({ values, args, engine }) {
    const path = `/containers/${segment(args[0] as string)}`
    const { Config } = await engine.get<ContainerInspectResponse>(`${path}/json`)
    const stream = await engine.stream('GET', `${path}/logs`, {
      query: {
        stdout: true,
        stderr: true,
        details: values.bool('details') || undefined,
        follow: values.bool('follow') || undefined,
        since: engineTime(values.string('since')),
        until: engineTime(values.string('until')),
        tail: values.string('tail'),
        timestamps: values.bool('timestamps') || undefined,
      },
    })
    if (Config?.Tty) await copyRaw(stream, process.stdout)
    else await demultiplex(stream, process.stdout, process.stderr)
  },
}

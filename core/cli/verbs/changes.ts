import { parseReference, repositoryOf, withDefaultTag } from '../../base/reference.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { saveTo } from '../save-to.js'
import { UsageError, messageOf } from '../status.js'
import type { Verb } from '../verb.js'

const letters = ['C', 'A', 'D']

export const diff: Verb = {
  name: 'diff',
  usage: 'CONTAINER',
  summary: "Inspect changes to files or directories on a container's filesystem",
  aliases: ['container diff', 'diff'],
  flags: [],
  args: [1, 1],
  async run({ args, engine }) {
    const changes = await engine.get<{ Path: string; Kind: number }[] | null>(`/containers/${segment(args[0] as string)}/changes`)
    for (const { Path, Kind } of changes ?? []) process.stdout.write(`${letters[Kind] ?? '?'} ${Path}\n`)
  },
}

export const exportTar: Verb = {
  name: 'export',
  usage: '[OPTIONS] CONTAINER',
  summary: "Export a container's filesystem as a tar archive",
  aliases: ['container export', 'export'],
  flags: [flag('string', 'o,output', 'Write to a file, instead of STDOUT')],
  args: [1, 1],
  run: ({ values, args, engine }) =>
    saveTo(values.string('output'), () => engine.stream('GET', `/containers/${segment(args[0] as string)}/export`)),
}

function target(text: string): { repo?: string; tag?: string } {
  if (text === '') return {}
  try {
    const reference = parseReference(text)
    if (reference.digest !== undefined) throw new Error('cannot commit to digest reference')
    const { tag = '' } = withDefaultTag(reference)
    return { repo: repositoryOf(reference), tag }
  } catch (error) {
    throw new UsageError(`invalid reference format: ${messageOf(error)}`)
  }
}

export const commit: Verb = {
  name: 'commit',
  usage: '[OPTIONS] CONTAINER [REPOSITORY[:TAG]]',
  summary: "Create a new image from a container's changes",
  aliases: ['container commit', 'commit'],
  flags: [
    flag('string', 'a,author', 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
    flag('list', 'c,change', 'Apply Dockerfile instruction to the created image'),
    flag('string', 'm,message', 'Commit message'),
    flag('bool', 'p,pause', 'Pause container during commit', { default: 'true' }),
  ],
  args: [1, 2],
  async run({ values, args, engine }) {
    const [container, name = ''] = args
    const { Id } = await engine.post<{ Id: string }>('/commit', {
      container,
      ...target(name),
      author: values.string('author') || undefined,
      comment: values.string('message') || undefined,
      changes: values.list('change'),
      pause: values.bool('pause'),
    })
    process.stdout.write(`${Id}\n`)
  },
}

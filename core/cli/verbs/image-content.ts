import type { ImageHistoryResponseItem } from '../../schema/engine-api.js'
import { formatDecimalSize } from '../../base/sizes.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { ellipsis, goTime, shortId, since } from '../format/human.js'
import { renderListing, type Row } from '../format/listing.js'
import { formatFlag, formatOf } from '../format/option.js'
import { saveTo } from '../save-to.js'
import type { Verb } from '../verb.js'

const headers = {
  ID: 'IMAGE',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  CreatedBy: 'CREATED BY',
  Size: 'SIZE',
  Comment: 'COMMENT',
}

function rowOf(item: ImageHistoryResponseItem, truncate: boolean, human: boolean): Row {
  const { Id = '', Created = 0, Size = 0, Comment = '' } = item
  const by = (item.CreatedBy ?? '').replaceAll('\t', ' ')
  const known = Created > 0
  return {
    ID: truncate ? shortId(Id) : Id,
    CreatedSince: human ? (known ? since(Created) : 'N/A') : goTime(Created),
    CreatedAt: goTime(Created),
    CreatedBy: truncate ? ellipsis(by, 45) : by,
    Size: human ? formatDecimalSize(Size, 3) : String(Size),
    Comment,
  }
}

export const history: Verb = {
  name: 'history',
  usage: '[OPTIONS] IMAGE',
  summary: 'Show the history of an image',
  aliases: ['image history', 'history'],
  flags: [
    formatFlag,
    flag('bool', 'H,human', 'Print sizes and dates in human readable format', { default: 'true' }),
    flag('bool', 'no-trunc', "Don't truncate output"),
    flag('string', 'platform', 'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")', {
      refused: 'an image has one platform here',
    }),
    flag('bool', 'q,quiet', 'Only show image IDs'),
  ],
  args: [1, 1],
  async run({ values, args, engine }) {
    const items = await engine.get<ImageHistoryResponseItem[]>(`/images/${segment(args[0] as string)}/history`)
    const rows = items.map((item) => rowOf(item, !values.bool('no-trunc'), values.bool('human')))
    const columns = ['ID', 'CreatedSince', 'CreatedBy', 'Size', 'Comment']
    process.stdout.write(
      await renderListing({ headers, columns, rows, format: formatOf(values), quiet: values.bool('quiet') ? 'ID' : undefined }),
    )
  },
}

export const save: Verb = {
  name: 'save',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  summary: 'Save one or more images to a tar archive (streamed to STDOUT by default)',
  aliases: ['image save', 'save'],
  flags: [
    flag('string', 'o,output', 'Write to a file, instead of STDOUT'),
    flag('string', 'platform', 'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")', {
      refused: 'an image has one platform here',
    }),
  ],
  args: [1, Infinity],
  run: ({ values, args, engine }) =>
    saveTo(values.string('output'), () =>
      args.length === 1
        ? engine.stream('GET', `/images/${segment(args[0] as string)}/get`)
        : engine.stream('GET', '/images/get', { query: { names: args } }),
    ),
}

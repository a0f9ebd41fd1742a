import fs from 'node:fs'
import type { Readable } from 'node:stream'
import type { ImageDeleteResponseItem, ImageSummary } from '../../schema/engine-api.js'
import { formatDecimalSize } from '../../base/sizes.js'
import { parseReference, repositoryOf, withDefaultTag } from '../../base/reference.js'
import type { Engine } from '../engine.js'
import { segment } from '../engine.js'
import { flag } from '../flags.js'
import { goTime, shortId, since } from '../format/human.js'
import { printProgress } from '../format/progress.js'
import type { Row } from '../format/listing.js'
import { filterFlag, filterQuery, renderListing } from '../format/listing.js'
import { formatFlag, formatOf } from '../format/option.js'
import { ExitStatus, UsageError, messageOf } from '../status.js'
import type { Verb } from '../verb.js'

const headers = {
  ID: 'IMAGE ID',
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  Digest: 'DIGEST',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  Size: 'SIZE',
  VirtualSize: 'VIRTUAL SIZE',
  SharedSize: 'SHARED SIZE',
  UniqueSize: 'UNIQUE SIZE',
  Containers: 'CONTAINERS',
}

const none = '<none>'

/** One row for each tag, or for each digest that no tag of its repository stands for. */
export function rowsOf(image: ImageSummary, truncate: boolean, digests: boolean): Row[] {
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== '<none>:<none>')
  const known = (image.RepoDigests ?? []).filter((digest) => digest !== '<none>@<none>')
  const split = (text: string, at: number): [string, string] => [text.slice(0, at), text.slice(at + 1)]
  const byDigest = known.map((digest) => split(digest, digest.indexOf('@')))
  const row = (repository: string, tag: string, digest: string): Row => ({
    Containers: image.Containers === undefined || image.Containers < 0 ? 'N/A' : String(image.Containers),
    CreatedAt: goTime(image.Created ?? 0),
    CreatedSince: since(image.Created ?? 0),
    Digest: digest,
    ID: truncate ? shortId(image.Id ?? '') : (image.Id ?? ''),
    Repository: repository,
    SharedSize: image.SharedSize === undefined || image.SharedSize < 0 ? 'N/A' : formatDecimalSize(image.SharedSize, 3),
    Size: formatDecimalSize(image.Size ?? 0, 3),
    Tag: tag,
    UniqueSize: image.SharedSize === undefined || image.SharedSize < 0 ? 'N/A' : formatDecimalSize((image.Size ?? 0) - image.SharedSize, 3),
    VirtualSize: formatDecimalSize(image.Size ?? 0),
  })
  if (tags.length === 0 && byDigest.length === 0) return [row(none, none, none)]
  const rows: Row[] = []
  for (const full of tags) {
    const [repository, tag] = split(full, full.lastIndexOf(':'))
    const matching = byDigest.filter(([name]) => name === repository).map(([, digest]) => digest)
    if (digests && matching.length > 0) rows.push(...matching.map((digest) => row(repository, tag, digest)))
    else rows.push(row(repository, tag, none))
  }
  for (const [repository, digest] of byDigest)
    if (!tags.some((tag) => tag.startsWith(`${repository}:`))) rows.push(row(repository, none, digests ? digest : ''))
  return rows
}

export const list: Verb = {
  name: 'images',
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  summary: 'List images',
  aliases: ['image ls', 'image list', 'images'],
  flags: [
    flag('bool', 'a,all', 'Show all images (default hides intermediate images)'),
    flag('bool', 'digests', 'Show digests'),
    filterFlag('Filter output based on conditions provided'),
    formatFlag,
    flag('bool', 'no-trunc', "Don't truncate output"),
    flag('bool', 'q,quiet', 'Only show image IDs'),
    flag('bool', 'tree', 'List multi-platform images as a tree', { refused: 'it is an experiment of Docker', hidden: true }),
  ],
  args: [0, 1],
  async run({ values, args, engine }) {
    const filters = [...values.list('filter'), ...(args[0] !== undefined ? [`reference=${args[0]}`] : [])]
    const images = await engine.get<ImageSummary[]>('/images/json', { all: values.bool('all') || undefined, filters: filterQuery(filters) })
    const format = formatOf(values)
    const digests = values.bool('digests') || /\{\{.*\.Digest\b/.test(format)
    const rows = images.flatMap((image) => rowsOf(image, !values.bool('no-trunc'), digests))
    const columns = ['Repository', 'Tag', ...(values.bool('digests') ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size']
    process.stdout.write(await renderListing({ headers, columns, rows, format, quiet: values.bool('quiet') ? 'ID' : undefined }))
  },
}

const progress = (stream: NodeJS.ReadableStream): Promise<void> => printProgress(stream, process.stdout)

export async function loadArchive(engine: Engine, archive: Readable, quiet: boolean, platform = '', report = progress): Promise<void> {
  const query = { quiet: quiet || undefined, platform: platform === '' ? undefined : platformJson(platform) }
  await report(await engine.stream('POST', '/images/load', { query, upload: archive, headers: { 'Content-Type': 'application/x-tar' } }))
}

/** `linux/arm64/v8` as the API takes it since 1.48. */
function platformJson(text: string): string {
  const [os = '', architecture, variant] = text.split('/')
  return JSON.stringify({ ...(architecture ? { architecture } : {}), os, ...(variant ? { variant } : {}) })
}

async function opened(file: string): Promise<Readable> {
  const stream = fs.createReadStream(file)
  await new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve())
    stream.once('error', () => reject(new Error(`open ${file}: no such file or directory`)))
  })
  return stream
}

export const load: Verb = {
  name: 'load',
  usage: '[OPTIONS]',
  summary: 'Load an image from a tar archive or STDIN',
  aliases: ['image load', 'load'],
  flags: [
    flag('string', 'i,input', 'Read from tar archive file, instead of STDIN'),
    flag('string', 'platform', 'Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'),
    flag('bool', 'q,quiet', 'Suppress the load output'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const file = values.string('input')
    if (file === '' && process.stdin.isTTY) throw new Error('requested load from stdin, but stdin is empty')
    const archive = file === '' ? process.stdin : await opened(file)
    await loadArchive(engine, archive, values.bool('quiet') || !process.stdout.isTTY, values.string('platform'))
  },
}

export const importTar: Verb = {
  name: 'import',
  usage: '[OPTIONS] file|URL|- [REPOSITORY[:TAG]]',
  summary: 'Import the contents from a tarball to create a filesystem image',
  aliases: ['image import', 'import'],
  flags: [
    flag('list', 'c,change', 'Apply Dockerfile instruction to the created image'),
    flag('string', 'm,message', 'Set commit message for imported image'),
    flag('string', 'platform', 'Set platform if server is multi-platform capable'),
  ],
  args: [1, 2],
  async run({ values, args, engine }) {
    const [source = '', repository = ''] = args
    const isUrl = /^https?:\/\//.test(source)
    const query = {
      fromSrc: isUrl ? source : '-',
      message: values.string('message') || undefined,
      changes: values.list('change'),
      platform: values.string('platform') || undefined,
      repo: repository || undefined,
    }
    const upload = isUrl ? undefined : source === '-' ? process.stdin : await opened(source)
    await progress(
      await engine.stream('POST', '/images/create', {
        query,
        ...(upload ? { upload, headers: { 'Content-Type': 'application/x-tar' } } : {}),
      }),
    )
  },
}

export const tag: Verb = {
  name: 'tag',
  usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  summary: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE',
  aliases: ['image tag', 'tag'],
  flags: [],
  args: [2, 2],
  async run({ args, engine }) {
    const [source = '', target = ''] = args
    const reference = parseTarget(target)
    await engine.post(`/images/${segment(source)}/tag`, { repo: repositoryOf(reference), tag: reference.tag ?? '' })
  },
}

function parseTarget(target: string) {
  try {
    const reference = parseReference(target)
    if (reference.digest !== undefined) throw new UsageError('refusing to create a tag with a digest reference')
    return withDefaultTag(reference)
  } catch (error) {
    throw new UsageError(`Error parsing reference: ${JSON.stringify(target)} is not a valid repository/tag: ${messageOf(error)}`)
  }
}

export const remove: Verb = {
  name: 'rmi',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  summary: 'Remove one or more images',
  aliases: ['image rm', 'image remove', 'rmi'],
  flags: [
    flag('bool', 'f,force', 'Force removal of the image'),
    flag('bool', 'no-prune', 'Do not delete untagged parents'),
    flag('strings', 'platform', 'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'),
  ],
  args: [1, Infinity],
  async run({ values, args, engine }) {
    const errors: string[] = []
    let missingOnly = true
    for (const image of args) {
      try {
        const query = {
          force: values.bool('force') || undefined,
          noprune: values.bool('no-prune') || undefined,
          platforms: values.list('platform').map(platformJson),
        }
        const deleted = await engine.delete<ImageDeleteResponseItem[]>(`/images/${segment(image)}`, query)
        for (const item of deleted ?? []) process.stdout.write(item.Deleted ? `Deleted: ${item.Deleted}\n` : `Untagged: ${item.Untagged}\n`)
      } catch (error) {
        if ((error as { status?: number }).status !== 404) missingOnly = false
        errors.push(messageOf(error))
      }
    }
    if (errors.length === 0) return 0
    if (values.bool('force') && missingOnly) {
      process.stderr.write(`${errors.join('\n')}\n`)
      return 0
    }
    throw new ExitStatus(1, errors.join('\n'))
  },
}

// What COPY and ADD take, wherever it comes from: trees below one root, found by a worker that is chrooted there.
import { utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { invalidParameter, notFound } from '../../sdk/errors.js'
import { isDigest } from '../../base/digest.js'
import type { ProgressMessage } from '../images/index.js'
import { unpackArchive } from './archives.js'
import type { CopyInstruction } from './dockerfile/instruction.js'
import { findStage } from './dockerfile/stages.js'
import { expandText } from './dockerfile/words.js'
import { bytesOf, textOf } from './layer-place.js'
import { freeBytes } from './space.js'
import { expand } from './stage-state.js'
import type { StageState } from './stage-state.js'
import { baseImage, madeDirectory, rootOf } from './workshop.js'
import type { Workshop } from './workshop.js'

export interface CopySource {
  /** Below the root, a located path. */
  from: string
  /** Last name of what was asked for. */
  name: string
  directory: boolean
  /** Of a directory. */
  mode: number
  /** An unpacked archive keeps its owners. */
  archive: boolean
}

export interface CopySources {
  root: string
  sources: CopySource[]
}

type Tell = (message: ProgressMessage) => Promise<void>

const isUrl = (text: string): boolean => /^https?:\/\//i.test(text)
const isGit = (text: string): boolean => /^(git@|git:\/\/|ssh:\/\/)|^https?:\/\/.+\.git(#.*)?$/i.test(text)

/** Root of what `--from` names: a stage, or an image. */
export async function rootOfFrom(
  shop: Workshop,
  state: StageState,
  name: string,
  tell: Tell,
): Promise<{ root: string; image: string | undefined }> {
  const stage = findStage(shop.file.stages, name, state.index)
  if (stage === undefined && /^\d{1,4}$/.test(name)) throw invalidParameter(`invalid from flag value ${name}: index out of bounds`)
  const image = stage === undefined ? (await baseImage(shop, name, shop.options.platform, tell)).id : await shop.stageImage(stage.index)
  return { root: await rootOf(shop, image), image }
}

async function found(shop: Workshop, name: string, root: string, prefix: string, patterns: string[]): Promise<CopySource[]> {
  const matches = await shop.trees.match(root, patterns.map(bytesOf))
  return matches.flatMap((places, index) => {
    const pattern = patterns[index] ?? ''
    // A pattern may match nothing, a name may not.
    return places.map(({ name: matched, place }) => {
      if (place.kind === 'absent') throw notFoundInContext(name, pattern, prefix !== '')
      if (place.kind === 'other') throw invalidParameter(`${name} failed: ${textOf(place.path)} is neither a file nor a directory`)
      const from = [prefix, place.path].filter((part) => part !== '').join('/')
      return { from, name: path.posix.basename(matched), directory: place.kind === 'directory', mode: place.mode ?? 0o755, archive: false }
    })
  })
}

function notFoundInContext(name: string, pattern: string, context: boolean): Error {
  const shown = pattern.replace(/^\/+/, '')
  return context
    ? notFound(`${name} failed: file not found in build context or excluded by .dockerignore: stat ${shown}: file does not exist`)
    : notFound(`${name} failed: stat ${shown}: file does not exist`)
}

async function heredocs(shop: Workshop, state: StageState, step: CopyInstruction): Promise<CopySource[]> {
  const sources: CopySource[] = []
  for (const { name, content, expands } of step.heredocs) {
    if (name.includes('/')) throw invalidParameter(`invalid heredoc name ${JSON.stringify(name)}: it becomes a file's name`)
    const dir = await madeDirectory(shop)
    const text = expands ? expandText(content, state.arguments.variables(state.config.Env), state.escape) : content
    await writeFile(`${shop.workDir}/${dir}/${name}`, text, { mode: 0o644 })
    // What is written here has no time of its own that a cache could miss.
    sources.push({ from: `${dir}/${bytesOf(name)}`, name: bytesOf(name), directory: false, mode: 0o644, archive: false })
  }
  return sources
}

async function downloaded(shop: Workshop, step: CopyInstruction, url: string, target: string, tell: Tell): Promise<CopySource> {
  const checksum = step.flags.one('checksum')
  if (checksum !== undefined && !isDigest(checksum))
    throw invalidParameter(`invalid checksum ${JSON.stringify(checksum)}: use sha256:<hex>`)
  const name = textOfUrl(url)
  if (name === '' && target.endsWith('/')) throw invalidParameter(`cannot determine filename from url: ${url}`)
  const dir = await madeDirectory(shop)
  const file = `${shop.workDir}/${dir}/download`
  await tell({ stream: `Downloading ${url}\n` })
  const { digest, lastModified } = await shop.downloads.fetch(url, file, { limit: await freeBytes(shop.workDir), signal: shop.signal })
  if (checksum !== undefined && checksum !== digest) throw invalidParameter(`digest mismatch ${digest}: expected ${checksum} for ${url}`)
  const time = lastModified ?? new Date(0)
  await utimes(file, time, time)
  return { from: `${dir}/download`, name: bytesOf(name === '' ? 'download' : name), directory: false, mode: 0o600, archive: false }
}

function textOfUrl(url: string): string {
  try {
    return decodeURIComponent(path.posix.basename(new URL(url).pathname))
  } catch {
    throw invalidParameter(`invalid URL ${url}`)
  }
}

async function extracted(shop: Workshop, sources: CopySource[]): Promise<CopySource[]> {
  const all: CopySource[] = []
  for (const source of sources) {
    const tree = source.directory ? undefined : await unpackArchive(shop, source.from)
    all.push(tree === undefined ? source : { ...source, from: tree, directory: true, mode: 0o755, archive: true })
  }
  return all
}

/** Everything that one COPY or ADD brings, in the order it is written. */
export async function copySources(
  shop: Workshop,
  state: StageState,
  step: CopyInstruction,
  target: string,
  tell: Tell,
): Promise<CopySources> {
  const names = step.sources.map((source) => expand(state, source))
  const from = step.flags.one('from')
  if (from !== undefined) {
    if (step.heredocs.length > 0) throw invalidParameter('COPY --from takes no here-documents')
    const { root } = await rootOfFrom(shop, state, expand(state, from), tell)
    return { root, sources: await found(shop, step.name, root, '', names) }
  }
  const sources: CopySource[] = []
  for (const name of names) {
    if (isGit(name))
      throw invalidParameter(`${step.name} from a git repository is not supported by tsd: clone it and add the directory (${name})`)
    if (isUrl(name)) {
      if (step.name === 'COPY') throw invalidParameter(`source can't be a URL for COPY: ${name}`)
      const file = await downloaded(shop, step, name, target, tell)
      sources.push(...(step.flags.one('unpack') === 'true' ? await extracted(shop, [file]) : [file]))
    } else {
      const there = await found(shop, step.name, `${shop.workDir}/context`, 'context', [name])
      sources.push(...(step.name === 'ADD' && step.flags.one('unpack') !== 'false' ? await extracted(shop, there) : there))
    }
  }
  if (step.flags.one('checksum') !== undefined && !names.every(isUrl))
    throw invalidParameter('checksum can only be specified for HTTP(S) sources')
  return { root: shop.workDir, sources: [...sources, ...(await heredocs(shop, state, step))] }
}

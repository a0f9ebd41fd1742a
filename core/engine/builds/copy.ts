import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import type { GatheredItem, Located, TreeDirectory } from '../ports/index.js'
import type { ProgressMessage } from '../images/index.js'
import { copySources } from './copy-sources.js'
import type { CopySource } from './copy-sources.js'
import type { CopyInstruction } from './dockerfile/instruction.js'
import { absolute, bytesOf, leadingTo, refuseWhiteouts } from './layer-place.js'
import type { Owner } from './layer-place.js'
import { ownerFrom } from './owner.js'
import { expand, notRun } from './stage-state.js'
import type { StageState } from './stage-state.js'
import { rootOf } from './workshop.js'
import type { Workshop } from './workshop.js'
import type { Work } from './work.js'

const refused: Record<string, string> = {
  link: 'leave it out: the result is the same, only built in order',
  parents: 'name the target directories instead',
  exclude: 'use .dockerignore, or copy what is wanted by name',
  'keep-git-dir': 'clone the repository and add the directory',
}

interface Placed {
  items: GatheredItem[]
  directories: TreeDirectory[]
}

/** New names of all sources below the place that the target leads to. */
function placed(sources: CopySource[], place: Located, intoDirectory: boolean, target: string, owner: Owner, asked: boolean): Placed {
  const items: GatheredItem[] = []
  let fresh = place.missing
  let mode = 0o755
  for (const source of sources) {
    const whole = source.directory || intoDirectory
    if (whole && place.kind !== 'directory' && place.kind !== 'absent') throw invalidParameter(`cannot copy to non-directory: ${target}`)
    const to = source.directory ? place.path : intoDirectory ? [place.path, source.name].filter((one) => one !== '').join('/') : place.path
    refuseWhiteouts(to)
    items.push({ from: source.from, to, owner: source.archive && !asked ? undefined : owner })
    if (!whole) fresh = place.missing.slice(0, -1)
    else if (source.directory && !source.archive && sources.length === 1) mode = source.mode
  }
  const directories = leadingTo(place, fresh, { ...owner, mode: 0o755, mtimeSec: Math.floor(Date.now() / 1000) })
  const last = directories.at(-1)
  if (last !== undefined && fresh.length > 0) last.mode = mode
  return { items, directories }
}

function modeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^[0-7]{1,5}$/.test(text) || parseInt(text, 8) > 0o7777)
    throw invalidParameter(`invalid chmod parameter: ${JSON.stringify(text)}. it should be octal string and between 0 and 07777`)
  return parseInt(text, 8)
}

const noun = (sources: readonly CopySource[]): string => (sources.length > 1 ? 'multi' : sources[0]?.directory ? 'dir' : 'file')

/** COPY and ADD: the layer is written as a tar, from the sources' trees; nothing of the image is mounted but to be looked at. */
export async function prepareCopy(
  shop: Workshop,
  state: StageState,
  step: CopyInstruction,
  tell: (message: ProgressMessage) => Promise<void>,
): Promise<Work> {
  for (const [flag, way] of Object.entries(refused)) {
    const value = step.flags.one(flag)
    if (value !== undefined && value !== 'false') throw notImplemented(`${step.name} --${flag} is not supported by tsd: ${way}`)
  }
  const { trees, signal } = shop
  const target = expand(state, step.target)
  const { root, sources } = await copySources(shop, state, step, target, tell)
  if (sources.length === 0) throw invalidParameter(`${step.name} failed: no source files were specified`)
  const asDirectory = /(^|\/)\.?$/.test(target)
  if (sources.length > 1 && !asDirectory)
    throw invalidParameter(`When using ${step.name} with more than one source file, the destination must be a directory and end with a /`)
  const image = await rootOf(shop, state.image)
  const chown = step.flags.one('chown')
  const owner = chown === undefined ? { uid: 0, gid: 0 } : await ownerFrom(trees, image, expand(state, chown))
  const chmod = step.flags.one('chmod')
  const mode = modeOf(chmod === undefined ? undefined : expand(state, chmod))
  const place = await trees.locate(image, bytesOf(absolute(state.config.WorkingDir, target)))
  const { items, directories } = placed(sources, place, asDirectory || place.kind === 'directory', target, owner, chown !== undefined)
  const gathered = { items, directories, times: true, ...(mode === undefined ? {} : { mode }) }
  const digest = await trees.digest(root, { ...gathered, signal })
  const flags = [chown === undefined ? '' : `--chown=${owner.uid}:${owner.gid} `, mode === undefined ? '' : `--chmod=${chmod} `].join('')
  return {
    createdBy: notRun(state, `${step.name} ${flags}${noun(sources)}:${digest.slice('sha256:'.length)} in ${target} `),
    also: [],
    run: () => Promise.resolve(trees.gather(root, { ...gathered, signal })),
  }
}

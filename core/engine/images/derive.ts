import type { Readable } from 'node:stream'
import { digestOf } from '../../base/digest.js'
import type { HistoryEntry, ImageConfiguration, ImageRuntimeConfig } from './config.js'
import { hostArchitecture } from './plan.js'

/** What an image adds to the one it is made from. */
export interface DerivedImage {
  /** Id of the image to start from; undefined: from nothing. */
  parent: string | undefined
  config: ImageRuntimeConfig
  author: string
  /** RFC 3339. */
  created: string
  history: HistoryEntry
  /** A plain layer tar; undefined: no layer. */
  layer: Readable | undefined
}

/** A layer that changes nothing: no image needs it. */
export const emptyTar = digestOf(Buffer.alloc(1024))

const nothing = (value: unknown): boolean =>
  value === null ||
  value === '' ||
  value === false ||
  (typeof value === 'object' && !Array.isArray(value) && Object.keys(value as object).length === 0)

/** What has no value is left out, as Docker writes it; the command and the environment stand there in any case. */
function written(config: ImageRuntimeConfig): Partial<ImageRuntimeConfig> {
  const always = new Set(['Env', 'Cmd', 'Entrypoint', 'WorkingDir', 'User', 'Labels'])
  return Object.fromEntries(Object.entries(config).filter(([key, value]) => always.has(key) || !nothing(value)))
}

/** The configuration's JSON. What it says of platform and past comes from the parent. */
export function derivedConfiguration(derived: DerivedImage, parent: ImageConfiguration | undefined, diffIds: string[]): unknown {
  const { config, author, created, history } = derived
  const empty = diffIds.length === (parent?.diffIds.length ?? 0)
  const { variant = '', osVersion = '' } = parent ?? {}
  return {
    created,
    ...(author === '' ? {} : { author }),
    architecture: parent?.architecture ?? hostArchitecture,
    ...(variant === '' ? {} : { variant }),
    os: parent?.os ?? 'linux',
    ...(osVersion === '' ? {} : { 'os.version': osVersion }),
    config: written(config),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: [...(parent?.history ?? []), { ...history, ...(empty ? { empty_layer: true } : {}) }],
  }
}

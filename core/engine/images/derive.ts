import type { Readable } from 'node:stream'
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

/** The configuration's JSON. What it says of platform and past comes from the parent. */
export function derivedConfiguration(derived: DerivedImage, parent: ImageConfiguration | undefined, diffIds: string[]): unknown {
  const { config, author, created, history, layer } = derived
  const { variant = '', osVersion = '' } = parent ?? {}
  return {
    created,
    ...(author === '' ? {} : { author }),
    architecture: parent?.architecture ?? hostArchitecture,
    ...(variant === '' ? {} : { variant }),
    os: parent?.os ?? 'linux',
    ...(osVersion === '' ? {} : { 'os.version': osVersion }),
    config,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: [...(parent?.history ?? []), { ...history, ...(layer === undefined ? { empty_layer: true } : {}) }],
  }
}

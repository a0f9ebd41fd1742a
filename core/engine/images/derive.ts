import fs from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { layerId } from '../layers/index.js'
import type { Layers } from '../layers/index.js'
import type { ImageRecord } from './catalog.js'
import { parseConfiguration } from './config.js'
import type { HistoryEntry, ImageRuntimeConfig } from './config.js'
import type { ContentStore, Ingested } from './content.js'
import { checkConfigSize } from './installer.js'
import type { Installer, NewImage } from './installer.js'
import { hostArchitecture } from './plan.js'

/** What an image adds to the one it is made from. */
export interface DerivedImage {
  config: ImageRuntimeConfig
  author: string
  comment?: string
  /** RFC 3339. */
  created: string
  history: HistoryEntry
  /** A plain layer tar; undefined: no layer. One that changes nothing is none either. */
  layer: Readable | undefined
}

/** Two blocks of zeros: a layer that changes nothing. */
const emptyLayer = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef'

const isEmpty = (value: unknown): boolean =>
  value === '' ||
  value === null ||
  value === false ||
  (typeof value === 'object' && !Array.isArray(value) && Object.keys(value as object).length === 0)

/** Zero values are left out, as in configurations of Docker. */
function compact(config: ImageRuntimeConfig): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => !isEmpty(value)))
}

function configurationOf(derived: DerivedImage, parent: ImageRecord | undefined, diffIds: string[]): unknown {
  const { config, author, comment = '', created, history } = derived
  const { variant = '', osVersion = '', architecture = hostArchitecture, os = 'linux' } = parent?.configuration ?? {}
  const unchanged = diffIds.length === (parent?.configuration.diffIds.length ?? 0)
  return {
    created,
    ...(author === '' ? {} : { author }),
    architecture,
    ...(variant === '' ? {} : { variant }),
    os,
    ...(osVersion === '' ? {} : { 'os.version': osVersion }),
    ...(comment === '' ? {} : { comment }),
    config: compact(config),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: [...(parent?.configuration.history ?? []), { ...history, ...(unchanged ? { empty_layer: true } : {}) }],
  }
}

interface Parts {
  content: ContentStore
  layers: Layers
  installer: Installer
  /** Makes the image visible. */
  show(image: NewImage, workspace: string): Promise<void>
}

/** A new image of the parent's layers and at most one more. Answers its id. */
export async function deriveImage(
  { content, layers, installer, show }: Parts,
  parent: ImageRecord | undefined,
  derived: DerivedImage,
  signal: AbortSignal,
): Promise<string> {
  const workspace = await content.workspace()
  const pins = layers.pin()
  try {
    const layer = derived.layer === undefined ? undefined : await content.spool(derived.layer as AsyncIterable<Buffer>, workspace)
    const own = layer === undefined || layer.digest === emptyLayer ? [] : [layer]
    const below: Ingested[] = (parent?.layers ?? []).map(({ digest, size }) => ({ file: content.blobPath(digest), digest, size }))
    const inherited = parent?.configuration.diffIds ?? []
    const text = Buffer.from(JSON.stringify(configurationOf(derived, parent, [...inherited, ...own.map(({ digest }) => digest)])))
    const config = await content.spoolBytes(text, workspace)
    checkConfigSize(config)
    const image: NewImage = {
      config,
      configuration: parseConfiguration(text),
      layers: [...below, ...own],
      ...(parent === undefined ? {} : { parent: parent.id }),
    }
    let top: string | undefined
    for (const diffId of inherited) {
      top = layerId(top, diffId)
      pins.add(top)
    }
    if (own.length > 0) await installer.applyLayer(image, below.length, top, pins, signal)
    await show(image, workspace)
    return config.digest
  } finally {
    derived.layer?.destroy()
    await pins.release()
    await fs.rm(workspace, { recursive: true, force: true })
  }
}

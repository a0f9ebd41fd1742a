import type { Readable } from 'node:stream'
import fs from 'node:fs/promises'
import type { Layers } from '../layers/index.js'
import type { ImageRecord } from './catalog.js'
import type { ImageRuntimeConfig } from './config.js'
import { parseConfiguration } from './config.js'
import type { ContentStore, Ingested } from './content.js'
import type { Installer, NewImage } from './installer.js'

export interface Commit {
  /** The container's image; undefined when it is gone or there was none. */
  parent: ImageRecord | undefined
  /** What the container changed, as a layer. */
  changes: Readable
  config: ImageRuntimeConfig
  author: string
  comment: string
  createdBy: string
  created: string
  platform: { os: string; architecture: string; variant: string }
  signal: AbortSignal
}

/** Two blocks of zeros: a layer that changes nothing is none. */
const emptyLayer = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef'

/** Zero values are left out, as in configurations of Docker. */
function compact(config: ImageRuntimeConfig): Record<string, unknown> {
  const isEmpty = (value: unknown): boolean =>
    value === '' || value === null || value === false || (typeof value === 'object' && Object.keys(value as object).length === 0)
  return Object.fromEntries(Object.entries(config).filter(([, value]) => !isEmpty(value)))
}

interface Parts {
  content: ContentStore
  layers: Layers
  installer: Installer
  /** Makes the image visible. */
  show(image: NewImage, workspace: string): Promise<void>
}

/** A new image of the parent's layers and one more. Answers its id. */
export async function commitImage({ content, layers, installer, show }: Parts, commit: Commit): Promise<string> {
  const { parent, created, author, comment, createdBy, platform, signal } = commit
  const workspace = await content.workspace()
  const pins = layers.pin()
  try {
    const layer = await content.spool(commit.changes as AsyncIterable<Buffer>, workspace)
    const isEmpty = layer.digest === emptyLayer
    const below: Ingested[] = (parent?.layers ?? []).map(({ digest, size }) => ({ file: content.blobPath(digest), digest, size }))
    const diffIds = parent?.configuration.diffIds ?? []
    const json = {
      created,
      ...(author === '' ? {} : { author }),
      architecture: platform.architecture,
      ...(platform.variant === '' ? {} : { variant: platform.variant }),
      os: platform.os,
      ...(comment === '' ? {} : { comment }),
      config: compact(commit.config),
      rootfs: { type: 'layers', diff_ids: isEmpty ? diffIds : [...diffIds, layer.digest] },
      history: [
        ...(parent?.configuration.history ?? []),
        {
          created,
          created_by: createdBy,
          ...(author === '' ? {} : { author }),
          ...(comment === '' ? {} : { comment }),
          ...(isEmpty ? { empty_layer: true } : {}),
        },
      ],
    }
    const text = Buffer.from(JSON.stringify(json))
    const config = await content.spool(
      (async function* () {
        yield text
      })(),
      workspace,
    )
    const image: NewImage = { config, configuration: parseConfiguration(text), layers: isEmpty ? below : [...below, layer] }
    let top: string | undefined
    for (const index of image.layers.keys()) top = await installer.applyLayer(image, index, top, pins, signal)
    await show(image, workspace)
    return config.digest
  } finally {
    commit.changes.destroy()
    await pins.release()
    await fs.rm(workspace, { recursive: true, force: true })
  }
}

import type { ImageHistoryResponseItem } from '../../schema/engine-api.js'
import type { Layers } from '../layers/index.js'
import { namesOf } from './list.js'
import type { ImageCatalog, ImageRecord } from './catalog.js'
import { topLayerOf } from './installer.js'

const missing = '<missing>'

/** Newest first. Steps have no id of their own: the newest bears the image's. */
export function historyOf(catalog: ImageCatalog, layers: Layers, image: ImageRecord): ImageHistoryResponseItem[] {
  const { configuration } = image
  const top = topLayerOf(configuration)
  const sizes = (top === undefined ? [] : layers.chain(top)).map(({ size }) => size).reverse()
  let layer = 0
  const items = configuration.history.map((entry): ImageHistoryResponseItem => {
    const size = entry.empty_layer === true ? 0 : (sizes[layer++] ?? 0)
    const created = Date.parse(entry.created ?? '')
    return {
      Id: missing,
      Created: Number.isNaN(created) ? -62135596800 : Math.floor(created / 1000),
      CreatedBy: entry.created_by ?? '',
      Tags: null,
      Size: size,
      Comment: entry.comment ?? '',
    }
  })
  // A foreign image may tell nothing of how it was made.
  if (items.length === 0) items.push({ Id: missing, Created: 0, CreatedBy: '', Tags: null, Size: image.size, Comment: '' })
  items.reverse()
  const [newest] = items
  if (newest) {
    newest.Id = image.id
    const { tags } = namesOf(catalog, image.id)
    if (tags.length > 0) newest.Tags = tags
  }
  return items
}

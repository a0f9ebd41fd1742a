import type { Layers } from '../layers/index.js'
import type { ImageCatalog } from './catalog.js'
import { topLayerOf } from './installer.js'

export interface ImageUsage {
  /** Bytes of its layers that other images have too. */
  shared: number
  containers: number
}

/** Bytes of all layers, each once, and how the images share them. */
export function measureImages(
  catalog: ImageCatalog,
  layers: Layers,
  usedBy: (image: string) => unknown[],
): { layersSize: number; images: Map<string, ImageUsage> } {
  const users = new Map<string, number>()
  const chains = catalog.all().map((image) => {
    const top = topLayerOf(image.configuration)
    const chain = top === undefined ? [] : layers.chain(top)
    for (const { id } of chain) users.set(id, (users.get(id) ?? 0) + 1)
    return { image, chain }
  })
  const sizes = new Map(chains.flatMap(({ chain }) => chain.map(({ id, size }) => [id, size])))
  const images = new Map<string, ImageUsage>()
  for (const { image, chain } of chains) {
    const shared = chain.filter(({ id }) => (users.get(id) ?? 0) > 1).reduce((sum, { size }) => sum + size, 0)
    images.set(image.id, { shared, containers: usedBy(image.id).length })
  }
  return { layersSize: [...sizes.values()].reduce((sum, size) => sum + size, 0), images }
}

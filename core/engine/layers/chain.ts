import { digestOf } from '../../base/digest.js'

/** Digest that names a layer together with all below it (OCI image specification). */
export function chainId(diffIds: readonly string[]): string | undefined {
  let chain: string | undefined
  for (const diffId of diffIds) chain = chain === undefined ? diffId : digestOf(`${chain} ${diffId}`)
  return chain
}

/** The graph driver's name for a layer: the hex of its chain id. */
export function layerId(parent: string | undefined, diffId: string): string {
  const chain = parent === undefined ? diffId : digestOf(`sha256:${parent} ${diffId}`)
  return chain.slice(chain.indexOf(':') + 1)
}

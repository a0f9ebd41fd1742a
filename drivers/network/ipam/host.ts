import { blockAround } from 'tsd-engine/sdk'
import { listAddresses, listRoutes } from 'tsd-engine/native'
import type { Block } from './blocks.js'

/** Blocks that the host reaches by a route, or has an address in. */
export async function hostBlocks(): Promise<Block[]> {
  const blocks: Block[] = []
  const add = (family: 4 | 6, bytes: Buffer, prefix: number): void => {
    if (prefix > 0) blocks.push(blockAround({ family, value: BigInt(`0x${bytes.toString('hex')}`) }, prefix))
  }
  for (const { family, destination, prefix } of await listRoutes()) add(family, destination, prefix)
  for (const { family, address, prefix } of await listAddresses()) add(family, address, prefix)
  return blocks
}

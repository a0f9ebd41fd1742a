import { listAddresses, listRoutes } from 'tsd-engine/native'
import { type Block, blockOf } from './blocks.js'

/** IPv4 blocks that the host reaches by a route, or has an address in. */
export async function hostBlocks(): Promise<Block[]> {
  const blocks: Block[] = []
  const add = (bytes: Buffer, prefix: number): void => {
    if (prefix > 0) blocks.push(blockOf(bytes.readUInt32BE(0), prefix))
  }
  for (const route of await listRoutes()) if (route.family === 4) add(route.destination, route.prefix)
  for (const address of await listAddresses()) if (address.family === 4) add(address.address, address.prefix)
  return blocks
}

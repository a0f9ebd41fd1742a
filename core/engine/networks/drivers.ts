import { isTsdError, messageOf, TsdError } from '../../sdk/errors.js'
import type { IpamDriver } from '../../sdk/kinds/ipam.js'
import type { NetworkDriver } from '../../sdk/kinds/network.js'
import type { Drivers } from '../ports/index.js'

interface Used {
  network: NetworkDriver
  ipam: IpamDriver
}

const noun = { network: 'network', ipam: 'ipam' } as const

/** Uses a driver under a lease. An unknown one fails at once; its errors carry its name. */
export async function withDriver<K extends keyof Used, T>(
  drivers: Drivers,
  kind: K,
  name: string,
  holder: string,
  use: (driver: Used[K]) => Promise<T>,
): Promise<T> {
  let lease
  try {
    lease = await drivers.lease(kind, name, holder)
  } catch (error) {
    const category = isTsdError(error) ? error.category : 'System'
    throw new TsdError(category, `could not find ${noun[kind]} driver ${name}: ${messageOf(error)}`, { cause: error, plugin: name })
  }
  try {
    return await use(lease.driver as Used[K])
  } finally {
    lease.release()
  }
}

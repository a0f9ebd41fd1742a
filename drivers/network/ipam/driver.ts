import path from 'node:path'
import {
  type AddressRequest,
  conflict,
  forbidden,
  invalidParameter,
  type IpamDriver,
  KeyedLock,
  notFound,
  notImplemented,
  type Pool,
  type PoolRequest,
  unavailable,
} from 'tsd-engine/sdk'
import {
  type AddressPool,
  type Block,
  builtinPools,
  contains,
  firstFree,
  format,
  formatBlock,
  overlap,
  parseAddress,
  parseBlock,
  sizeOf,
} from './blocks.js'
import { Journal } from './journal.js'
import { PoolFile, type PoolRecord } from './pools.js'

const SPACE = 'LocalDefault'
const GLOBAL_SPACE = 'GlobalDefault'

interface Place {
  dataDir: string
  runDir: string
  options: Record<string, unknown>
}

function configuredPools(options: Record<string, unknown>): AddressPool[] {
  const given = options['default-address-pools']
  if (given === undefined) return builtinPools
  return (given as { base: string; size: number }[]).map(({ base, size }) => {
    const block = parseBlock(base, 'default-address-pools')
    if (size < block.prefix) throw invalidParameter(`default-address-pools: networks of size /${size} do not fit into ${base}`)
    return { base: block, size }
  })
}

/** The engine's own address management, for one host. */
export class DefaultIpam implements IpamDriver {
  readonly #pools: PoolFile
  readonly #journals = new Map<string, Journal>()
  readonly #lock = new KeyedLock()
  readonly #available: AddressPool[]

  constructor(
    private readonly place: Place,
    private readonly occupied: () => Promise<Block[]>,
  ) {
    this.#pools = new PoolFile(place.dataDir)
    this.#available = configuredPools(place.options)
  }

  async capabilities(): Promise<{ requiresMacAddress: boolean; requiresRequestReplay: boolean }> {
    return { requiresMacAddress: false, requiresRequestReplay: false }
  }

  async defaultAddressSpaces(): Promise<{ local: string; global: string }> {
    return { local: SPACE, global: GLOBAL_SPACE }
  }

  dispose(): void {
    for (const journal of this.#journals.values()) journal.close()
    this.#journals.clear()
  }

  async requestPool(request: PoolRequest): Promise<Pool> {
    if (request.v6) throw notImplemented('the default ipam driver has no IPv6 pools yet')
    const space = request.addressSpace || SPACE
    if (space !== SPACE && space !== GLOBAL_SPACE) throw invalidParameter(`address space ${JSON.stringify(space)} does not exist`)
    if (request.subPool !== '' && request.pool === '') throw invalidParameter('a sub pool needs the pool that it is part of')
    return await this.#lock.run('pools', async () => {
      this.#pools.refresh()
      const holder = request.holder ?? ''
      const held = holder === '' ? undefined : this.#pools.list().find((record) => record.holders.includes(holder) && fits(record, request))
      if (held) return { poolId: held.poolId, pool: held.pool, data: {} }
      const record = request.pool === '' ? await this.#choose(space) : this.#explicit(space, request)
      if (holder === '') record.anonymous++
      else record.holders.push(holder)
      await this.#pools.put(record)
      return { poolId: record.poolId, pool: record.pool, data: {} }
    })
  }

  async #choose(space: string): Promise<PoolRecord> {
    const given = this.#pools.list().map((record) => parseBlock(record.pool, 'pool'))
    const block = firstFree(this.#available, [...given, ...(await this.occupied())])
    if (!block) {
      throw unavailable('all predefined address pools have been fully subnetted: name a subnet, or configure more default-address-pools')
    }
    return { poolId: `${space}/${formatBlock(block)}`, pool: formatBlock(block), subPool: '', holders: [], anonymous: 0 }
  }

  #explicit(space: string, request: PoolRequest): PoolRecord {
    const block = parseBlock(request.pool, 'subnet')
    const part = request.subPool === '' ? undefined : parseBlock(request.subPool, 'ip range')
    if (part && (part.prefix < block.prefix || !contains(block, part.first))) {
      throw invalidParameter(`ip range ${request.subPool} is not part of the subnet ${request.pool}`)
    }
    const poolId = `${space}/${formatBlock(block)}${part ? `/${formatBlock(part)}` : ''}`
    const known = this.#pools.get(poolId)
    if (known) return { ...known, holders: [...known.holders] }
    if (this.#pools.list().some((record) => overlap(parseBlock(record.pool, 'pool'), block))) {
      throw forbidden('Pool overlaps with other one on this address space')
    }
    return { poolId, pool: formatBlock(block), subPool: part ? formatBlock(part) : '', holders: [], anonymous: 0 }
  }

  async releasePool(poolId: string, holder = ''): Promise<void> {
    await this.#lock.run('pools', async () => {
      this.#pools.refresh()
      const record = this.#pools.get(poolId)
      if (!record) return
      if (holder !== '' && !record.holders.includes(holder)) return
      const rest = {
        ...record,
        holders: record.holders.filter((one) => one !== holder),
        anonymous: Math.max(0, record.anonymous - (holder === '' ? 1 : 0)),
      }
      if (rest.holders.length + rest.anonymous > 0) return await this.#pools.put(rest)
      // The addresses first: a pool without its journal is only empty, a journal without its pool would come back to life with it.
      this.#journal(poolId).remove()
      this.#journals.delete(poolId)
      await this.#pools.delete(poolId)
    })
  }

  #journal(poolId: string): Journal {
    let journal = this.#journals.get(poolId)
    if (!journal) {
      journal = new Journal(path.join(this.place.runDir, `${poolId.replaceAll('/', '_')}.journal`))
      this.#journals.set(poolId, journal)
    }
    return journal
  }

  // No await stands between looking and taking: each request is one turn of the event loop.
  async requestAddress(request: AddressRequest): Promise<{ address: string; data: Record<string, string> }> {
    this.#pools.refresh()
    const record = this.#pools.get(request.poolId)
    if (!record) throw notFound(`address pool ${request.poolId} does not exist`)
    const block = parseBlock(record.pool, 'pool')
    const journal = this.#journal(request.poolId)
    journal.refresh()
    const answer = (address: number) => ({ address: `${format(address)}/${block.prefix}`, data: {} })
    const wanted = request.address === '' ? undefined : explicitAddress(request.address, block)
    const held = journal.addressOf(request.holder)
    if (held !== undefined) {
      if (wanted !== undefined && wanted !== held) {
        throw conflict(`${request.holder} holds ${format(held)} already and cannot take ${format(wanted)} of ${record.pool} as well`)
      }
      return answer(held)
    }
    if (wanted !== undefined) {
      if (journal.holderOf(wanted) !== undefined) throw conflict('Address already in use')
      journal.take(wanted, request.holder, false)
      return answer(wanted)
    }
    const gateway = request.options['RequestAddressType'] === 'com.docker.network.gateway'
    const found = nextFree(block, record.subPool, journal, gateway ? undefined : journal.last)
    if (found === undefined)
      throw unavailable(`no available IPv4 addresses on this network's address pools: ${record.subPool || record.pool}`)
    journal.take(found, request.holder, !gateway)
    return answer(found)
  }

  async releaseAddress(poolId: string, release: { address: string; holder: string }): Promise<void> {
    this.#pools.refresh()
    if (!this.#pools.get(poolId)) return
    const journal = this.#journal(poolId)
    journal.refresh()
    const address =
      release.holder === '' ? parseAddress(release.address.split('/')[0] ?? '', 'address to release') : journal.addressOf(release.holder)
    if (address !== undefined && journal.holderOf(address) !== undefined) journal.free(address)
  }
}

function fits(record: PoolRecord, request: PoolRequest): boolean {
  return request.pool === '' || formatBlock(parseBlock(request.pool, 'subnet')) === record.pool
}

function explicitAddress(text: string, block: Block): number {
  const address = parseAddress(text.split('/')[0] ?? '', 'address')
  if (!contains(block, address)) throw invalidParameter(`address ${text} is not part of the subnet ${formatBlock(block)}`)
  if (block.prefix < 31 && (address === block.first || address === block.first + sizeOf(block.prefix) - 1)) {
    throw invalidParameter(`address ${text} is the network or broadcast address of ${formatBlock(block)}`)
  }
  return address
}

/** The next free address behind `last`, around the end to the beginning. */
function nextFree(block: Block, subPool: string, journal: Journal, last: number | undefined): number | undefined {
  const range = subPool === '' ? block : parseBlock(subPool, 'ip range')
  const reserved = block.prefix < 31 ? 1 : 0
  const from = Math.max(range.first, block.first + reserved)
  const to = Math.min(range.first + sizeOf(range.prefix), block.first + sizeOf(block.prefix) - reserved)
  const size = to - from
  if (size <= 0 || journal.count >= sizeOf(block.prefix)) return undefined
  const start = last === undefined || last < from || last >= to ? 0 : last - from + 1
  for (let i = 0; i < size; i++) {
    const address = from + ((start + i) % size)
    if (journal.holderOf(address) === undefined) return address
  }
  return undefined
}

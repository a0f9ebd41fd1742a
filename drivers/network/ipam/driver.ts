import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import {
  type AddressRequest,
  blockHolds,
  blockSize,
  blocksOverlap,
  conflict,
  forbidden,
  formatIpBlock as formatBlock,
  invalidParameter,
  type IpamDriver,
  KeyedLock,
  notFound,
  type Pool,
  type PoolRequest,
  unavailable,
} from 'tsd-engine/sdk'
import { type AddressPool, type Block, builtinPools, firstFree, format, localPool, parseAddress, parseBlock } from './blocks.js'
import { Journal } from './journal.js'
import { PoolFile, type PoolRecord } from './pools.js'

const SPACE = 'LocalDefault'
const GLOBAL_SPACE = 'GlobalDefault'

interface Place {
  dataDir: string
  runDir: string
  options: Record<string, unknown>
}

/** Pools of the configuration stand for those built in, family by family. */
function availablePools({ options, dataDir }: Place): AddressPool[] {
  const given = ((options['default-address-pools'] ?? []) as { base: string; size: number }[]).map(({ base, size }) => {
    const block = parseBlock(base, 'default-address-pools')
    const most = block.family === 4 ? 32 : 128
    if (size < block.prefix || size > most)
      throw invalidParameter(`default-address-pools: networks of size /${size} do not fit into ${base}`)
    return { base: block, size }
  })
  const has = (family: number): boolean => given.some(({ base }) => base.family === family)
  return [...given, ...(has(4) ? [] : builtinPools), ...(has(6) ? [] : [localPool(`${machineId()} ${dataDir}`)])]
}

function machineId(): string {
  try {
    return fs.readFileSync('/etc/machine-id', 'utf8').trim()
  } catch {
    return os.hostname()
  }
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
    this.#available = availablePools(place)
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
    const space = request.addressSpace || SPACE
    if (space !== SPACE && space !== GLOBAL_SPACE) throw invalidParameter(`address space ${JSON.stringify(space)} does not exist`)
    if (request.subPool !== '' && request.pool === '') throw invalidParameter('a sub pool needs the pool that it is part of')
    return await this.#lock.run('pools', async () => {
      this.#pools.refresh()
      const holder = request.holder ?? ''
      const held = holder === '' ? undefined : this.#pools.list().find((record) => record.holders.includes(holder) && fits(record, request))
      if (held) return { poolId: held.poolId, pool: held.pool, data: {} }
      const record = request.pool === '' ? await this.#choose(space, request.v6 ? 6 : 4) : this.#explicit(space, request)
      if (holder === '') record.anonymous++
      else record.holders.push(holder)
      await this.#pools.put(record)
      return { poolId: record.poolId, pool: record.pool, data: {} }
    })
  }

  async #choose(space: string, family: 4 | 6): Promise<PoolRecord> {
    const given = this.#pools.list().map((record) => parseBlock(record.pool, 'pool'))
    const available = this.#available.filter(({ base }) => base.family === family)
    const block = firstFree(available, [...given, ...(await this.occupied())])
    if (!block) {
      throw unavailable('all predefined address pools have been fully subnetted: name a subnet, or configure more default-address-pools')
    }
    return { poolId: `${space}/${formatBlock(block)}`, pool: formatBlock(block), subPool: '', holders: [], anonymous: 0 }
  }

  #explicit(space: string, request: PoolRequest): PoolRecord {
    const block = parseBlock(request.pool, 'subnet')
    if ((block.family === 6) !== request.v6) {
      throw invalidParameter(`subnet ${request.pool} is not of IPv${request.v6 ? 6 : 4}`)
    }
    const part = request.subPool === '' ? undefined : parseBlock(request.subPool, 'ip range')
    if (part && (part.prefix < block.prefix || !blockHolds(block, { family: part.family, value: part.first }))) {
      throw invalidParameter(`ip range ${request.subPool} is not part of the subnet ${request.pool}`)
    }
    const poolId = `${space}/${formatBlock(block)}${part ? `/${formatBlock(part)}` : ''}`
    const known = this.#pools.get(poolId)
    if (known) return { ...known, holders: [...known.holders] }
    if (this.#pools.list().some((record) => blocksOverlap(parseBlock(record.pool, 'pool'), block))) {
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
      this.#journal(poolId, parseBlock(record.pool, 'pool')).remove()
      this.#journals.delete(poolId)
      await this.#pools.delete(poolId)
    })
  }

  #journal(poolId: string, { family }: Block): Journal {
    let journal = this.#journals.get(poolId)
    if (!journal) {
      journal = new Journal(path.join(this.place.runDir, `${poolId.replaceAll('/', '_')}.journal`), family)
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
    const journal = this.#journal(request.poolId, block)
    journal.refresh()
    const answer = (address: bigint) => ({ address: `${format(block.family, address)}/${block.prefix}`, data: {} })
    const wanted = request.address === '' ? undefined : explicitAddress(request.address, block)
    const held = journal.addressOf(request.holder)
    if (held !== undefined) {
      if (wanted !== undefined && wanted !== held) {
        throw conflict(
          `${request.holder} holds ${format(block.family, held)} already and cannot take ${format(block.family, wanted)} of ${record.pool} as well`,
        )
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
      throw unavailable(`no available IPv${block.family} addresses on this network's address pools: ${record.subPool || record.pool}`)
    journal.take(found, request.holder, !gateway)
    return answer(found)
  }

  async releaseAddress(poolId: string, release: { address: string; holder: string }): Promise<void> {
    this.#pools.refresh()
    const record = this.#pools.get(poolId)
    if (!record) return
    const journal = this.#journal(poolId, parseBlock(record.pool, 'pool'))
    journal.refresh()
    const address =
      release.holder === ''
        ? parseAddress(release.address.split('/')[0] ?? '', 'address to release').value
        : journal.addressOf(release.holder)
    if (address !== undefined && journal.holderOf(address) !== undefined) journal.free(address)
  }
}

function fits(record: PoolRecord, request: PoolRequest): boolean {
  if (record.pool.includes(':') !== request.v6) return false
  return request.pool === '' || formatBlock(parseBlock(request.pool, 'subnet')) === record.pool
}

/** Addresses of a block that are nobody's: the network's own, and IPv4's broadcast. */
function reserved(block: Block): { atStart: bigint; atEnd: bigint } {
  if (block.family === 4) return block.prefix < 31 ? { atStart: 1n, atEnd: 1n } : { atStart: 0n, atEnd: 0n }
  return { atStart: block.prefix < 127 ? 1n : 0n, atEnd: 0n }
}

function explicitAddress(text: string, block: Block): bigint {
  const address = parseAddress(text.split('/')[0] ?? '', 'address')
  if (!blockHolds(block, address)) throw invalidParameter(`address ${text} is not part of the subnet ${formatBlock(block)}`)
  const { atStart, atEnd } = reserved(block)
  if (address.value < block.first + atStart || address.value >= block.first + blockSize(block) - atEnd) {
    throw invalidParameter(`address ${text} is the network or broadcast address of ${formatBlock(block)}`)
  }
  return address.value
}

/** The next free address behind `last`, around the end to the beginning. */
function nextFree(block: Block, subPool: string, journal: Journal, last: bigint | undefined): bigint | undefined {
  const range = subPool === '' ? block : parseBlock(subPool, 'ip range')
  const { atStart, atEnd } = reserved(block)
  const lowest = block.first + atStart
  const highest = block.first + blockSize(block) - atEnd
  const from = range.first > lowest ? range.first : lowest
  const to = range.first + blockSize(range) < highest ? range.first + blockSize(range) : highest
  const size = to - from
  if (size <= 0n || BigInt(journal.count) >= blockSize(block)) return undefined
  const start = last === undefined || last < from || last >= to ? 0n : last - from + 1n
  // No more than those that are held can be in the way.
  const tries = BigInt(journal.count) + 1n < size ? BigInt(journal.count) + 1n : size
  for (let i = 0n; i < tries; i++) {
    const address = from + ((start + i) % size)
    if (journal.holderOf(address) === undefined) return address
  }
  return undefined
}

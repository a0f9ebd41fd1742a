import assert from 'node:assert/strict'
import { blockHolds, parseIp, parseIpBlock } from '../../base/ip-block.js'
import { categoryOf } from '../errors.js'
import type { IpamDriver } from '../kinds/ipam.js'

export type RegisterTest = (name: string, run: () => Promise<void>) => void

/** One driver and what it keeps. */
export interface IpamSubject {
  /** A new life of the driver on the same state, as after a kill. The last one is not used any more. */
  driver(): Promise<IpamDriver>
  remove(): Promise<void>
}

const chosen = { addressSpace: '', pool: '', subPool: '', options: {}, v6: false }

const addressOf = (cidr: string): string => cidr.split('/')[0] ?? ''

function inPool(cidr: string, pool: string): boolean {
  const block = parseIpBlock(pool)?.block
  const address = parseIp(addressOf(cidr))
  return block !== undefined && address !== undefined && blockHolds(block, address)
}

async function refused(work: Promise<unknown>, ...categories: string[]): Promise<void> {
  try {
    await work
  } catch (error) {
    assert.ok(categories.includes(categoryOf(error)), `expected ${categories.join(' or ')}, got ${categoryOf(error)}: ${String(error)}`)
    return
  }
  assert.fail(`expected ${categories.join(' or ')}, but the call succeeded`)
}

/** What every ipam driver has to do. The driver is made anew between any two calls. */
export function testIpamDriver(register: RegisterTest, make: () => Promise<IpamSubject>): void {
  const test = (
    name: string,
    run: (subject: IpamSubject, pool: (cidr: string, subPool?: string) => Promise<string>) => Promise<void>,
  ): void => {
    register(`ipam: ${name}`, async () => {
      const subject = await make()
      try {
        const space = (await (await subject.driver()).defaultAddressSpaces()).local
        await run(subject, async (pool, subPool = '') => {
          const driver = await subject.driver()
          return (await driver.requestPool({ addressSpace: space, pool, subPool, options: {}, v6: false })).poolId
        })
      } finally {
        await subject.remove()
      }
    })
  }
  const take = async (subject: IpamSubject, poolId: string, holder: string, address = ''): Promise<string> =>
    (await (await subject.driver()).requestAddress({ poolId, address, holder, options: {} })).address
  const free = async (subject: IpamSubject, poolId: string, holder: string): Promise<void> =>
    await (await subject.driver()).releaseAddress(poolId, { address: '', holder })

  test('pools that it chooses do not overlap', async (subject) => {
    const pools: string[] = []
    for (let i = 0; i < 5; i++) {
      const driver = await subject.driver()
      const { pool } = await driver.requestPool({ addressSpace: '', pool: '', subPool: '', options: {}, v6: false })
      for (const other of pools) assert.ok(!inPool(pool, other) && !inPool(other, pool), `${pool} overlaps ${other}`)
      pools.push(pool)
    }
  })

  test('an explicit pool asked twice is one pool, counted', async (subject, pool) => {
    const id = await pool('10.77.0.0/24')
    assert.equal(await pool('10.77.0.0/24'), id)
    const address = await take(subject, id, 'a')
    await (await subject.driver()).releasePool(id)
    assert.equal(await take(subject, id, 'a'), address)
    await (await subject.driver()).releasePool(id)
    await refused(take(subject, id, 'b'), 'NotFound', 'InvalidParameter')
    await (await subject.driver()).releasePool(id)
  })

  test('an overlapping pool is refused', async (_subject, pool) => {
    await pool('10.77.0.0/16')
    await refused(pool('10.77.8.0/24'), 'Forbidden', 'Conflict', 'InvalidParameter')
    await refused(pool('10.0.0.0/8'), 'Forbidden', 'Conflict', 'InvalidParameter')
    await refused(pool('not a pool'), 'InvalidParameter')
  })

  test('a holder that asks again is answered the same', async (subject, pool) => {
    const id = await pool('10.77.0.0/24')
    const address = await take(subject, id, 'a')
    assert.ok(inPool(address, '10.77.0.0/24') && address.endsWith('/24'), address)
    assert.equal(await take(subject, id, 'a'), address)
    assert.equal(await take(subject, id, 'a', addressOf(address)), address)
  })

  test('an explicit address is given once', async (subject, pool) => {
    const id = await pool('10.77.0.0/24')
    assert.equal(await take(subject, id, 'a', '10.77.0.9'), '10.77.0.9/24')
    await refused(take(subject, id, 'b', '10.77.0.9'), 'Conflict')
    await refused(take(subject, id, 'c', '10.78.0.9'), 'InvalidParameter')
    await free(subject, id, 'a')
    assert.equal(await take(subject, id, 'b', '10.77.0.9'), '10.77.0.9/24')
  })

  test('releasing what is free is success, and releases nobody else', async (subject, pool) => {
    const id = await pool('10.77.0.0/24')
    await take(subject, id, 'a', '10.77.0.9')
    await free(subject, id, 'nobody')
    await free(subject, id, 'a')
    await take(subject, id, 'b', '10.77.0.9')
    await free(subject, id, 'a')
    await refused(take(subject, id, 'c', '10.77.0.9'), 'Conflict')
  })

  test('a released address is not the next to be given', async (subject, pool) => {
    const id = await pool('10.77.0.0/24')
    const first = await take(subject, id, 'a')
    await free(subject, id, 'a')
    assert.notEqual(await take(subject, id, 'b'), first)
  })

  test('a full pool says so, and gives again what comes back', async (subject, pool) => {
    const id = await pool('10.77.0.0/29')
    const given = new Set<string>()
    for (let i = 0; i < 6; i++) given.add(await take(subject, id, `holder ${i}`))
    assert.equal(given.size, 6)
    await refused(take(subject, id, 'one more'), 'Unavailable')
    await free(subject, id, 'holder 3')
    assert.ok(given.has(await take(subject, id, 'one more')))
  })

  test('a part of the pool limits what is chosen', async (subject, pool) => {
    const id = await pool('10.77.0.0/16', '10.77.5.0/30')
    for (let i = 0; i < 4; i++) assert.ok(inPool(await take(subject, id, `holder ${i}`), '10.77.5.0/30'))
    await refused(take(subject, id, 'one more'), 'Unavailable')
    assert.equal(await take(subject, id, 'outside', '10.77.9.9'), '10.77.9.9/16')
  })

  test('many at once never share an address', async (subject, pool) => {
    const id = await pool('10.77.0.0/24')
    const driver = await subject.driver()
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => driver.requestAddress({ poolId: id, address: '', holder: `holder ${i}`, options: {} })),
    )
    assert.equal(new Set(answers.map(({ address }) => address)).size, 100)
  })

  test('IPv6: pools that it chooses are apart, addresses are given once and go on behind the last', async (subject) => {
    const pools: string[] = []
    for (let i = 0; i < 3; i++) {
      const { pool } = await (await subject.driver()).requestPool({ ...chosen, v6: true, holder: `n${i}` })
      assert.ok(pool.includes(':'), pool)
      for (const other of pools) assert.ok(!inPool(pool, other) && !inPool(other, pool), `${pool} overlaps ${other}`)
      pools.push(pool)
    }
    // One holder may have a pool of each family.
    const four = await (await subject.driver()).requestPool({ ...chosen, holder: 'n0' })
    assert.ok(!four.pool.includes(':'), four.pool)
    const request = { ...chosen, pool: 'fd00:77::/64', subPool: 'fd00:77::100/126', v6: true }
    const { poolId } = await (await subject.driver()).requestPool(request)
    assert.equal((await (await subject.driver()).requestPool(request)).poolId, poolId)
    const given: string[] = []
    for (let i = 0; i < 4; i++) given.push(await take(subject, poolId, `h${i}`))
    assert.deepEqual(given.map(addressOf), ['fd00:77::100', 'fd00:77::101', 'fd00:77::102', 'fd00:77::103'])
    await refused(take(subject, poolId, 'more'), 'Unavailable')
    assert.equal(await take(subject, poolId, 'h2'), 'fd00:77::102/64')
    assert.equal(await take(subject, poolId, 'named', 'FD00:77:0:0::9'), 'fd00:77::9/64')
    await refused(take(subject, poolId, 'other', 'fd00:77::9'), 'Conflict')
    await refused(take(subject, poolId, 'outside', 'fd00:78::9'), 'InvalidParameter')
    await refused(take(subject, poolId, 'four', '10.0.0.9'), 'InvalidParameter')
    await free(subject, poolId, 'h1')
    assert.equal(await take(subject, poolId, 'again'), 'fd00:77::101/64')
  })
}

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { formatIpBlock as formatBlock } from 'tsd-engine/sdk'
import { type IpamSubject, testIpamDriver } from 'tsd-engine/sdk/testing'
import { type Block, builtinPools, firstFree, parseBlock } from './blocks.js'
import { DefaultIpam } from './driver.js'
import { NullIpam } from './null.js'

type Subject = Omit<IpamSubject, 'driver'> & { driver(): Promise<DefaultIpam>; runDir: string }

function subject(occupied: Block[] = [], options: Record<string, unknown> = {}): Subject {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-ipam-'))
  const place = { dataDir: path.join(dir, 'data'), runDir: path.join(dir, 'run'), options }
  fs.mkdirSync(place.dataDir)
  fs.mkdirSync(place.runDir)
  let last: DefaultIpam | undefined
  return {
    runDir: place.runDir,
    async driver() {
      last?.dispose()
      last = new DefaultIpam(place, async () => occupied)
      return last
    },
    async remove() {
      last?.dispose()
      fs.rmSync(dir, { recursive: true })
    },
  }
}

testIpamDriver(
  (name, run) =>
    test(name, async (t) => {
      await run()
      t.pass()
    }),
  async () => subject(),
)

const request = { addressSpace: '', pool: '', subPool: '', options: {}, v6: false }

test('chosen pools avoid what the host has', async (t) => {
  const s = subject([parseBlock('172.16.0.0/12', ''), parseBlock('192.168.0.7/32', ''), parseBlock('192.168.16.0/24', '')])
  const pools: string[] = []
  for (let i = 0; i < 14; i++) pools.push((await (await s.driver()).requestPool(request)).pool)
  t.is(pools[0], '192.168.32.0/20')
  t.is(pools.at(-1), '192.168.240.0/20')
  await t.throwsAsync(async () => (await s.driver()).requestPool(request), { message: /fully subnetted/ })
  await s.remove()
})

test('configured pools are used in their order', async (t) => {
  const s = subject([], { 'default-address-pools': [{ base: '10.200.0.0/23', size: 24 }] })
  t.is((await (await s.driver()).requestPool(request)).pool, '10.200.0.0/24')
  t.is((await (await s.driver()).requestPool(request)).pool, '10.200.1.0/24')
  await t.throwsAsync(async () => (await s.driver()).requestPool(request))
  await s.remove()
})

test('IPv6 pools are unique local ones of the machine, or the configured ones; the other family stays as it is', async (t) => {
  const s = subject([parseBlock('2001:db8::/32', '')])
  const first = (await (await s.driver()).requestPool({ ...request, v6: true })).pool
  t.regex(first, /^fd[0-9a-f:]+::\/64$/)
  t.is((await (await s.driver()).requestPool(request)).pool, '172.17.0.0/16')
  await s.remove()
  const own = subject([parseBlock('2001:db8::/64', '')], { 'default-address-pools': [{ base: '2001:db8::/62', size: 64 }] })
  const pools: string[] = []
  for (let i = 0; i < 3; i++) pools.push((await (await own.driver()).requestPool({ ...request, v6: true })).pool)
  t.deepEqual(pools, ['2001:db8:0:1::/64', '2001:db8:0:2::/64', '2001:db8:0:3::/64'])
  await t.throwsAsync(async () => (await own.driver()).requestPool({ ...request, v6: true }), { message: /fully subnetted/ })
  t.is((await (await own.driver()).requestPool(request)).pool, '172.17.0.0/16')
  await t.throwsAsync(async () => (await own.driver()).requestPool({ ...request, pool: '10.0.0.0/24', v6: true }), {
    message: /not of IPv6/,
  })
  await own.remove()
})

test('the first built-in pool is that of Docker', (t) => {
  const block = firstFree(builtinPools, [])
  t.is(block && formatBlock(block), '172.17.0.0/16')
})

test('a pool asked for by a holder is given once', async (t) => {
  const s = subject()
  const first = await (await s.driver()).requestPool({ ...request, holder: 'n1' })
  t.deepEqual(await (await s.driver()).requestPool({ ...request, holder: 'n1' }), first)
  t.notDeepEqual(await (await s.driver()).requestPool({ ...request, holder: 'n2' }), first)
  await (await s.driver()).releasePool(first.poolId, 'n2')
  t.deepEqual(await (await s.driver()).requestPool({ ...request, holder: 'n1' }), first)
  await (await s.driver()).releasePool(first.poolId, 'n1')
  t.deepEqual(await (await s.driver()).requestPool({ ...request, holder: 'n3' }), first)
  await s.remove()
})

test('a line cut short by a kill is no allocation, and the next line is whole', async (t) => {
  const s = subject()
  const { poolId } = await (await s.driver()).requestPool({ ...request, pool: '10.9.0.0/24' })
  await (await s.driver()).requestAddress({ poolId, address: '10.9.0.5', holder: 'a', options: {} })
  const [file = ''] = fs.readdirSync(s.runDir)
  fs.appendFileSync(path.join(s.runDir, file), '* 10.9.0.6 b')
  t.is((await (await s.driver()).requestAddress({ poolId, address: '10.9.0.6', holder: 'c', options: {} })).address, '10.9.0.6/24')
  await t.throwsAsync(async () => (await s.driver()).requestAddress({ poolId, address: '10.9.0.6', holder: 'd', options: {} }))
  await t.throwsAsync(async () => (await s.driver()).requestAddress({ poolId, address: '10.9.0.5', holder: 'd', options: {} }))
  await s.remove()
})

test('two lives at once see what the other gave', async (t) => {
  const s = subject()
  const one = await s.driver()
  const { poolId } = await one.requestPool({ ...request, pool: '10.9.0.0/24' })
  const { address } = await one.requestAddress({ poolId, address: '', holder: 'a', options: {} })
  const two = await s.driver()
  const other = await two.requestAddress({ poolId, address: '', holder: 'b', options: {} })
  const third = await one.requestAddress({ poolId, address: '', holder: 'c', options: {} })
  t.is(new Set([address, other.address, third.address]).size, 3)
  one.dispose()
  await s.remove()
})

test('never two holders of one address, whatever happens in between', async (t) => {
  const operation = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('take' as const), holder: fc.nat(30) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('takeThis' as const), holder: fc.nat(30), host: fc.integer({ min: 1, max: 14 }) }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('free' as const), holder: fc.nat(30) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('tear' as const), holder: fc.nat(30) }) },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 120 }),
      fc.array(fc.boolean(), { minLength: 120, maxLength: 120 }),
      async (all, restarts) => {
        const s = subject()
        const held = new Map<string, string>()
        let driver = await s.driver()
        const { poolId } = await driver.requestPool({ ...request, pool: '10.9.0.0/28' })
        for (const [i, op] of all.entries()) {
          if (restarts[i]) driver = await s.driver()
          const holder = `h${op.holder}`
          if (op.kind === 'free') {
            await driver.releaseAddress(poolId, { address: '', holder })
            held.delete(holder)
          } else if (op.kind === 'tear') {
            for (const file of fs.readdirSync(s.runDir)) fs.appendFileSync(path.join(s.runDir, file), '* 10.9.0.3 tor')
            driver = await s.driver()
          } else {
            const address = op.kind === 'takeThis' ? `10.9.0.${op.host}` : ''
            const answer = await driver.requestAddress({ poolId, address, holder, options: {} }).catch(() => undefined)
            if (!answer) continue
            const before = held.get(holder)
            if (before !== undefined && before !== answer.address)
              throw new Error(`${holder} had ${before} and is answered ${answer.address}`)
            const other = [...held].find(([name, value]) => name !== holder && value === answer.address)
            if (other) throw new Error(`${answer.address} is held by ${other[0]} and given to ${holder}`)
            held.set(holder, answer.address)
          }
        }
        await s.remove()
      },
    ),
    { numRuns: 60 },
  )
  t.pass()
})

test('a journal does not grow with use', async (t) => {
  const s = subject()
  let driver = await s.driver()
  const { poolId } = await driver.requestPool({ ...request, pool: '10.9.0.0/16' })
  for (let i = 0; i < 2000; i++) {
    await driver.requestAddress({ poolId, address: '', holder: `h${i}`, options: {} })
    await driver.releaseAddress(poolId, { address: '', holder: `h${i}` })
  }
  driver = await s.driver()
  t.is((await driver.requestAddress({ poolId, address: '', holder: 'x', options: {} })).address, '10.9.7.209/16')
  const [file = ''] = fs.readdirSync(s.runDir)
  t.true(fs.statSync(path.join(s.runDir, file)).size < 200)
  await s.remove()
})

test('the null driver gives nothing', async (t) => {
  const driver = new NullIpam()
  t.is((await driver.requestPool(request)).pool, '0.0.0.0/0')
  t.is((await driver.requestAddress()).address, '')
  await t.throwsAsync(() => driver.requestPool({ ...request, pool: '10.0.0.0/8' }))
})

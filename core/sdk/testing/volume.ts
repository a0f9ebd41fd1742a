import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import path from 'node:path'
import { categoryOf } from '../errors.js'
import type { VolumeDriver } from '../kinds/volume.js'

/** One driver and what it keeps. */
export interface VolumeSubject {
  /** A new life of the driver on the same state, as after a kill. The last one is not used any more. */
  driver(): Promise<VolumeDriver>
  remove(): Promise<void>
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

/**
 * What every volume driver has to do. The driver is made anew for each call, and calls are repeated, as after a lost reply. `options` are those
 * of an ordinary volume.
 */
export function testVolumeDriver(
  register: (name: string, run: () => Promise<void>) => void,
  make: () => Promise<VolumeSubject>,
  options: Record<string, string> = {},
): void {
  const test = (name: string, run: (driver: VolumeDriver) => Promise<void>): void => {
    register(`volume: ${name}`, async () => {
      const subject = await make()
      const call = <K extends keyof VolumeDriver>(key: K): VolumeDriver[K] =>
        (async (...args: unknown[]) => {
          const driver = await subject.driver()
          return await (driver[key] as (...args: unknown[]) => Promise<unknown>).apply(driver, args)
        }) as unknown as VolumeDriver[K]
      try {
        await run({
          create: call('create'),
          remove: call('remove'),
          get: call('get'),
          list: call('list'),
          path: call('path'),
          mount: call('mount'),
          unmount: call('unmount'),
        })
      } finally {
        await subject.remove()
      }
    })
  }
  const names = async (driver: VolumeDriver): Promise<string[]> => (await driver.list()).map(({ name }) => name).sort()

  test('what is made is found, once', async (driver) => {
    assert.equal(await driver.get('data'), undefined)
    assert.deepEqual(await driver.list(), [])
    await driver.create('data', options)
    await driver.create('data', options)
    await driver.create('other', options)
    assert.equal((await driver.get('data'))?.name, 'data')
    assert.deepEqual(await names(driver), ['data', 'other'])
    const { createdAt } = (await driver.get('data')) ?? {}
    assert.ok(createdAt === undefined || Math.abs(Date.parse(createdAt) - Date.now()) < 60_000, `created at ${createdAt}`)
  })

  test('what is removed is gone, content and all', async (driver) => {
    await driver.remove('data')
    await driver.create('data', options)
    const { mountpoint } = await driver.mount('data', 'first')
    await fs.writeFile(path.join(mountpoint, 'file'), 'x')
    await driver.unmount('data', 'first')
    await driver.remove('data')
    await driver.remove('data')
    assert.equal(await driver.get('data'), undefined)
    assert.deepEqual(await driver.list(), [])
    await driver.create('data', options)
    const again = await driver.mount('data', 'second')
    assert.deepEqual(await fs.readdir(again.mountpoint), [])
    await driver.unmount('data', 'second')
  })

  test('a mount is a directory to write in, and its content stays', async (driver) => {
    await driver.create('data', options)
    const { mountpoint } = await driver.mount('data', 'first')
    assert.ok(path.isAbsolute(mountpoint))
    await fs.writeFile(path.join(mountpoint, 'file'), 'content')
    await driver.unmount('data', 'first')
    const again = await driver.mount('data', 'second')
    assert.equal(await fs.readFile(path.join(again.mountpoint, 'file'), 'utf8'), 'content')
    await driver.unmount('data', 'second')
  })

  test('holders share one path, which stays until the last has left', async (driver) => {
    await driver.create('data', options)
    const { mountpoint } = await driver.mount('data', 'first')
    assert.deepEqual(await driver.mount('data', 'first'), { mountpoint })
    assert.deepEqual(await driver.mount('data', 'second'), { mountpoint })
    await fs.writeFile(path.join(mountpoint, 'file'), 'content')
    await driver.unmount('data', 'first')
    await driver.unmount('data', 'first')
    await driver.unmount('data', 'nobody')
    assert.equal(await driver.path('data'), mountpoint)
    assert.equal(await fs.readFile(path.join(mountpoint, 'file'), 'utf8'), 'content')
    await refused(driver.remove('data'), 'Conflict')
    await driver.unmount('data', 'second')
    await driver.remove('data')
  })

  test('holders may bear any name', async (driver) => {
    await driver.create('data', options)
    const holders = ['../../x', 'a/b', ' ', '\u{1f600}', 'x'.repeat(1000)]
    for (const holder of holders) await driver.mount('data', holder)
    for (const holder of holders) {
      await refused(driver.remove('data'), 'Conflict')
      await driver.unmount('data', holder)
    }
    await driver.remove('data')
  })

  test('calls for what does not exist', async (driver) => {
    await refused(driver.mount('data', 'first'), 'NotFound')
    await driver.unmount('data', 'first')
    assert.equal(await driver.path('data'), undefined)
    assert.equal(await driver.get('../data'), undefined)
    await driver.remove('../data')
  })

  test('bad options and names that lead elsewhere are refused', async (driver) => {
    await refused(driver.create('data', { 'no-such-option': 'x' }), 'InvalidParameter')
    for (const name of ['../data', 'a/b', '.', '..', '']) await refused(driver.create(name, options), 'InvalidParameter')
    assert.deepEqual(await driver.list(), [])
  })

  test('calls side by side', async (driver) => {
    await Promise.all(Array.from({ length: 8 }, (_, i) => driver.create(`data${i}`, options)))
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => driver.mount(`data${i % 2}`, `holder ${i}`)))
    assert.equal(new Set(all.map(({ mountpoint }) => mountpoint)).size, 2)
    await Promise.all(Array.from({ length: 8 }, (_, i) => driver.unmount(`data${i % 2}`, `holder ${i}`)))
    await Promise.all(Array.from({ length: 8 }, (_, i) => driver.remove(`data${i}`)))
    assert.deepEqual(await driver.list(), [])
  })
}

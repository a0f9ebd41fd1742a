import test, { type ExecutionContext } from 'ava'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { categoryOf } from '../sdk/errors.js'
import type { VolumeDriver } from '../sdk/kinds/volume.js'
import type { DriverContext } from '../sdk/ports.js'
import type { DriverServices } from './contexts.js'
import { ProcessHost } from './host-process.js'
import { parseManifest } from './manifest.js'
import { linkEngine } from './versions.js'

const packageRoot = fileURLToPath(new URL('../../..', import.meta.url))

const code = `import { defineDriver, conflict, unavailable } from 'tsd-engine/sdk'
import fs from 'node:fs/promises'
import path from 'node:path'
class Volumes {
  constructor(ctx) { this.ctx = ctx }
  at(name) { return path.join(this.ctx.dataDir, name) }
  async create(name) {
    if (name === 'die') { try { await fs.mkdir(this.at(name)); process.kill(process.pid, 'SIGKILL') } catch {} }
    this.ctx.logger.info('creating', { name })
    await fs.mkdir(this.at(name), { recursive: true })
  }
  async remove(name) { throw conflict('volume is in use', { code: 'EBUSY' }) }
  async list() { return (await fs.readdir(this.ctx.dataDir)).map((name) => ({ name })) }
  async get(name) { return (await this.list()).find((one) => one.name === name) }
  async path(name) { return this.at(name) }
  async mount(name) { await this.ctx.mounter.mount([{ type: 'tmpfs', source: 'x', options: [] }], this.at(name)); return { mountpoint: this.at(name) } }
  async unmount(name) { throw unavailable(String(process.pid)) }
  async dispose() { await fs.writeFile(this.ctx.dataDir + '-disposed', '') }
}
export default defineDriver({ kind: 'volume', name: 'v', probe: async (ctx) => ctx.options.refuse ? { ok: false, reason: 'told to' } : { ok: true }, create: (ctx) => new Volumes(ctx) })
`

async function world(t: ExecutionContext) {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-process-'))
  const folder = path.join(root, 'plugins', 'proc')
  await fs.mkdir(folder, { recursive: true })
  await fs.writeFile(path.join(folder, 'package.json'), '{"type":"module"}')
  await linkEngine(path.join(root, 'plugins'), packageRoot)
  await fs.writeFile(path.join(folder, 'index.js'), code)
  await fs.mkdir(path.join(root, 'data'))
  const lines: string[] = []
  const mounted: unknown[] = []
  const logger = {
    debug: () => undefined,
    info: (m: string) => void lines.push(m),
    warn: (m: string) => void lines.push(m),
    error: (m: string) => void lines.push(m),
  }
  const services = {
    loggerFor: () => logger,
    mounter: { mount: (instructions: unknown, target: string) => (mounted.push([instructions, target]), Promise.resolve()) },
  } as unknown as DriverServices
  const manifest = parseManifest(
    JSON.stringify({
      name: 'proc',
      version: '1.0.0',
      type: 'module',
      tsd: { isolation: 'process', kinds: [{ kind: 'volume', name: 'v' }] },
    }),
    'x',
  )
  const pids: number[] = []
  const host = new ProcessHost(manifest, () => Promise.resolve(folder), {
    directory: path.join(root, 'hosts'),
    services,
    logger,
    onStart: (pid) => pids.push(pid),
  })
  const context = (options: object = {}) =>
    ({ name: 'v', dataDir: path.join(root, 'data'), runDir: path.join(root, 'run'), options, daemon: {} }) as unknown as DriverContext
  t.teardown(async () => {
    await host.dispose()
    await fs.rm(root, { recursive: true })
  })
  const hosted = await host.driver('volume', 'v')
  return { root, host, hosted, context, lines, mounted, pids }
}

const pidOf = async (driver: VolumeDriver): Promise<number> => {
  try {
    await driver.unmount('x', 'h')
  } catch (error) {
    return Number((error as Error).message)
  }
  throw new Error('expected a refusal')
}

test('a driver in a process of its own: calls, errors, log, services, end', async (t) => {
  const { root, host, hosted, context, lines, mounted } = await world(t)
  t.deepEqual(await hosted.probe(context({ refuse: true })), { ok: false, reason: 'told to' })
  t.deepEqual(await hosted.probe(context()), { ok: true })
  const driver = await hosted.create(context())
  await driver.create('a', {})
  t.deepEqual(await driver.list(), [{ name: 'a' }])
  t.is(categoryOf(await t.throwsAsync(driver.remove('a'), { message: 'volume is in use' })), 'Conflict')
  t.not(await pidOf(driver), process.pid)
  t.deepEqual(await driver.mount('a', 'h'), { mountpoint: path.join(root, 'data/a') })
  t.deepEqual(mounted, [[[{ type: 'tmpfs', source: 'x', options: [] }], path.join(root, 'data/a')]])
  t.true(lines.includes('creating'))
  const pid = await pidOf(driver)
  await driver.dispose?.()
  await fs.access(path.join(root, 'data-disposed'))
  await host.dispose()
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

test('a crash in mid call, and kill -9, are survived by whoever holds the driver', async (t) => {
  const { hosted, context, host, pids } = await world(t)
  const driver = await hosted.create(context())
  await driver.create('die', {})
  t.deepEqual(await driver.list(), [{ name: 'die' }])
  for (let round = 0; round < 2; round++) {
    const pid = await pidOf(driver)
    const calls = Array.from({ length: 10 }, (_, i) => driver.create(`v${i}`, {}))
    process.kill(pid, 'SIGKILL')
    await Promise.all(calls)
    t.not(await pidOf(driver), pid)
  }
  t.is((await driver.list()).length, 11)
  t.is(host.inspect()['Restarts'], 3)
  t.is(pids.length, 4)
})

test('the child ends by itself when the daemon is gone', async (t) => {
  const { hosted, context, host } = await world(t)
  const driver = await hosted.create(context())
  const pid = await pidOf(driver)
  const child = await (host as unknown as { running: Promise<import('node:child_process').ChildProcess> }).running
  ;(host as unknown as { stopping: boolean }).stopping = true
  child.stdin?.destroy()
  for (let i = 0; i < 100 && child.exitCode === null; i++) await sleep(50)
  t.is(child.exitCode, 0)
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

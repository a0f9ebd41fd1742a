import fs from 'node:fs'
import path from 'node:path'
import type { DriverContext } from 'tsd-engine/sdk'
import { testGraphDriver } from 'tsd-engine/sdk/testing'
import { WorkerArchiver } from '../../../core/platform/archiver/archiver.js'
import { graphContext, graphSubject, hostMounter } from '../../../test/fixtures/graph.js'
import { mountsBelow, needs, tempDir } from '../../../test/fixtures/root.js'
import { Overlay2 } from './driver.js'
import { probe } from './probe.js'

const overlayTest = needs('root', 'overlay')

async function made(ctx: DriverContext): Promise<Overlay2> {
  const driver = new Overlay2(ctx)
  await driver.init()
  return driver
}

testGraphDriver((name, run) => overlayTest(name, async (t) => void (await t.notThrowsAsync(run))), graphSubject(made))

overlayTest('the probe tries a real mount and leaves nothing', async (t) => {
  const dir = tempDir(t)
  const archiver = new WorkerArchiver()
  t.deepEqual(await probe(graphContext(dir, archiver)), { ok: true })
  t.deepEqual(fs.readdirSync(path.join(dir, 'data')), [])
  t.deepEqual(mountsBelow(dir), [])
  const shm = fs.mkdtempSync('/dev/shm/tsd-overlay-')
  t.teardown(() => fs.rmSync(shm, { recursive: true, force: true }))
  const refusing = { ...graphContext(shm, archiver), mounter: { ...hostMounter, mount: () => Promise.reject(new Error('wrong fs type')) } }
  const verdict = await probe(refusing)
  t.false(verdict.ok)
  t.regex(verdict.ok ? '' : verdict.reason, /cannot be mounted.*wrong fs type/)
  const comma = await probe({ ...graphContext(dir, archiver), dataDir: path.join(dir, 'a,b') })
  t.regex(comma.ok ? '' : comma.reason, /comma/)
})

overlayTest('128 layers fit one mount, the 130th is refused', async (t) => {
  const dir = fs.mkdtempSync('/tmp/o-')
  t.teardown(() => {
    for (const target of mountsBelow(dir)) void hostMounter.unmount(target)
    fs.rmSync(dir, { recursive: true, force: true })
  })
  const driver = await made(graphContext(dir, new WorkerArchiver()))
  const name = (at: number): string => `${at}`
  for (let at = 0; at < 128; at++) await driver.create(name(at), at === 0 ? undefined : name(at - 1))
  await driver.createReadWrite('rw', '127')
  const [overlay] = await driver.prepare('rw', 'me')
  const lower = overlay?.options.find((option) => option.startsWith('lowerdir=')) ?? ''
  t.is(lower.split(':').length, 128)
  t.true((overlay?.options.join(',').length ?? 0) < 4000, `${overlay?.options.join(',').length} bytes`)
  const target = path.join(dir, 'm')
  fs.mkdirSync(target)
  await hostMounter.mount(overlay === undefined ? [] : [overlay], target)
  fs.writeFileSync(path.join(target, 'x'), '')
  await hostMounter.unmount(target)
  await driver.create('128', '127')
  await t.throwsAsync(driver.createReadWrite('too-deep', '128'), { message: /max depth exceeded/ })
  await driver.dispose()
})

overlayTest('options that need quotas are refused with the reason', async (t) => {
  const dir = tempDir(t)
  await t.throwsAsync(made(graphContext(dir, new WorkerArchiver(), { size: '1G' })), {
    message: /only supported for backingFS XFS. Found extfs/,
  })
  const driver = await made(graphContext(dir, new WorkerArchiver()))
  await t.throwsAsync(driver.createReadWrite('rw', undefined, { storageOpt: { size: '1G' } }), { message: /pquota/ })
})

overlayTest('leftovers of a killed daemon are gone after init', async (t) => {
  const dir = tempDir(t)
  const ctx = graphContext(dir, new WorkerArchiver())
  const driver = await made(ctx)
  await driver.create('one', undefined)
  fs.mkdirSync(path.join(ctx.dataDir, '.trash/old/diff/deep'), { recursive: true })
  fs.mkdirSync(path.join(ctx.dataDir, '.staging/half/diff'), { recursive: true })
  fs.symlinkSync('../nowhere/diff', path.join(ctx.dataDir, 'l/DANGLE'))
  const next = await made(ctx)
  await next.dispose()
  t.deepEqual(fs.readdirSync(path.join(ctx.dataDir, '.trash')), [])
  t.deepEqual(fs.readdirSync(path.join(ctx.dataDir, '.staging')), [])
  t.is(fs.readdirSync(path.join(ctx.dataDir, 'l')).length, 1)
  t.deepEqual(await next.list(), ['one'])
})

overlayTest('metadata as Docker shows it', async (t) => {
  const driver = await made(graphContext(tempDir(t), new WorkerArchiver()))
  await driver.create('one', undefined)
  await driver.createReadWrite('rw', 'one')
  const data = await driver.metadata('rw')
  t.deepEqual(Object.keys(data), ['LowerDir', 'MergedDir', 'UpperDir', 'WorkDir'])
  t.regex(data.LowerDir ?? '', /\/one\/diff$/)
  t.regex(data.UpperDir ?? '', /\/rw\/diff$/)
  t.deepEqual(
    (await driver.status()).map(([key]) => key),
    ['Backing Filesystem', 'Supports d_type', 'Using metacopy', 'Native Overlay Diff', 'userxattr'],
  )
})

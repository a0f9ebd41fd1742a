import { execFile, execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { DriverContext, MountInstruction, TsdError } from 'tsd-engine/sdk'
import { testVolumeDriver } from 'tsd-engine/sdk/testing'
import { mountsBelow, rootTest, tempDir } from '../../../test/fixtures/root.js'
import { LocalVolumes } from './driver.js'
import { mountInstruction, parseOptions } from './options.js'

const run = promisify(execFile)

type Context = Pick<DriverContext, 'dataDir' | 'runDir' | 'mounter' | 'archiver' | 'logger'>

/** Mounts with mount(8), deletes with rm. */
function context(dir: string): Context {
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const mounter: Context['mounter'] = {
    async mount(instructions: MountInstruction[], target) {
      for (const { type, source, options } of instructions)
        await run(
          'mount',
          type === 'bind'
            ? ['--bind', source, target]
            : ['-t', type, ...(options.length > 0 ? ['-o', options.join(',')] : []), source, target],
        )
    },
    async unmount(target) {
      if (mountsBelow(target).length > 0) await run('umount', [target])
    },
    mounted: (target) => Promise.resolve(mountsBelow(target).includes(target)),
  }
  const archiver = { remove: (target: string) => fs.promises.rm(target, { recursive: true }) } as unknown as Context['archiver']
  const [dataDir, runDir] = [path.join(dir, 'data'), path.join(dir, 'run')]
  fs.mkdirSync(dataDir, { recursive: true })
  fs.mkdirSync(runDir, { recursive: true })
  return { dataDir, runDir, mounter, archiver, logger }
}

function setUp(t: ExecutionContext): { ctx: Context; driver: LocalVolumes } {
  const ctx = context(tempDir(t, 'volume'))
  return { ctx, driver: new LocalVolumes(ctx) }
}

testVolumeDriver(
  (name, body) => test(name, async (t) => t.notThrowsAsync(body)),
  () => {
    const dir = fs.mkdtempSync('/tmp/tsd-volume-')
    const ctx = context(dir)
    return Promise.resolve({
      driver: () => Promise.resolve(new LocalVolumes(ctx)),
      remove: () => fs.promises.rm(dir, { recursive: true, force: true }),
    })
  },
)

test('names and options are refused in words that clients know', async (t) => {
  const { driver } = setUp(t)
  const refused: [string, Record<string, string>, string][] = [
    ['x', {}, 'volume name is too short, names should be at least two alphanumeric characters'],
    [
      'a/b',
      {},
      '"a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
    ],
    ['data', { type: 'tmpfs' }, 'missing required option: "device"'],
    ['data', { device: '/x' }, 'missing required option: "type"'],
    ['data', { o: 'ro' }, 'missing required option: "device"'],
    ['data', { size: '1g' }, 'quota size requested but no quota support'],
    ['data', { type: 'none', o: 'bind', device: 'relative' }, 'a bind needs an absolute path as device, not "relative"'],
  ]
  for (const [name, options, message] of refused) {
    const error = await t.throwsAsync<TsdError>(driver.create(name, options), { message })
    t.is(error.category, 'InvalidParameter')
  }
  await t.throwsAsync(driver.create('data', { nope: '1' }), { message: /^invalid option: "nope"/ })
})

test('the same name with other options is a conflict', async (t) => {
  const { driver } = setUp(t)
  await driver.create('data', { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' })
  await driver.create('data', { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' })
  const error = await t.throwsAsync<TsdError>(driver.create('data', {}))
  t.is(error.category, 'Conflict')
})

test('a symlink in place of a volume or of its data is never followed', async (t) => {
  const { ctx, driver } = setUp(t)
  const outside = tempDir(t)
  fs.writeFileSync(path.join(outside, 'precious'), '')
  await driver.create('data', {})
  fs.rmdirSync(path.join(ctx.dataDir, 'data/_data'))
  fs.symlinkSync(outside, path.join(ctx.dataDir, 'data/_data'))
  fs.mkdirSync(path.join(outside, '_data'))
  fs.symlinkSync(outside, path.join(ctx.dataDir, 'linked'))
  for (const name of ['data', 'linked']) {
    t.is(await driver.get(name), undefined)
    await t.throwsAsync(driver.mount(name, 'x'), { message: `no such volume: ${name}` })
    await driver.remove(name)
    const error = await t.throwsAsync<TsdError>(driver.create(name, {}))
    t.is(error.category, 'Conflict')
  }
  t.true(fs.existsSync(path.join(outside, 'precious')))
})

test('what a crash left half done is swept', async (t) => {
  const { ctx, driver } = setUp(t)
  fs.mkdirSync(path.join(ctx.dataDir, '.new-0123/_data'), { recursive: true })
  fs.mkdirSync(path.join(ctx.dataDir, '.trash-0123/_data'), { recursive: true })
  t.deepEqual(await driver.list(), [])
  await driver.sweep()
  t.deepEqual(fs.readdirSync(ctx.dataDir), [])
})

test('options become mounts; host names become addresses', async (t) => {
  const instruction = async (options: Record<string, string>): Promise<MountInstruction> => {
    const parsed = parseOptions(options)
    if (parsed === undefined) throw new Error('no options')
    return await mountInstruction(parsed)
  }
  t.deepEqual(await instruction({ type: 'tmpfs', device: 'tmpfs', o: 'size=10m,uid=1000' }), {
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['size=10m', 'uid=1000'],
  })
  t.deepEqual(await instruction({ type: 'none', device: '/srv', o: 'bind,ro' }), { type: 'bind', source: '/srv', options: ['bind', 'ro'] })
  t.deepEqual((await instruction({ type: 'nfs', device: ':/x', o: 'addr=10.0.0.1,rw' })).options, ['addr=10.0.0.1', 'rw'])
  t.deepEqual((await instruction({ type: 'cifs', device: '//127.0.0.1/share', o: 'username=u' })).options, ['username=u', 'addr=127.0.0.1'])
  await t.throwsAsync(instruction({ type: 'nfs', device: ':/x', o: 'addr=no-such-host.invalid' }), {
    message: /^error resolving passed in network volume address: /,
  })
})

rootTest('a device is mounted for the first holder and unmounted after the last, whatever crashes between', async (t) => {
  const { ctx, driver } = setUp(t)
  await driver.create('data', { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' })
  const data = path.join(ctx.dataDir, 'data/_data')
  t.is(await driver.path('data'), undefined)
  await driver.mount('data', 'first')
  await driver.mount('data', 'second')
  t.deepEqual(mountsBelow(data), [data])
  t.regex(execFileSync('findmnt', ['-n', '-o', 'OPTIONS', data], { encoding: 'utf8' }), /size=1024k/)
  fs.writeFileSync(path.join(data, 'file'), 'x')
  const reborn = new LocalVolumes(ctx)
  await reborn.unmount('data', 'first')
  t.deepEqual(mountsBelow(data), [data])
  // Unmounted, and killed before the holder was forgotten.
  execFileSync('umount', [data])
  await reborn.unmount('data', 'second')
  t.deepEqual(mountsBelow(data), [])
  t.is(await reborn.path('data'), undefined)
  t.deepEqual(fs.readdirSync(ctx.runDir), [])
  await reborn.remove('data')
})

rootTest('a mount that fails leaves nothing, and tells no password', async (t) => {
  const { ctx, driver } = setUp(t)
  await driver.create('data', { type: 'cifs', device: '//127.0.0.1/share', o: 'username=u,password=secret' })
  const error = await t.throwsAsync(driver.mount('data', 'first'), { message: /^failed to mount local volume: / })
  t.false(error.message.includes('secret'))
  t.deepEqual(fs.readdirSync(ctx.runDir), [])
  await driver.remove('data')
})

rootTest('removing never deletes what is mounted there', async (t) => {
  const { ctx, driver } = setUp(t)
  const precious = tempDir(t)
  fs.writeFileSync(path.join(precious, 'file'), '')
  const data = path.join(ctx.dataDir, 'data/_data')
  // A holder forgotten by a crash: ours to unmount.
  await driver.create('data', { type: 'none', device: precious, o: 'bind' })
  execFileSync('mount', ['--bind', precious, data])
  await driver.remove('data')
  t.deepEqual(mountsBelow(data), [])
  // Somebody else's mount inside an ordinary volume.
  await driver.create('data', {})
  fs.mkdirSync(path.join(data, 'sub'))
  execFileSync('mount', ['--bind', precious, path.join(data, 'sub')])
  const error = await t.throwsAsync<TsdError>(driver.remove('data'), { message: /^volume has active mounts/ })
  t.is(error.category, 'Conflict')
  execFileSync('umount', [path.join(data, 'sub')])
  await driver.remove('data')
  t.true(fs.existsSync(path.join(precious, 'file')))
})

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { mountsBelow, needs, rootTest, tempDir } from '../../test/fixtures/root.js'
import { HelperMounter } from './mounter.js'
import { ShimSpawner } from './spawner.js'

needs('root', 'overlay')('an overlay and a read-only bind come and go, however often asked', async (t) => {
  const dir = tempDir(t, 'mounter')
  const spawner = new ShimSpawner()
  t.teardown(() => spawner.stop())
  const mounter = new HelperMounter(spawner)
  const at = (name: string) => path.join(dir, name)
  for (const name of ['a', 'b', 'up', 'work', 'over lay', 'bind']) fs.mkdirSync(at(name))
  fs.writeFileSync(path.join(at('a'), 'x'), 'from a')
  fs.writeFileSync(path.join(at('b'), 'x'), 'from b')
  const overlay = {
    type: 'overlay',
    source: 'overlay',
    options: [`lowerdir=${at('a')}:${at('b')}`, `upperdir=${at('up')}`, `workdir=${at('work')}`, 'nodev'],
  }
  await mounter.mount([overlay], at('over lay'))
  await mounter.mount([overlay], at('over lay'))
  t.is(mountsBelow(at('over lay')).length, 1)
  t.is(fs.readFileSync(path.join(at('over lay'), 'x'), 'utf8'), 'from a')
  t.true(await mounter.mounted(at('over lay')))
  await mounter.mount([{ type: 'bind', source: at('a'), options: ['ro', 'rbind', 'rprivate'] }], at('bind'))
  t.throws(() => fs.writeFileSync(path.join(at('bind'), 'y'), ''), { code: 'EROFS' })
  for (const name of ['over lay', 'bind', 'bind']) await mounter.unmount(at(name))
  t.false(await mounter.mounted(at('over lay')))
  t.deepEqual(mountsBelow(dir), [])
})

rootTest('a busy mount is refused, and lazily let go', async (t) => {
  const dir = tempDir(t, 'mounter')
  const spawner = new ShimSpawner()
  t.teardown(() => spawner.stop())
  const mounter = new HelperMounter(spawner)
  await mounter.mount([{ type: 'tmpfs', source: 'tmpfs', options: ['size=1m'] }], dir)
  const fd = fs.openSync(path.join(dir, 'open'), 'w')
  t.like(await t.throwsAsync(mounter.unmount(dir)), { code: 'EBUSY' })
  await mounter.unmount(dir, { lazy: true })
  fs.closeSync(fd)
  t.false(await mounter.mounted(dir))
})

rootTest('a mount that fails leaves nothing and says what the kernel said', async (t) => {
  const dir = tempDir(t, 'mounter')
  const spawner = new ShimSpawner()
  t.teardown(() => spawner.stop())
  const mounter = new HelperMounter(spawner)
  const good = { type: 'tmpfs', source: 'tmpfs', options: [] }
  const error = await t.throwsAsync(mounter.mount([good, { type: 'tmpfs', source: 'tmpfs', options: ['nonsense=1'] }], dir))
  t.regex(error.message, /mount on .*: fsmount nonsense=1: invalid argument \(EINVAL\).*nonsense/)
  t.deepEqual(mountsBelow(dir), [])
  await t.throwsAsync(mounter.mount([{ type: 'bind', source: dir, options: ['size=1'] }], dir), {
    message: /a bind mount has no option "size=1"/,
  })
  t.is(execFileSync('stat', ['-c', '%F', dir], { encoding: 'utf8' }), 'directory\n')
})

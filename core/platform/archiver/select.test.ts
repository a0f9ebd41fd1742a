import fs from 'node:fs'
import path from 'node:path'
import { execFileSync } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { ExecutionContext } from 'ava'
import { rootTest, tempDir } from '../../../test/fixtures/root.js'
import { WorkerArchiver } from './archiver.js'

function tree(t: ExecutionContext): { root: string; archiver: WorkerArchiver } {
  const dir = tempDir(t, 'select')
  const root = path.join(dir, 'root')
  fs.mkdirSync(path.join(root, 'var/deep'), { recursive: true })
  fs.mkdirSync(path.join(root, 'run'), { mode: 0o750 })
  fs.writeFileSync(path.join(dir, 'outside'), 'of the host')
  fs.writeFileSync(path.join(root, 'run/file'), 'inside')
  fs.writeFileSync(path.join(root, 'run/fig'), 'fig')
  fs.symlinkSync('/run', path.join(root, 'var/run'))
  fs.symlinkSync('../../../../../../outside', path.join(root, 'var/up'))
  fs.symlinkSync(path.join(dir, 'outside'), path.join(root, 'var/out'))
  fs.symlinkSync('loop', path.join(root, 'loop'))
  const archiver = new WorkerArchiver()
  t.teardown(() => archiver.dispose())
  return { root, archiver }
}

async function listed(t: ExecutionContext, tar: Readable): Promise<string> {
  const file = path.join(tempDir(t, 'listed'), 'x.tar')
  const chunks: Buffer[] = []
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk)
  fs.writeFileSync(file, Buffer.concat(chunks))
  return execFileSync('tar', ['--numeric-owner', '-tvf', file], { encoding: 'utf8', env: { ...process.env, TZ: 'UTC' } }).replace(
    / +/g,
    ' ',
  )
}

rootTest('places are found inside the root, links followed', async (t) => {
  const { root, archiver } = tree(t)
  const place = await archiver.locate(root, '/var/run/new/below')
  t.like(place, { path: 'run/new/below', kind: 'absent', missing: ['new', 'below'] })
  t.like(place.parents[0], { path: 'run', mode: 0o750, uid: 0, gid: 0 })
  t.like(await archiver.locate(root, 'var/run/file'), { path: 'run/file', kind: 'file', size: 6, missing: [] })
  t.like(await archiver.locate(root, 'var/up'), { path: 'outside', kind: 'absent' })
  t.is((await archiver.locate(root, 'var/out')).kind, 'absent')
  t.like(await archiver.locate(root, '/'), { path: '', kind: 'directory', parents: [] })
  await t.throwsAsync(archiver.locate(root, 'loop'), { message: /too many symbolic links/ })
  await t.throwsAsync(archiver.locate(root, 'run/file/x'), { message: /file is not a directory/ })
})

rootTest('patterns are tried on names, and lead where links lead', async (t) => {
  const { root, archiver } = tree(t)
  const [glob, literal, none] = await archiver.match(root, ['var/r*/fi*', 'missing', 'x*'])
  t.deepEqual(
    glob?.map(({ name, place }) => [name, place.path]),
    [
      ['var/run/fig', 'run/fig'],
      ['var/run/file', 'run/file'],
    ],
  )
  t.deepEqual(
    literal?.map(({ place }) => place.kind),
    ['absent'],
  )
  t.deepEqual(none, [])
})

rootTest('files are read inside the root, up to a limit', async (t) => {
  const { root, archiver } = tree(t)
  t.is((await archiver.read(root, 'var/run/file', 10))?.toString(), 'inside')
  t.is(await archiver.read(root, 'var/out', 100), undefined)
  await t.throwsAsync(archiver.read(root, 'var/run/file', 3), { message: /more than the 3/ })
  await t.throwsAsync(archiver.read(root, 'run', 3), { message: /no regular file/ })
})

rootTest('what is gathered bears its new names, owners and modes; its digest knows no times', async (t) => {
  const { root, archiver } = tree(t)
  fs.linkSync(path.join(root, 'run/file'), path.join(root, 'run/linked'))
  const directories = [{ path: 'app', mode: 0o711, uid: 3, gid: 4, mtimeSec: 0 }]
  const items = [
    { from: 'run', to: 'app/all', owner: { uid: 1, gid: 2 } },
    { from: 'run/fig', to: 'app/one' },
  ]
  const text = await listed(t, archiver.gather(root, { items, directories, mode: 0o640, times: false }))
  t.is(
    text,
    [
      'drwx--x--x 3/4 0 1970-01-01 00:00 app/',
      '-rw-r----- 1/2 3 1970-01-01 00:00 app/all/fig',
      '-rw-r----- 1/2 6 1970-01-01 00:00 app/all/file',
      'hrw-r----- 1/2 0 1970-01-01 00:00 app/all/linked link to app/all/file',
      '-rw-r----- 0/0 3 1970-01-01 00:00 app/one',
      '',
    ].join('\n'),
  )
  const digest = (): Promise<string> => archiver.digest(root, { items, directories, times: true })
  const before = await digest()
  fs.utimesSync(path.join(root, 'run/fig'), 5, 5)
  t.is(await digest(), before)
  fs.writeFileSync(path.join(root, 'run/fig'), 'gif')
  const changed = await digest()
  t.not(changed, before)
  fs.chmodSync(path.join(root, 'run/fig'), 0o700)
  t.not(await digest(), changed)
})

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import type { ExecutionContext } from 'ava'
import { pack, type Header } from 'tar-stream'
import { categoryOf } from '../../sdk/errors.js'
import type { UnpackOptions } from '../../sdk/ports.js'
import { rootTest, tempDir } from '../../../test/fixtures/root.js'
import { WorkerArchiver } from './archiver.js'
import { encodeHeader, padding, trailer } from './tar-writer.js'
import type { TarEntry } from './tar-reader.js'

interface Entry extends Partial<Header> {
  name: string
  content?: string
}

async function tarOf(entries: Entry[]): Promise<Buffer> {
  const tar = pack()
  for (const { content = '', ...entry } of entries) {
    const header = { mode: 0o755, mtime: new Date(0), uid: 0, gid: 0, ...entry }
    if ((entry.type ?? 'file') === 'file') tar.entry(header, Buffer.from(content))
    else tar.entry({ ...header, size: 0 })
  }
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** A header exactly as given, for what honest writers refuse to write. */
function raw(entry: Partial<TarEntry> & { name: string }, content = ''): Buffer {
  const body = Buffer.from(content)
  const whole: TarEntry = {
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    mtimeSec: 0,
    mtimeNsec: 0,
    linkname: '',
    major: 0,
    minor: 0,
    xattrs: [],
    ...entry,
  }
  return Buffer.concat([encodeHeader(whole), body, padding(body.length)])
}

interface Place {
  archiver: WorkerArchiver
  root: string
  /** Beside the root: what a hostile archive must not touch. */
  outside: string
}

function place(t: ExecutionContext): Place {
  const dir = tempDir(t, 'archiver')
  const archiver = new WorkerArchiver()
  t.teardown(() => archiver.dispose())
  for (const name of ['root', 'outside']) fs.mkdirSync(path.join(dir, name))
  fs.writeFileSync(path.join(dir, 'outside/secret'), 'secret')
  return { archiver, root: path.join(dir, 'root'), outside: path.join(dir, 'outside') }
}

type Options = Partial<UnpackOptions>

const unpack = (p: Place, tar: Buffer, options: Options = {}): Promise<{ size: number; entries: number }> =>
  p.archiver.unpack(Readable.from([tar]), { root: p.root, whiteouts: 'overlay', ...options })

async function refused(t: ExecutionContext, p: Place, tar: Buffer, message: RegExp, options: Options = {}): Promise<void> {
  const error = await t.throwsAsync(unpack(p, tar, options), { message })
  t.is(categoryOf(error), 'InvalidParameter')
  t.deepEqual(fs.readdirSync(p.outside), ['secret'])
  t.is(fs.readFileSync(path.join(p.outside, 'secret'), 'utf8'), 'secret')
}

rootTest('.. is refused, absolute paths are taken from the root', async (t) => {
  const p = place(t)
  await refused(t, p, raw({ name: '../outside/new' }, 'x'), /"\.\.\/outside\/new": the path leads out of the root/)
  await refused(t, p, raw({ name: 'a/../../outside/new' }, 'x'), /leads out of the root/)
  await unpack(p, raw({ name: '/etc/absolute' }, 'x'))
  await unpack(p, raw({ name: '/../../etc/climbing' }, 'x'))
  t.deepEqual(fs.readdirSync(path.join(p.root, 'etc')).sort(), ['absolute', 'climbing'])
})

rootTest('symbolic links lead nowhere but inside', async (t) => {
  const p = place(t)
  const links = [p.outside, '../outside', '../../../../../../../../' + p.outside]
  for (const [at, linkname] of links.entries()) {
    await unpack(
      p,
      Buffer.concat([raw({ name: `link${at}`, type: 'symlink', linkname }), raw({ name: `link${at}/secret` }, 'overwritten')]),
    ).catch(() => undefined)
    t.is(fs.readlinkSync(path.join(p.root, `link${at}`)), linkname)
    await refused(
      t,
      p,
      Buffer.concat([raw({ name: 'loop', type: 'symlink', linkname: 'loop' }), raw({ name: 'loop/x' }, '')]),
      /too many symbolic links/,
    )
  }
  // A link inside the archive is followed as it would be in the container.
  await unpack(
    p,
    Buffer.concat([
      raw({ name: 'run/', type: 'directory' }),
      raw({ name: 'var/run', type: 'symlink', linkname: '/run' }),
      raw({ name: 'var/run/pid' }, '1'),
    ]),
  )
  t.is(fs.readFileSync(path.join(p.root, 'run/pid'), 'utf8'), '1')
  // A file replaces a link of its name, and is not written through it.
  await unpack(
    p,
    Buffer.concat([raw({ name: 'through', type: 'symlink', linkname: `${p.outside}/secret` }), raw({ name: 'through' }, 'inside')]),
  )
  t.true(fs.lstatSync(path.join(p.root, 'through')).isFile())
  t.is(fs.readFileSync(path.join(p.outside, 'secret'), 'utf8'), 'secret')
})

rootTest('hard links lead nowhere but inside', async (t) => {
  const p = place(t)
  const secret = path.join(p.outside, 'secret')
  await refused(t, p, raw({ name: 'hard', type: 'link', linkname: secret }), /hard link's target/)
  await refused(t, p, raw({ name: 'hard', type: 'link', linkname: '../outside/secret' }), /leads out of the root/)
  await refused(
    t,
    p,
    Buffer.concat([
      raw({ name: 'out', type: 'symlink', linkname: p.outside }),
      raw({ name: 'hard', type: 'link', linkname: 'out/secret' }),
    ]),
    /hard link's target/,
  )
  // A hard link to a symbolic link is one to the link itself.
  await unpack(
    p,
    Buffer.concat([raw({ name: 'soft', type: 'symlink', linkname: secret }), raw({ name: 'hard', type: 'link', linkname: 'soft' })]),
  )
  t.true(fs.lstatSync(path.join(p.root, 'hard')).isSymbolicLink())
  t.is(fs.statSync(secret).nlink, 1)
})

rootTest('devices and fifos are data', async (t) => {
  const p = place(t)
  await unpack(
    p,
    await tarOf([
      { name: 'sda', type: 'block-device', devmajor: 8, devminor: 0, mode: 0o660 },
      { name: 'mem', type: 'character-device', devmajor: 1, devminor: 1 },
      { name: 'fifo', type: 'fifo' },
    ]),
  )
  t.is(fs.statSync(path.join(p.root, 'sda')).rdev, 0x800)
  t.true(fs.statSync(path.join(p.root, 'fifo')).isFIFO())
  // A later entry of the same name must not be written into the device or wait for the fifo.
  await unpack(
    p,
    Buffer.concat([raw({ name: 'mem', type: 'char', major: 1, minor: 1 }), raw({ name: 'mem' }, 'file'), raw({ name: 'fifo' }, 'file')]),
  )
  t.is(fs.readFileSync(path.join(p.root, 'mem'), 'utf8'), 'file')
  t.is(fs.readFileSync(path.join(p.root, 'fifo'), 'utf8'), 'file')
})

rootTest('the last of a name wins', async (t) => {
  const p = place(t)
  await unpack(
    p,
    Buffer.concat([
      raw({ name: 'a' }, 'first'),
      raw({ name: 'a' }, 'second'),
      raw({ name: 'dir/x' }, ''),
      raw({ name: 'dir' }, 'a file now'),
      raw({ name: 'file' }, ''),
      raw({ name: 'file/', type: 'directory' }),
      raw({ name: 'file/in' }, 'in'),
      raw({ name: 'kept/x' }, 'x'),
      raw({ name: 'kept/', type: 'directory', mode: 0o700 }),
    ]),
  )
  t.is(fs.readFileSync(path.join(p.root, 'a'), 'utf8'), 'second')
  t.is(fs.readFileSync(path.join(p.root, 'dir'), 'utf8'), 'a file now')
  t.is(fs.readFileSync(path.join(p.root, 'file/in'), 'utf8'), 'in')
  t.is(fs.readFileSync(path.join(p.root, 'kept/x'), 'utf8'), 'x')
  t.is(fs.statSync(path.join(p.root, 'kept')).mode & 0o777, 0o700)
})

rootTest('bombs stop at their limits', async (t) => {
  const p = place(t)
  const zeros = Buffer.alloc(1 << 20)
  async function* endless(): AsyncGenerator<Buffer> {
    yield raw({ name: 'bomb', size: 2 ** 50 })
    for (;;) yield zeros
  }
  await t.throwsAsync(p.archiver.unpack(Readable.from(endless()), { root: p.root, whiteouts: 'none', maxBytes: 1 << 22 }), {
    message: /"bomb": the archive unpacks to more than/,
  })
  function* many(): Generator<Buffer> {
    for (let at = 0; ; at++) yield raw({ name: `f${at}` })
  }
  await t.throwsAsync(p.archiver.unpack(Readable.from(many()), { root: p.root, whiteouts: 'none', maxEntries: 1000 }), {
    message: /more than 1000 entries/,
  })
  const huge = raw({ name: 'x'.repeat(2_000_000) }, '')
  await refused(t, p, huge, /extended header of 2000\d+ bytes is too long/)
})

rootTest('damaged archives name the entry', async (t) => {
  const p = place(t)
  const good = Buffer.concat([raw({ name: 'one' }, 'x'.repeat(2000)), raw({ name: 'two' }, 'y'.repeat(2000)), trailer])
  await refused(t, p, good.subarray(0, 4000), /"two": the archive is truncated/)
  await refused(t, p, good.subarray(0, 3000), /truncated/)
  await refused(t, p, Buffer.from('this is no archive at all'.repeat(100)), /wrong checksum|octal/)
  const negative = Buffer.from(good)
  negative.write('-0000000001', 124)
  await refused(t, p, negative, /no octal number|checksum/)
  await refused(t, p, raw({ name: 'nul', xattrs: [], linkname: 'a\0b', type: 'symlink' }), /NUL/).catch(() => undefined)
  await refused(t, p, raw({ name: `${'n'.repeat(300)}` }), /ENAMETOOLONG/)
})

rootTest('whiteouts: what they may name', async (t) => {
  const p = place(t)
  for (const name of ['.wh.', '.wh..', '.wh...', 'a/.wh...']) await refused(t, p, raw({ name }), /names no file/)
  await refused(t, p, raw({ name: '.wh.x' }), /whiteouts are not allowed/, { whiteouts: 'none' })
  await refused(t, p, raw({ name: '../.wh.outside' }), /leads out/, { whiteouts: 'apply' })
  fs.writeFileSync(path.join(p.root, 'gone'), '')
  fs.mkdirSync(path.join(p.root, 'full/sub'), { recursive: true })
  fs.symlinkSync(p.outside, path.join(p.root, 'soft'))
  await unpack(
    p,
    Buffer.concat([
      raw({ name: '.wh.gone' }),
      raw({ name: 'full/mine' }, 'm'),
      raw({ name: 'full/.wh..wh..opq' }),
      raw({ name: '.wh.soft' }),
      raw({ name: '.wh.absent' }),
    ]),
    { whiteouts: 'apply' },
  )
  t.deepEqual(
    fs.readdirSync(p.root).filter((name) => name !== 'a'),
    ['full'],
  )
  t.deepEqual(fs.readdirSync(path.join(p.root, 'full')), ['mine'])
  t.deepEqual(fs.readdirSync(p.outside), ['secret'])
})

rootTest('overlay: a directory made anew where one was deleted hides the old one', async (t) => {
  const p = place(t)
  await unpack(
    p,
    Buffer.concat([
      raw({ name: '.wh.dir' }),
      raw({ name: 'dir/', type: 'directory' }),
      raw({ name: 'two/x' }),
      raw({ name: '.wh.two' }),
      raw({ name: '.wh.three' }),
    ]),
  )
  const opaque = (name: string): string =>
    execFileSync('python3', ['-c', `import os;print(os.getxattr("${p.root}/${name}","trusted.overlay.opaque").decode())`], {
      encoding: 'utf8',
    }).trim()
  t.is(opaque('dir'), 'y')
  t.is(opaque('two'), 'y')
  t.true(fs.lstatSync(path.join(p.root, 'three')).isCharacterDevice())
})

rootTest("overlay's own attributes cannot be smuggled in", async (t) => {
  const p = place(t)
  await unpack(
    p,
    raw({
      name: 'evil',
      xattrs: [
        ['trusted.overlay.redirect', Buffer.from('/etc')],
        ['security.selinux', Buffer.from('x')],
        ['user.fine', Buffer.from([0, 255, 1])],
      ],
    }),
  )
  const names = execFileSync(
    'python3',
    ['-c', `import os;print(os.listxattr("${p.root}/evil"), os.getxattr("${p.root}/evil","user.fine"))`],
    { encoding: 'utf8' },
  )
  t.is(names.trim(), "['user.fine'] b'\\x00\\xff\\x01'")
})

rootTest('pack and unpack keep bytes, modes, owners, times, attributes and links, as GNU tar reads them', async (t) => {
  const p = place(t)
  const script = `
import os
os.chdir("${p.root}")
open(b'\\xff\\xfe',"w").write("bytes"); os.makedirs("d"*120+"/"+"e"*120); open("d"*120+"/"+"e"*120+"/long","w").write("1"*70000)
os.setxattr(b'\\xff\\xfe',b'user.bin',b'a\\0b\\n=')
os.link(b'\\xff\\xfe',"hard"); os.symlink("s"*150,"soft"); os.mkfifo("fifo"); os.mknod("dev",0o020644,os.makedev(259,70000))
os.chmod("hard",0o6755); os.chown("hard",3000000,4000000); os.utime("hard",(5,5)); os.chmod("hard",0o6755)
`
  execFileSync('python3', ['-c', script])
  const chunks: Buffer[] = []
  for await (const chunk of p.archiver.pack({ root: p.root, whiteouts: 'none' })) chunks.push(chunk as Buffer)
  const archive = path.join(p.outside, 'a.tar')
  fs.writeFileSync(archive, Buffer.concat(chunks))
  const listing = (dir: string): string =>
    execFileSync(
      'sh',
      ['-c', `cd "$1" && find . -type f -exec md5sum {} + | sort; find . -mindepth 1 -printf '%P %M %U %G %l %n\\n' | sort`, '-', dir],
      { encoding: 'latin1' },
    )
  const [ours, theirs] = [path.join(p.outside, 'ours'), path.join(p.outside, 'theirs')]
  for (const dir of [ours, theirs]) fs.mkdirSync(dir)
  await p.archiver.unpack(fs.createReadStream(archive), { root: ours, whiteouts: 'none' })
  execFileSync('tar', ['--xattrs', '--xattrs-include=*', '-xf', archive, '-C', theirs])
  t.is(listing(ours), listing(p.root))
  t.is(listing(theirs), listing(p.root))
  t.deepEqual(await p.archiver.changes({ root: ours, base: p.root, whiteouts: 'none' }), [])
  const copy = path.join(p.outside, 'copy')
  await p.archiver.copy(p.root, copy)
  t.is(listing(copy), listing(p.root))
  t.deepEqual(await p.archiver.changes({ root: copy, base: p.root, whiteouts: 'none' }), [])
})

rootTest('remove takes deep trees and stops at mounts', async (t) => {
  const p = place(t)
  execFileSync('python3', ['-c', `import os\nos.chdir("${p.root}")\nfor i in range(1500):\n os.mkdir("d"); os.chdir("d")`])
  await p.archiver.remove(path.join(p.root, 'd'))
  t.deepEqual(fs.readdirSync(p.root), [])
  await p.archiver.remove(path.join(p.root, 'never/there'))
  fs.mkdirSync(path.join(p.root, 'a/mount'), { recursive: true })
  execFileSync('mount', ['--bind', p.outside, path.join(p.root, 'a/mount')])
  const error = await t.throwsAsync(p.archiver.remove(path.join(p.root, 'a')))
  t.is((error as { code?: string }).code, 'EBUSY')
  t.is(fs.readFileSync(path.join(p.outside, 'secret'), 'utf8'), 'secret')
})

rootTest('the sender fails, stalls, or the reader leaves: the archiver goes on', async (t) => {
  const p = place(t)
  const failing = Readable.from(
    (function* () {
      yield raw({ name: 'a' }, 'x'.repeat(3000)).subarray(0, 1000)
      throw new Error('the sender failed')
    })(),
  )
  await t.throwsAsync(p.archiver.unpack(failing, { root: p.root, whiteouts: 'none' }), { message: 'the sender failed' })
  const stalled = new PassThrough()
  stalled.write(raw({ name: '../x' }))
  await t.throwsAsync(p.archiver.unpack(stalled, { root: p.root, whiteouts: 'none' }), { message: /leads out/ })
  const silent = new PassThrough()
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 100)
  await t.throwsAsync(p.archiver.unpack(silent, { root: p.root, whiteouts: 'none', signal: stop.signal }), { message: /cancelled/ })
  fs.writeFileSync(path.join(p.root, 'big'), Buffer.alloc(10_000_000))
  const tar = p.archiver.pack({ root: p.root, whiteouts: 'none' })
  for await (const _ of tar) break
  t.true(tar.destroyed)
  fs.rmSync(path.join(p.root, 'a'))
  t.is(await p.archiver.size(p.root), 10_000_000)
})

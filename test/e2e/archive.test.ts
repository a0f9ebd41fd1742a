import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { run, type TestDaemon } from '../fixtures/daemon.js'
import { mountsBelow, tarOf } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

interface PathStat {
  name: string
  size: number
  mode: number
  mtime: string
  linkTarget: string
}

async function stat(d: TestDaemon, name: string, where: string): Promise<PathStat> {
  const answer = await d.api('HEAD', `/containers/${name}/archive?path=${encodeURIComponent(where)}`)
  if (answer.status !== 200) throw new Error(`HEAD ${where}: ${answer.status}`)
  return JSON.parse(Buffer.from(String(answer.headers['x-docker-container-path-stat']), 'base64').toString()) as PathStat
}

const put = (d: TestDaemon, name: string, where: string, tar: Buffer, query = '') =>
  d.api('PUT', `/containers/${name}/archive?path=${encodeURIComponent(where)}${query}`, tar)

async function refused(t: ExecutionContext, d: TestDaemon, pattern: RegExp, ...args: string[]): Promise<void> {
  const { code, stderr } = await d.docker(...args)
  t.not(code, 0, args.join(' '))
  t.regex(stderr, pattern)
}

function file(d: TestDaemon, name: string, content: string): string {
  const target = path.join(d.dir, name)
  fs.mkdirSync(path.dirname(target), { recursive: true })
  fs.writeFileSync(target, content)
  return target
}

/** Names in a tar, as its bytes have them. */
async function names(d: TestDaemon, tar: Buffer): Promise<string[]> {
  const listed = path.join(d.dir, 'listed.tar')
  fs.writeFileSync(listed, tar)
  const { stdout } = await run('tar', ['-tf', listed])
  return stdout.split('\n').filter(Boolean)
}

for (const state of ['running', 'stopped', 'never started'] as const)
  daemonTest(`docker cp moves files into and out of a container that is ${state}`, async (t, d) => {
    const command = state === 'running' ? ['sleep', '1000'] : ['true']
    await d.ok('create', '--name', 'box', '-v', 'vol:/data', 'busybox', ...command)
    if (state !== 'never started') await d.ok('start', 'box')
    if (state === 'stopped') await d.ok('wait', 'box')
    const tree = path.join(d.dir, `tree-${state[0]}`)
    fs.mkdirSync(path.join(tree, 'sub'), { recursive: true })
    fs.writeFileSync(path.join(tree, 'sub/a'), 'alpha')
    fs.chmodSync(path.join(tree, 'sub/a'), 0o640)
    fs.symlinkSync('sub/a', path.join(tree, 'link'))
    fs.linkSync(path.join(tree, 'sub/a'), path.join(tree, 'twin'))
    await d.ok('cp', tree, 'box:/srv')
    await d.ok('cp', file(d, 'one', 'one'), 'box:/data/two')
    await refused(t, d, /no such directory/, 'cp', file(d, 'one', 'one'), 'box:/nosuch/dir/')
    await d.ok('cp', `${tree}/.`, 'box:/data')
    const back = path.join(d.dir, `back-${state[0]}`)
    fs.mkdirSync(back)
    await d.ok('cp', 'box:/data', back)
    t.deepEqual(fs.readdirSync(path.join(back, 'data')).sort(), ['link', 'sub', 'twin', 'two'])
    t.is(fs.readFileSync(path.join(back, 'data/two'), 'utf8'), 'one')
    t.is(fs.readlinkSync(path.join(back, 'data/link')), 'sub/a')
    t.is(fs.statSync(path.join(back, 'data/sub/a')).mode & 0o777, 0o640)
    t.is(fs.statSync(path.join(back, 'data/sub/a')).ino, fs.statSync(path.join(back, 'data/twin')).ino)
    await d.ok('cp', 'box:/srv/link', `${back}/as-link`)
    t.true(fs.lstatSync(`${back}/as-link`).isSymbolicLink())
    await d.ok('cp', '-L', 'box:/srv/link', `${back}/as-file`)
    t.is(fs.readFileSync(`${back}/as-file`, 'utf8'), 'alpha')
    await refused(t, d, /Could not find the file \/nosuch in container box/, 'cp', 'box:/nosuch', back)
    // The volume itself was written to, and the container starts on what was copied.
    t.is(await d.ok('run', '--rm', '-v', 'vol:/v', 'busybox', 'cat', '/v/two'), 'one')
    if (state !== 'running') {
      t.deepEqual(
        mountsBelow(d.dir).filter((mount) => mount.includes('-cp-')),
        [],
      )
      t.is(await d.ok('ps', '-q', '--filter', 'status=running'), '')
    }
    await d.ok('rm', '-f', '-v', 'box')
    await d.ok('volume', 'rm', 'vol')
  })

daemonTest('docker cp - streams tars both ways', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', 'busybox', 'sleep', '1000')
  const tar = await tarOf([{ name: 'in/x', content: 'streamed' }])
  const archive = path.join(d.dir, 'in.tar')
  fs.writeFileSync(archive, tar)
  const sent = await run('sh', ['-c', `docker cp - box:/tmp < ${archive}`], { env: d.env() })
  t.is(sent.code, 0, sent.stderr)
  t.is(await d.ok('exec', 'box', 'cat', '/tmp/in/x'), 'streamed')
  const out = await run('sh', ['-c', 'docker cp box:/tmp/in - | tar -xO in/x'], { env: d.env() })
  t.is(out.stdout, 'streamed')
  const zipped = await run('sh', ['-c', `gzip < ${archive} | docker cp - box:/var`], { env: d.env() })
  t.is(zipped.code, 0, zipped.stderr)
  const self = await d.api('GET', '/containers/box/archive?path=/tmp/in/.')
  t.deepEqual(await names(d, self.body), ['./', './x'])
  const whole = await d.api('GET', '/containers/box/archive?path=tmp/in')
  t.deepEqual(await names(d, whole.body), ['in/', 'in/x'])
  const single = await d.api('GET', '/containers/box/archive?path=/tmp/in/x')
  t.deepEqual(await names(d, single.body), ['x'])
})

daemonTest('X-Docker-Container-Path-Stat tells name, size, Go mode, time and where a link leads', async (t, d) => {
  const make =
    'mkdir -m 1777 /t; echo 12345 > /t/f; chmod 4750 /t/f; touch -d @1600000000 /t/f; mkfifo /t/p; mknod /t/c c 1 3; ln -s ../t/l2 /t/l1; ln -s f /t/l2; ln -s /gone/../x /t/b'
  await d.ok('run', '-d', '--name', 'box', 'busybox', 'sh', '-c', `${make}; exec sleep 1000`)
  while ((await d.docker('exec', 'box', 'test', '-L', '/t/b')).code !== 0) await sleep(20)
  t.deepEqual(await stat(d, 'box', '/t/f'), { name: 'f', size: 6, mode: 2 ** 23 + 0o750, mtime: '2020-09-13T12:26:40Z', linkTarget: '' })
  t.is((await stat(d, 'box', '/t')).mode, 2 ** 31 + 2 ** 20 + 0o777)
  t.is((await stat(d, 'box', '/t/p')).mode, 2 ** 25 + 0o644)
  const link = await stat(d, 'box', '/t/l1')
  t.is(link.mode, 2 ** 27 + 0o777)
  t.is(link.linkTarget, '/t/f')
  t.is((await stat(d, 'box', '/t/b')).linkTarget, '/x')
  t.is((await stat(d, 'box', '/')).name, '/')
  t.is((await stat(d, 'box', '/t/.')).name, '.')
  t.is((await stat(d, 'box', '../../t/../t/f')).name, 'f')
  t.is((await stat(d, 'box', '/t/c')).mode, 2 ** 26 + 2 ** 21 + 0o644)
  const status = async (where: string): Promise<number> =>
    (await d.api('HEAD', `/containers/box/archive?path=${encodeURIComponent(where)}`)).status
  t.is(await status('/nosuch'), 404)
  t.is(await status('/t/f/x'), 400)
  t.is(await status('/t/f/'), 400)
  t.is(await status('/t/\0'), 400)
  t.is(await status(`/${'n'.repeat(300)}`), 400)
  t.is(await status(''), 400)
  t.is((await d.api('HEAD', '/containers/nosuch/archive?path=/')).status, 404)
})

daemonTest('owners: kept as sent, or those of the container’s user with copyUIDGID', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', '--user', 'daemon', 'busybox', 'sleep', '1000')
  const tar = await tarOf([{ name: 'owned', content: 'x', uid: 123, gid: 456 }])
  t.is((await put(d, 'box', '/tmp', tar)).status, 200)
  t.is(await d.ok('exec', 'box', 'stat', '-c', '%u:%g', '/tmp/owned'), '123:456')
  t.is((await put(d, 'box', '/tmp', tar, '&copyUIDGID=1')).status, 200)
  t.is(await d.ok('exec', 'box', 'stat', '-c', '%U', '/tmp/owned'), 'daemon')
  const source = file(d, 'archived', 'y')
  fs.chownSync(source, 77, 88)
  await d.ok('run', '-d', '--name', 'root', 'busybox', 'sleep', '1000')
  await d.ok('cp', '-a', source, 'root:/tmp/')
  t.is(await d.ok('exec', 'root', 'stat', '-c', '%u:%g', '/tmp/archived'), '77:88')
})

daemonTest('a directory and a file do not replace each other when that is refused', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', 'busybox', 'sleep', '1000')
  await d.ok('exec', 'box', 'sh', '-c', 'mkdir -p /w/dir; touch /w/file')
  const dirOverFile = await tarOf([{ name: 'file', type: 'directory' }])
  const fileOverDir = await tarOf([{ name: 'dir', content: 'x' }])
  const first = await put(d, 'box', '/w', dirOverFile, '&noOverwriteDirNonDir=true')
  t.is(first.status, 400)
  t.regex(first.body.toString(), /cannot overwrite non-directory \\"\/w\/file\\" with directory \\"\/w\\"/)
  const second = await put(d, 'box', '/w', fileOverDir, '&noOverwriteDirNonDir=true')
  t.is(second.status, 400)
  t.regex(second.body.toString(), /cannot overwrite directory \\"\/w\/dir\\" with non-directory \\"\/w\\"/)
  t.is((await put(d, 'box', '/w', fileOverDir)).status, 200)
  t.is(await d.ok('exec', 'box', 'cat', '/w/dir'), 'x')
  await refused(t, d, /cannot overwrite|cannot copy/, 'cp', file(d, 'dir/x', 'x').replace('/dir/x', '/dir'), 'box:/w/file')
})

for (const state of ['running', 'stopped'] as const)
  daemonTest(`a read-only root and read-only volumes of a ${state} container are refused in Docker's words`, async (t, d) => {
    const source = file(d, 'ro', 'ro')
    await d.ok(
      'create',
      '--name',
      'box',
      '--read-only',
      '-v',
      'rw:/rw',
      '-v',
      'ro:/ro:ro',
      '-v',
      `${d.dir}:/rw/host:ro`,
      'busybox',
      'sleep',
      '1000',
    )
    if (state === 'running') await d.ok('start', 'box')
    await refused(t, d, /container rootfs is marked read-only/, 'cp', source, 'box:/tmp/')
    await refused(t, d, /mounted volume is marked read-only/, 'cp', source, 'box:/ro/')
    await refused(t, d, /mounted volume is marked read-only/, 'cp', source, 'box:/rw/host/')
    await d.ok('cp', source, 'box:/rw/x')
    const out = await run('sh', ['-c', 'docker cp box:/rw/x - | tar -xO'], { env: d.env() })
    t.is(out.stdout, 'ro')
    await d.ok('rm', '-f', 'box')
    await d.ok('volume', 'rm', 'rw', 'ro')
  })

daemonTest('a link to a read-only volume does not get around it', async (t, d) => {
  await d.ok(
    'run',
    '-d',
    '--name',
    'box',
    '-v',
    'ro:/ro:ro',
    'busybox',
    'sh',
    '-c',
    'ln -s /ro /way; mkdir /d; ln -s /ro /d/in; exec sleep 1000',
  )
  while ((await d.docker('exec', 'box', 'test', '-L', '/d/in')).code !== 0) await sleep(20)
  const direct = await put(d, 'box', '/way', await tarOf([{ name: 'x', content: 'x' }]))
  t.is(direct.status, 400)
  t.regex(direct.body.toString(), /mounted volume is marked read-only/)
  const below = await put(d, 'box', '/d', await tarOf([{ name: 'in/x', content: 'x' }]))
  t.is(below.status, 400)
  t.regex(below.body.toString(), /read-only/)
  await d.ok('rm', '-f', 'box')
  await d.ok('volume', 'rm', 'ro')
})

const swap =
  'mkdir /a /b; echo container > /a/mark; cp /a/mark /mark; mv /a /way; while :; do ln -s / /l; mv /way /dir; mv /l /way; rm /way; mv /dir /way; done'

daemonTest('CVE-2018-15664: a path that is swapped for a link while cp runs never reaches the host', async (t, d) => {
  const mark = `/tsd-mark-${d.id}`
  fs.writeFileSync(mark, 'host')
  try {
    await d.ok('run', '-d', '--name', 'box', 'busybox', 'sh', '-c', swap.replaceAll('/mark', mark))
    const seen = { read: 0, written: 0 }
    for (let round = 0; round < 40; round++) {
      const got = await d.api('GET', `/containers/box/archive?path=/way${mark}`)
      if (got.status === 200) {
        seen.read++
        t.true(got.body.includes('container'))
        t.false(got.body.includes('host'))
      } else t.true([400, 404].includes(got.status), got.body.toString())
      const sent = await put(d, 'box', '/way', await tarOf([{ name: mark.slice(1), content: 'container' }]))
      if (sent.status === 200) seen.written++
      else t.true([400, 404].includes(sent.status), sent.body.toString())
    }
    t.true(seen.read > 0 && seen.written > 0, JSON.stringify(seen))
    t.is(fs.readFileSync(mark, 'utf8'), 'host')
  } finally {
    fs.rmSync(mark)
  }
})

daemonTest('links in a sent archive, and links that stand in its way, stay in the container', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', 'busybox', 'sleep', '1000')
  const outside = path.join(d.dir, 'outside')
  fs.mkdirSync(outside)
  fs.writeFileSync(path.join(outside, 'f'), 'host')
  const tar = await tarOf([
    { name: 'l', type: 'symlink', linkname: outside },
    { name: 'l/f', content: 'container' },
  ])
  t.is((await put(d, 'box', '/tmp', tar)).status, 200)
  t.is(await d.ok('exec', 'box', 'cat', `${outside}/f`), 'container')
  t.is((await put(d, 'box', '/tmp', await tarOf([{ name: '../../etc/owned', content: 'x' }]))).status, 400)
  t.is((await put(d, 'box', '/tmp', await tarOf([{ name: 'h', type: 'link', linkname: '../../etc/passwd' }]))).status, 400)
  t.is((await put(d, 'box', '/tmp', Buffer.from('this is no tar at all'.repeat(100)))).status, 400)
  t.is((await put(d, 'box', '/etc/passwd', tar)).status, 400)
  t.is((await put(d, 'box', '/nosuch', tar)).status, 404)
  t.is(fs.readFileSync(path.join(outside, 'f'), 'utf8'), 'host')
})

daemonTest('CVE-2019-14271: nothing of the container is run or loaded', async (t, d) => {
  const source = file(
    d,
    'evil.c',
    '#include <stdio.h>\n__attribute__((constructor)) static void run(void) { fclose(fopen("/pwned", "w")); }\n',
  )
  const library = path.join(d.dir, 'evil.so')
  const compiled = await run('cc', ['-shared', '-fPIC', '-o', library, source])
  t.is(compiled.code, 0, compiled.stderr)
  await d.ok('run', '-d', '--name', 'box', '--user', 'daemon', 'busybox', 'sleep', '1000')
  for (const dir of ['/lib', '/lib64', '/usr/lib', '/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu']) {
    await d.ok('exec', '-u', '0', 'box', 'mkdir', '-p', dir)
    for (const name of ['libnss_files.so.2', 'libnss_compat.so.2', 'libc.so.6', 'libgcc_s.so.1', 'libm.so.6'])
      await d.ok('cp', library, `box:${dir}/${name}`)
  }
  await d.ok('cp', '-a', source, 'box:/tmp/as-user')
  await d.ok('cp', 'box:/etc', path.join(d.dir, 'etc-of-evil'))
  await refused(t, d, /Could not find/, 'cp', 'box:/pwned', d.dir)
  t.false(fs.existsSync('/pwned'))
})

daemonTest('fifos, sockets and magic links hold nobody up and lead nowhere', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', '--user', 'daemon', '--pid', 'host', 'busybox', 'sleep', '1000')
  await d.ok('exec', '-u', '0', 'box', 'sh', '-c', 'mkdir /f; mkfifo /f/p; touch /f/after; rm /etc/group; mkfifo /etc/group')
  const read = await d.api('GET', '/containers/box/archive?path=/f')
  t.deepEqual(await names(d, read.body), ['f/', 'f/after', 'f/p'])
  const owned = await put(d, 'box', '/tmp', await tarOf([{ name: 'x', content: 'x' }]), '&copyUIDGID=1')
  t.is(owned.status, 400)
  t.regex(owned.body.toString(), /no list of accounts/)
  fs.writeFileSync(path.join(d.dir, 'secret'), 'of the host')
  const magic = await d.api('GET', `/containers/box/archive?path=/proc/1/root${d.dir}/secret`)
  t.is(magic.status, 404)
  await d.ok('run', '-d', '--name', 'seeing', '--pid', 'host', '-v', '/proc:/host', 'busybox', 'sleep', '1000')
  const bound = await d.api('GET', `/containers/seeing/archive?path=/host/1/root${d.dir}/secret`)
  // Depends on whether the machine lets anybody read that link.
  t.true([403, 404].includes(bound.status), bound.body.toString())
  t.false(bound.body.includes('of the host'))
})

daemonTest('what is mounted over a file is not replaced', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', 'busybox', 'sleep', '1000')
  const answer = await put(d, 'box', '/etc', await tarOf([{ name: 'hosts', content: 'x' }]))
  t.is(answer.status, 400)
  t.regex(answer.body.toString(), /something is mounted there/)
})

daemonTest('a reader that stalls holds up neither stop nor the next start of a running container', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', 'busybox', 'sh', '-c', 'dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null; exec sleep 1000')
  while (Number(await d.ok('exec', 'box', 'sh', '-c', 'stat -c %s /big || echo 0')) < 64 << 20) await sleep(50)
  const stalled = spawn('curl', [
    '-s',
    '--limit-rate',
    '1k',
    '--unix-socket',
    d.socket,
    'http://x/containers/box/archive?path=/big',
    '-o',
    '/dev/null',
  ])
  await sleep(500)
  await d.ok('kill', 'box')
  await d.ok('start', 'box')
  t.is(await d.ok('inspect', '-f', '{{.State.Running}}', 'box'), 'true')
  stalled.kill()
})

daemonTest('a daemon killed while it serves a stopped container leaves nothing of it', async (t, d) => {
  await d.ok('create', '--name', 'box', '-v', 'vol:/data', 'busybox', 'true')
  const big = path.join(d.dir, 'big')
  fs.writeFileSync(big, Buffer.alloc(32 << 20))
  await d.ok('cp', big, 'box:/data/big')
  const slow = spawn('curl', [
    '-s',
    '--limit-rate',
    '1k',
    '--unix-socket',
    d.socket,
    'http://x/containers/box/archive?path=/data/big',
    '-o',
    '/dev/null',
  ])
  await sleep(700)
  const parked = (): string[] => fs.readdirSync(path.join(d.execRoot, 'shims')).filter((name) => name.includes('-cp-'))
  t.is(parked().length, 1)
  await d.killAndRestart()
  slow.kill()
  t.deepEqual(parked(), [])
  t.is(await d.ok('inspect', '-f', '{{.State.Status}}', 'box'), 'created')
  await d.ok('start', '-a', 'box')
  await d.ok('rm', 'box')
  await d.ok('volume', 'rm', 'vol')
})

daemonTest('cp publishes Docker’s events', async (t, d) => {
  await d.ok('create', '--name', 'box', 'busybox', 'true')
  const since = String(Math.floor(Date.now() / 1000) - 1)
  await d.ok('cp', file(d, 'ev', 'x'), 'box:/tmp/')
  await d.ok('cp', 'box:/tmp/ev', path.join(d.dir, 'ev2'))
  const events = await d.ok(
    'events',
    '--since',
    since,
    '--until',
    String(Math.floor(Date.now() / 1000) + 1),
    '--filter',
    'container=box',
    '--format',
    '{{.Action}}',
  )
  t.deepEqual(
    events.split('\n').filter((action) => /archive|extract/.test(action)),
    ['extract-to-dir', 'archive-path'],
  )
})

daemonTest('an OCI runtime’s containers are copied from and to alike', async (t, d) => {
  for (const name of ['live', 'still']) await d.ok('create', '--name', name, '--runtime', 'runc', '-v', '/data', 'busybox', 'sleep', '1000')
  await d.ok('start', 'live')
  for (const name of ['live', 'still']) {
    await d.ok('cp', file(d, 'oci', 'through runc'), `${name}:/data/x`)
    await d.ok('cp', `${name}:/data/x`, path.join(d.dir, `oci-${name}`))
    t.is(fs.readFileSync(path.join(d.dir, `oci-${name}`), 'utf8'), 'through runc')
  }
  await d.ok('start', 'still')
  t.is(await d.ok('exec', 'still', 'cat', '/data/x'), 'through runc')
})

daemonTest('tsd cp does what docker cp does', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', 'busybox', 'sleep', '1000')
  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await d.tsd('cp', ...args)
    t.is(code, 0, `cp ${args.join(' ')}: ${stderr}`)
    return stdout
  }
  const tree = path.join(d.dir, 'from')
  file(d, 'from/sub/a', 'alpha')
  fs.chmodSync(path.join(tree, 'sub/a'), 0o640)
  fs.symlinkSync('sub/a', path.join(tree, 'link'))
  fs.linkSync(path.join(tree, 'sub/a'), path.join(tree, 'twin'))
  await ok(tree, 'box:/tmp')
  await ok(`${tree}/.`, 'box:/srv')
  await ok(tree, 'box:/srv/renamed')
  await ok(path.join(tree, 'sub/a'), 'box:/srv/one')
  await ok(path.join(tree, 'sub/a'), 'box:/tmp/from/sub')
  await ok('-L', path.join(tree, 'link'), 'box:/srv/followed')
  const listing = await d.ok(
    'exec',
    'box',
    'sh',
    '-c',
    'cd /; find tmp srv ! -type d | sort; cat srv/one srv/followed; readlink srv/link; stat -c %a srv/twin',
  )
  t.deepEqual(listing.split('\n'), [
    ...['srv/followed', 'srv/link', 'srv/one', 'srv/renamed/link', 'srv/renamed/sub/a', 'srv/renamed/twin', 'srv/sub/a', 'srv/twin'],
    ...['tmp/from/link', 'tmp/from/sub/a', 'tmp/from/twin', 'alphaalphasub/a', '640'],
  ])
  const out = path.join(d.dir, 'out')
  fs.mkdirSync(out)
  await ok('box:/srv/renamed', out)
  await ok('box:/srv/renamed/.', `${out}/content`)
  await ok('box:/srv/one', `${out}/uno`)
  await ok('-L', 'box:/srv/link', `${out}/followed`)
  await ok('-L', 'box:/srv/link', out)
  t.deepEqual(fs.readdirSync(out).sort(), ['content', 'followed', 'link', 'renamed', 'uno'])
  for (const name of ['renamed/sub/a', 'content/twin', 'uno', 'followed', 'link'])
    t.is(fs.readFileSync(path.join(out, name), 'utf8'), 'alpha', name)
  t.is(fs.readlinkSync(path.join(out, 'content/link')), 'sub/a')
  t.is(fs.statSync(path.join(out, 'uno')).mode & 0o777, 0o640)
  const main = path.resolve('dist/core/cli/main.js')
  const through = await run('sh', [
    '-c',
    `tar -C ${tree} -c sub | node ${main} -H unix://${d.socket} cp - box:/var; node ${main} -H unix://${d.socket} cp box:/var/sub - | tar -xO sub/a`,
  ])
  t.is(through.stdout, 'alpha', through.stderr)
  for (const [pattern, ...args] of [
    [/Could not find the file \/nosuch in container box/, 'box:/nosuch', out],
    [/copying between containers is not supported/, 'box:/a', 'box:/b'],
    [/must specify at least one container source/, out, out],
    [/cannot copy directory/, tree, 'box:/etc/passwd'],
    [/no such directory/, path.join(tree, 'sub/a'), 'box:/nosuch/'],
    [/does not exist/, 'box:/srv/one', `${out}/nosuch/x`],
    [/No such container: nosuch/, tree, 'nosuch:/'],
  ] as [RegExp, ...string[]][]) {
    const { code, stderr } = await d.tsd('cp', ...args)
    t.is(code, 1, args.join(' '))
    t.regex(stderr, pattern)
  }
})

daemonTest('docker cp sees binds and volumes, and neither the system nor what is in memory', async (t, d) => {
  const bind = path.join(d.dir, 'bound')
  fs.mkdirSync(path.join(bind, 'sub'), { recursive: true })
  fs.writeFileSync(path.join(bind, 'sub/f'), 'bound')
  const mounts = ['-v', `${bind}:/way/bound`, '-v', 'seen:/vol', '--tmpfs', '/mem', '--mount', 'type=tmpfs,target=/mem2']
  await d.ok('create', '--name', 'base', 'busybox', 'true')
  const links = await put(
    d,
    'base',
    '/',
    await tarOf([
      { name: 'real', type: 'directory' },
      { name: 'way', type: 'symlink', linkname: '/real' },
    ]),
  )
  t.is(links.status, 200)
  await d.ok('commit', 'base', 'linked')
  await d.ok('run', '-d', '--name', 'box', ...mounts, 'linked', 'sh', '-c', 'touch /mem/x /mem2/x /vol/x /dev/shm/x; exec sleep 1000')
  while ((await d.docker('exec', 'box', 'test', '-f', '/dev/shm/x')).code !== 0) await sleep(20)
  const all = await names(d, (await d.api('GET', '/containers/box/archive?path=/')).body)
  const inside = (dir: string): string[] => all.filter((name) => name.startsWith(`/${dir}/`) && name !== `/${dir}/`)
  for (const dir of ['proc', 'sys', 'dev', 'mem', 'mem2']) t.deepEqual(inside(dir), [], dir)
  t.deepEqual(inside('vol'), ['/vol/x'])
  t.deepEqual(inside('real'), ['/real/bound/', '/real/bound/sub/', '/real/bound/sub/f'])
  t.is(await d.ok('exec', 'box', 'sh', '-c', 'cat /proc/1/comm; ls /mem /vol'), 'sleep\n/mem:\nx\n\n/vol:\nx')
  await d.ok('rm', '-f', 'box', 'base')
  await d.ok('rmi', 'linked')
  await d.ok('volume', 'rm', 'seen')
})

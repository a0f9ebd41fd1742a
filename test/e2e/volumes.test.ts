import fs from 'node:fs'
import path from 'node:path'
import type { ExecutionContext } from 'ava'
import type { TestDaemon } from '../fixtures/daemon.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

interface MountPoint {
  Type: string
  Name?: string
  Source: string
  Destination: string
  Driver?: string
  Mode: string
  RW: boolean
  Propagation: string
}

const mountsOf = async (d: TestDaemon, name: string): Promise<MountPoint[]> =>
  (await d.api('GET', `/containers/${name}/json`)).json<{ Mounts: MountPoint[] }>().Mounts

async function fails(t: ExecutionContext, d: TestDaemon, pattern: RegExp, ...args: string[]): Promise<void> {
  const { code, stderr } = await d.docker(...args)
  t.not(code, 0, args.join(' '))
  t.regex(stderr, pattern)
}

const sh = (d: TestDaemon, flags: string[], script: string): Promise<string> => d.ok('run', '--rm', ...flags, 'busybox', 'sh', '-c', script)

function hostDir(d: TestDaemon, name: string): string {
  const dir = path.join(d.dir, name)
  fs.mkdirSync(dir, { recursive: true })
  return dir
}

daemonTest('a named volume keeps its content from one container to the next', async (t, d) => {
  t.is(await d.ok('volume', 'create', '--label', 'team=blue', 'keep'), 'keep')
  await sh(d, ['-v', 'keep:/data'], 'echo one > /data/f')
  t.is(await sh(d, ['-v', 'keep:/data:ro'], 'cat /data/f'), 'one')
  t.regex((await d.docker('run', '--rm', '-v', 'keep:/data:ro', 'busybox', 'sh', '-c', 'echo x > /data/f')).stderr, /Read-only file system/)
  const volume = (await d.api('GET', '/volumes/keep')).json<Record<string, unknown>>()
  t.deepEqual(
    [volume['Name'], volume['Driver'], volume['Scope'], volume['Labels'], volume['Options']],
    ['keep', 'local', 'local', { team: 'blue' }, null],
  )
  t.is(fs.readFileSync(path.join(String(volume['Mountpoint']), 'f'), 'utf8'), 'one\n')
  t.is((await d.api('POST', '/volumes/create', { Name: 'keep' })).status, 201)
  await d.ok('volume', 'rm', 'keep')
  t.false(fs.existsSync(String(volume['Mountpoint'])))
  t.is((await d.api('GET', '/volumes/keep')).status, 404)
  await fails(t, d, /no such volume/i, 'volume', 'inspect', 'keep')
  await fails(t, d, /no such volume/i, 'volume', 'rm', 'keep')
  t.is((await d.api('DELETE', '/volumes/keep?force=1')).status, 204)
})

daemonTest('a volume in use is not removed, and is when its last container goes', async (t, d) => {
  await d.ok('run', '-d', '--name', 'u1', '-v', 'used:/data', 'busybox', 'sleep', '1000')
  await d.ok('create', '--name', 'u2', '-v', 'used:/data', 'busybox', 'true')
  const id = await d.ok('inspect', '-f', '{{.Id}}', 'u1')
  const refused = await d.api('DELETE', '/volumes/used')
  t.is(refused.status, 409)
  t.regex(refused.json<{ message: string }>().message, new RegExp(`^remove used: volume is in use - \\[.*${id}`))
  t.is((await d.api('DELETE', '/volumes/used?force=1')).status, 409)
  await d.ok('rm', '-f', 'u1')
  t.is((await d.api('DELETE', '/volumes/used')).status, 409)
  await d.ok('rm', '-v', 'u2')
  t.is(await d.ok('volume', 'ls', '-q'), 'used', 'rm -v leaves named volumes')
  await d.ok('volume', 'rm', 'used')
})

daemonTest('anonymous volumes go with --rm and rm -v, and stay otherwise', async (t, d) => {
  await sh(d, ['-v', '/anon'], 'echo x > /anon/f')
  t.is(await d.ok('volume', 'ls', '-q'), '')
  await d.ok('run', '--name', 'an', '-v', '/anon', 'busybox', 'true')
  const [mount] = await mountsOf(d, 'an')
  t.regex(mount?.Name ?? '', /^[0-9a-f]{64}$/)
  t.deepEqual([mount?.Type, mount?.Destination, mount?.Driver, mount?.RW], ['volume', '/anon', 'local', true])
  await d.ok('rm', 'an')
  t.is(await d.ok('volume', 'ls', '-q'), mount?.Name ?? '')
  await d.ok('run', '--name', 'an2', '-v', '/anon', 'busybox', 'true')
  await d.ok('rm', '-v', 'an2')
  t.is(await d.ok('volume', 'ls', '-q'), mount?.Name ?? '')
  t.is((await d.ok('volume', 'prune', '-f')).split('\n')[1], mount?.Name)
})

daemonTest('binds: made when absent, read-only, a file, propagation, inspect', async (t, d) => {
  const dir = hostDir(d, 'bind')
  fs.writeFileSync(path.join(dir, 'f'), 'from the host\n')
  t.is(await sh(d, ['-v', `${dir}:/b`], 'cat /b/f; echo back > /b/g'), 'from the host')
  t.is(fs.readFileSync(path.join(dir, 'g'), 'utf8'), 'back\n')
  t.regex((await d.docker('run', '--rm', '-v', `${dir}:/b:ro`, 'busybox', 'touch', '/b/x')).stderr, /Read-only file system/)
  t.is(await sh(d, ['-v', `${dir}/f:/etc/one:ro`], 'cat /etc/one'), 'from the host')
  await sh(d, ['-v', `${dir}/made/here:/b`], 'touch /b/x')
  t.true(fs.existsSync(path.join(dir, 'made/here/x')))
  await d.ok('create', '--name', 'bi', '-v', `${dir}:/b:ro,rslave`, 'busybox', 'true')
  t.deepEqual(await mountsOf(d, 'bi'), [
    { Type: 'bind', Source: dir, Destination: '/b', Mode: 'ro,rslave', RW: false, Propagation: 'rslave' },
  ])
  await fails(t, d, /invalid mode: what/, 'create', '-v', `${dir}:/b:what`, 'busybox')
  await fails(t, d, /Duplicate mount point: \/b/, 'create', '-v', `${dir}:/b`, '-v', 'vol:/b', 'busybox')
  await fails(t, d, /destination can't be '\/'/, 'create', '-v', `${dir}:/`, 'busybox')
  await fails(t, d, /mount path must be absolute/, 'create', '-v', `${dir}:b`, 'busybox')
  await fails(t, d, /includes invalid characters for a local volume name/, 'create', '-v', 'no/slash:/b', 'busybox')
})

daemonTest('a shared bind passes mounts on, a private one does not', async (t, d) => {
  const dir = hostDir(d, 'prop')
  await d.host('mount', '--bind', dir, dir)
  await d.host('mount', '--make-shared', dir)
  fs.mkdirSync(path.join(dir, 'in'))
  await d.ok('run', '-d', '--name', 'pr', '-v', `${dir}:/p`, 'busybox', 'sleep', '1000')
  await d.ok('run', '-d', '--name', 'sl', '-v', `${dir}:/p:rslave`, 'busybox', 'sleep', '1000')
  await d.ok('run', '-d', '--name', 'ss', '--cap-add', 'SYS_ADMIN', '-v', `${dir}:/p:rshared`, 'busybox', 'sleep', '1000')
  await d.host('mount', '-t', 'tmpfs', 'host', path.join(dir, 'in'))
  const sees = async (name: string): Promise<boolean> => (await d.ok('exec', name, 'cat', '/proc/self/mountinfo')).includes(' /p/in ')
  t.deepEqual([await sees('pr'), await sees('sl'), await sees('ss')], [false, true, true])
  await d.host('umount', path.join(dir, 'in'))
  await d.ok('exec', 'ss', 'sh', '-c', 'mkdir /p/out && mount -t tmpfs inner /p/out')
  t.true(fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${dir}/out `))
  await d.host('umount', path.join(dir, 'out'))
  await d.ok('rm', '-f', 'pr', 'sl', 'ss')
  await d.host('umount', dir)
  const plain = hostDir(d, 'plain')
  await d.host('mount', '--bind', plain, plain)
  await d.host('mount', '--make-private', plain)
  await fails(t, d, /path .* is mounted on .* but it is not a shared mount/, 'run', '--rm', '-v', `${plain}:/p:shared`, 'busybox', 'true')
  await d.host('umount', plain)
})

daemonTest('--mount in all its forms, with its errors', async (t, d) => {
  const dir = hostDir(d, 'mount')
  fs.writeFileSync(path.join(dir, 'f'), 'x\n')
  t.is(await sh(d, ['--mount', `type=bind,src=${dir},dst=/m,readonly`], 'cat /m/f; touch /m/y 2>&1 | grep -o Read-only'), 'x\nRead-only')
  await sh(d, ['--mount', 'type=volume,src=mv,dst=/m,volume-label=a=b'], 'echo 1 > /m/f')
  t.is(await d.ok('volume', 'inspect', '-f', '{{index .Labels "a"}}', 'mv'), 'b')
  t.is(await sh(d, ['--mount', 'src=mv,dst=/m,ro'], 'cat /m/f'), '1')
  t.regex(
    await sh(d, ['--mount', 'type=tmpfs,dst=/m,tmpfs-size=65536,tmpfs-mode=0711'], 'grep " /m " /proc/mounts; stat -c %a /m'),
    /tmpfs \/m tmpfs rw,.*size=64k.*\n711$/,
  )
  await fails(
    t,
    d,
    /bind source path does not exist: \/no\/such/,
    'run',
    '--rm',
    '--mount',
    'type=bind,src=/no/such,dst=/m',
    'busybox',
    'true',
  )
  const create = async (mount: Record<string, unknown>): Promise<[number, string]> => {
    const answer = await d.api('POST', '/containers/create', { Image: 'busybox', HostConfig: { Mounts: [mount] } })
    return [answer.status, answer.json<{ message: string }>().message]
  }
  t.deepEqual(await create({ Type: 'bind', Source: '/tmp' }), [400, 'invalid mount config for type "bind": field Target must not be empty'])
  t.deepEqual(await create({ Type: 'bind', Target: '/m' }), [400, 'invalid mount config for type "bind": field Source must not be empty'])
  t.is((await create({ Type: 'what', Target: '/m' }))[0], 400)
  t.deepEqual(await create({ Type: 'tmpfs', Source: '/x', Target: '/m' }), [
    400,
    'invalid mount config for type "tmpfs": field Source must not be specified',
  ])
  t.is((await create({ Type: 'tmpfs', Target: '/m', BindOptions: { Propagation: 'shared' } }))[0], 400)
  const [status, message] = await create({ Type: 'bind', Source: '/no/such', Target: '/m' })
  t.is(status, 400)
  t.regex(message, /bind source path does not exist: \/no\/such/)
  await d.ok('volume', 'rm', 'mv')
})

daemonTest('--tmpfs is one, with its options', async (t, d) => {
  t.regex(
    await sh(d, ['--tmpfs', '/t:size=1m,mode=1700'], 'grep " /t " /proc/mounts; stat -c %a /t'),
    /^tmpfs \/t tmpfs rw,nosuid,nodev,noexec,.*size=1024k,mode=1700.*\n1700$/,
  )
  t.regex(await sh(d, ['--read-only', '--tmpfs', '/t'], 'touch /x 2>&1; touch /t/x && echo ok'), /Read-only file system\nok/)
})

daemonTest('content of the image is copied into a new volume once, with owner, mode, links and attributes', async (t, d) => {
  await d.loadBusybox({
    tag: 'filled:1',
    config: { Volumes: { '/declared': {} } },
    files: [
      { name: 'data', type: 'directory', mode: 0o750 },
      { name: 'data/sub', type: 'directory' },
      { name: 'data/sub/f', content: 'image\n', mode: 0o640 },
      { name: 'data/link', type: 'symlink', linkname: 'sub/f' },
      { name: 'declared', type: 'directory' },
      { name: 'declared/f', content: 'declared\n' },
    ],
  })
  const run = (flags: string[], script: string): Promise<string> => d.ok('run', '--rm', ...flags, 'filled:1', 'sh', '-c', script)
  t.is(await run(['-v', 'fill:/data'], 'cat /data/link; stat -c %a /data /data/sub/f; echo changed > /data/sub/f'), 'image\n750\n640')
  t.is(await run(['-v', 'fill:/data'], 'cat /data/sub/f'), 'changed')
  t.is(await run(['-v', 'bare:/data:nocopy'], 'ls /data | wc -l'), '0')
  t.is(await run(['--mount', 'type=volume,src=bare2,dst=/data,volume-nocopy'], 'ls /data | wc -l'), '0')
  t.is(await run([], 'cat /declared/f; grep -c " /declared " /proc/mounts'), 'declared\n1')
  t.is(await run(['-v', '/data'], 'cat /data/sub/f'), 'image')
  const dir = hostDir(d, 'nobindcopy')
  t.is(await run(['-v', `${dir}:/data`], 'ls /data | wc -l'), '0', 'binds are never filled')
  await d.ok('volume', 'rm', 'fill', 'bare', 'bare2')
  t.is(await d.ok('volume', 'ls', '-q'), '')
  await d.ok('rmi', 'filled:1')
})

daemonTest('--volumes-from shares volumes and binds, also read-only', async (t, d) => {
  const dir = hostDir(d, 'from')
  await d.ok(
    'run',
    '-d',
    '--name',
    'src',
    '-v',
    'vf:/a',
    '-v',
    `${dir}:/b:ro`,
    '-v',
    '/c',
    'busybox',
    'sh',
    '-c',
    'echo hi > /a/f; echo anon > /c/f; sleep 1000',
  )
  await d.ok('exec', 'src', 'sh', '-c', 'until [ -f /c/f ]; do sleep 0.02; done')
  t.is(await sh(d, ['--volumes-from', 'src'], 'cat /a/f /c/f; touch /a/new; touch /b/x 2>&1 | grep -o Read-only'), 'hi\nanon\nRead-only')
  t.regex((await d.docker('run', '--rm', '--volumes-from', 'src:ro', 'busybox', 'touch', '/a/x')).stderr, /Read-only file system/)
  await fails(t, d, /No such container: nobody/i, 'run', '--rm', '--volumes-from', 'nobody', 'busybox', 'true')
  t.is(await d.ok('exec', 'src', 'cat', '/c/f'), 'anon', "--rm of a guest leaves the source's volume")
  await d.ok('rm', '-f', '-v', 'src')
  t.is(await d.ok('volume', 'ls', '-q'), 'vf')
  await d.ok('volume', 'rm', 'vf')
})

daemonTest('options type, o and device are mounted while the volume is used', async (t, d) => {
  await d.ok('volume', 'create', '-o', 'type=tmpfs', '-o', 'device=tmpfs', '-o', 'o=size=2m,mode=1770', 'tm')
  const point = await d.ok('volume', 'inspect', '-f', '{{.Mountpoint}}', 'tm')
  t.regex(await sh(d, ['-v', 'tm:/t'], 'grep " /t " /proc/mounts'), /^tmpfs \/t tmpfs rw,.*size=2048k/)
  t.false(fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(point))
  await d.ok('run', '-d', '--name', 't1', '-v', 'tm:/t', 'busybox', 'sh', '-c', 'echo x > /t/f; sleep 1000')
  await d.ok('exec', 't1', 'sh', '-c', 'until [ -f /t/f ]; do sleep 0.02; done')
  t.is(await sh(d, ['-v', 'tm:/t'], 'cat /t/f'), 'x', 'mounted once for all')
  t.is(await d.ok('exec', 't1', 'cat', '/t/f'), 'x')
  await d.ok('rm', '-f', 't1')
  t.false(fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(point))
  const dir = hostDir(d, 'device')
  await d.ok('volume', 'create', '-o', 'type=none', '-o', `device=${dir}`, '-o', 'o=bind', 'bd')
  await sh(d, ['-v', 'bd:/t'], 'echo y > /t/y')
  t.is(fs.readFileSync(path.join(dir, 'y'), 'utf8'), 'y\n')
  t.deepEqual((await d.api('GET', '/volumes/bd')).json<{ Options: unknown }>().Options, { type: 'none', device: dir, o: 'bind' })
  await fails(t, d, /invalid option/, 'volume', 'create', '-o', 'what=1', 'bad')
  await d.ok('volume', 'create', '-o', 'type=none', '-o', 'device=/no/such', '-o', 'o=bind', 'gone')
  await fails(t, d, /failed to mount local volume/, 'run', '--rm', '-v', 'gone:/t', 'busybox', 'true')
  await d.ok('volume', 'rm', 'tm', 'bd', 'gone')
  t.true(fs.existsSync(path.join(dir, 'y')))
})

daemonTest('volume names, filters, prune and events', async (t, d) => {
  const since = String(Math.floor(Date.now() / 1000) - 1)
  for (const [name, label] of [
    ['v1', 'k=1'],
    ['v2', 'k=2'],
    ['other', 'z'],
  ])
    await d.ok('volume', 'create', '--label', label ?? '', name ?? '')
  await d.ok('run', '-d', '--name', 'holder', '-v', 'v1:/x', 'busybox', 'sleep', '1000')
  const list = async (...filters: string[]): Promise<string[]> =>
    (await d.ok('volume', 'ls', '-q', ...filters.flatMap((filter) => ['--filter', filter]))).split('\n').filter(Boolean)
  t.deepEqual(await list('label=k'), ['v1', 'v2'])
  t.deepEqual(await list('label=k=2'), ['v2'])
  t.deepEqual(await list('dangling=true'), ['other', 'v2'])
  t.deepEqual(await list('dangling=false'), ['v1'])
  t.deepEqual(await list('name=oth'), ['other'])
  t.deepEqual(await list('driver=local'), ['other', 'v1', 'v2'])
  t.is((await d.api('GET', `/volumes?filters=${encodeURIComponent('{"what":["1"]}')}`)).status, 400)
  await fails(t, d, /too short/, 'volume', 'create', 'x')
  await fails(t, d, /includes invalid characters for a local volume name/, 'volume', 'create', 'a/b')
  await fails(t, d, /plugin.*nowhere/i, 'volume', 'create', '-d', 'nowhere', 'nn')
  t.regex(await d.ok('volume', 'prune', '-f', '--filter', 'all=1', '--filter', 'label!=z'), /^Deleted Volumes:\nv2\n/)
  t.deepEqual(await list(), ['other', 'v1'])
  await d.ok('rm', '-f', 'holder')
  await d.ok('volume', 'prune', '-f', '--filter', 'all=1')
  const until = String(Math.ceil(Date.now() / 1000) + 1)
  const events = (
    await d.ok('events', '--since', since, '--until', until, '--filter', 'type=volume', '--filter', 'volume=v1', '--format', '{{.Action}}')
  ).split('\n')
  t.deepEqual(events, ['create', 'mount', 'unmount', 'destroy'])
})

daemonTest('a read-only root file system leaves volumes writable', async (t, d) => {
  t.is(await sh(d, ['--read-only', '-v', 'rw:/d'], 'touch /d/x && echo volume; touch /y 2>&1 | grep -o Read-only'), 'volume\nRead-only')
  await d.ok('volume', 'rm', 'rw')
})

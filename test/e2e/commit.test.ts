import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { run, type TestDaemon } from '../fixtures/daemon.js'
import { busyboxImage } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

interface Config {
  Cmd: string[] | null
  Env: string[]
  Labels: Record<string, string> | null
  ExposedPorts?: Record<string, unknown>
  WorkingDir: string
  User: string
  Volumes?: Record<string, unknown>
  Healthcheck?: Record<string, unknown>
  Entrypoint: string[] | null
  StopSignal?: string
}

const configOf = async (d: TestDaemon, image: string): Promise<Config> =>
  JSON.parse(await d.ok('image', 'inspect', '-f', '{{json .Config}}', image)) as Config

async function fails(t: ExecutionContext, d: TestDaemon, pattern: RegExp, ...args: string[]): Promise<void> {
  const { code, stderr } = await d.docker(...args)
  t.not(code, 0, args.join(' '))
  t.regex(stderr, pattern)
}

daemonTest('docker diff tells what was added, changed and deleted, and no mount point of ours', async (t, d) => {
  await d.ok(
    'run',
    '--name',
    'box',
    '-v',
    '/data',
    'busybox',
    'sh',
    '-c',
    'mkdir /new; touch /new/x /data/y; rm /etc/group; echo >> /etc/passwd',
  )
  const expected = ['A /data', 'A /new', 'A /new/x', 'C /etc', 'C /etc/passwd', 'D /etc/group']
  t.deepEqual((await d.ok('diff', 'box')).split('\n').sort(), expected)
  t.deepEqual((await d.tsd('diff', 'box')).stdout.trim().split('\n').sort(), expected)
  await d.ok('create', '--name', 'fresh', 'busybox', 'true')
  t.is(await d.ok('diff', 'fresh'), '')
  await d.ok('run', '--name', 'idle', 'busybox', 'true')
  t.is(await d.ok('diff', 'idle'), '')
  await fails(t, d, /No such container: nosuch/, 'diff', 'nosuch')
})

daemonTest('docker commit makes an image of a stopped container that runs as it did', async (t, d) => {
  await d.ok('run', '--name', 'box', '-e', 'A=1', '--label', 'l=1', 'busybox', 'sh', '-c', 'echo kept > /kept; rm /etc/group; exit 0')
  const id = await d.ok('commit', '-a', 'Somebody <s@x>', '-m', 'a message', 'box', 'made:1')
  t.regex(id, /^sha256:[0-9a-f]{64}$/)
  t.is(await d.ok('run', '--rm', 'made:1', 'sh', '-c', 'cat /kept; ls /etc/group 2>/dev/null; echo $A'), 'kept\n1')
  t.is(await d.ok('image', 'inspect', '-f', '{{.Author}}|{{.Comment}}|{{len .RootFS.Layers}}', 'made:1'), 'Somebody <s@x>|a message|2')
  const config = await configOf(d, 'made:1')
  t.deepEqual(config.Cmd, ['sh', '-c', 'echo kept > /kept; rm /etc/group; exit 0'])
  t.deepEqual(config.Labels, { l: '1' })
  const history = (await d.ok('history', '--no-trunc', '--format', '{{.ID}}|{{.CreatedBy}}|{{.Comment}}|{{.Size}}', 'made:1')).split('\n')
  t.is(history.length, 2)
  t.regex(history[0] as string, new RegExp(`^${id}\\|sh -c echo kept`))
  t.true(history[0]?.includes('|a message|'))
  t.regex(history[1] as string, /^<missing>\|test fixture\|\|[\d.]+MB$/)
  // What a second one adds goes on top.
  await d.ok('run', '--name', 'two', 'made:1', 'touch', '/second')
  await d.ok('commit', 'two', 'made:2')
  t.is(await d.ok('run', '--rm', 'made:2', 'sh', '-c', 'ls /kept /second'), '/kept\n/second')
  // Removing the lower image takes nothing from the upper.
  await d.ok('rm', 'box', 'two')
  await d.ok('rmi', 'made:1')
  t.is(await d.ok('run', '--rm', 'made:2', 'sh', '-c', 'ls /kept /second'), '/kept\n/second')
  await d.ok('rmi', 'made:2')
})

daemonTest('docker commit --change applies Dockerfile instructions', async (t, d) => {
  await d.ok('create', '--name', 'box', '-e', 'A=1', 'busybox', 'true')
  const changes = [
    'CMD ["echo", "changed"]',
    'ENV B=2 C="three words"',
    'LABEL x=y',
    'EXPOSE 80 53/udp',
    'WORKDIR /tmp',
    'USER daemon',
    'VOLUME /v',
    'STOPSIGNAL SIGQUIT',
    'HEALTHCHECK --interval=5s --retries=2 CMD test -f /x',
  ]
  await d.ok('commit', ...changes.flatMap((change) => ['-c', change]), 'box', 'changed')
  const config = await configOf(d, 'changed')
  t.deepEqual(config.Cmd, ['echo', 'changed'])
  t.true(['A=1', 'B=2', 'C=three words'].every((entry) => config.Env.includes(entry)))
  t.deepEqual(config.Labels, { x: 'y' })
  t.deepEqual(config.ExposedPorts, { '80/tcp': {}, '53/udp': {} })
  t.deepEqual([config.WorkingDir, config.User, config.StopSignal], ['/tmp', 'daemon', 'SIGQUIT'])
  t.deepEqual(config.Volumes, { '/v': {} })
  t.deepEqual(config.Healthcheck, { Test: ['CMD-SHELL', 'test -f /x'], Interval: 5e9, Retries: 2 })
  t.is(await d.ok('run', '--rm', 'changed'), 'changed')
  await fails(t, d, /RUN is not a valid change command/, 'commit', '-c', 'RUN x', 'box')
  await fails(t, d, /Unknown flag: nosuch/, 'commit', '-c', 'HEALTHCHECK --nosuch=1 CMD x', 'box')
  await fails(t, d, /invalid reference format/, 'commit', 'box', 'UPPER')
  await fails(t, d, /No such container/, 'commit', 'nosuch')
  await d.ok('rmi', 'changed')
})

daemonTest('a running container is paused while it is committed, unless that is refused', async (t, d) => {
  await d.ok('run', '-d', '--name', 'alive', 'busybox', 'sh', '-c', 'touch /live; exec sleep 1000')
  while ((await d.docker('exec', 'alive', 'test', '-f', '/live')).code !== 0) await sleep(20)
  const since = String(Math.floor(Date.now() / 1000) - 1)
  await d.ok('commit', 'alive', 'live:1')
  await d.ok('commit', '--pause=false', 'alive', 'live:2')
  const events = await d.ok(
    'events',
    '--since',
    since,
    '--until',
    String(Math.floor(Date.now() / 1000) + 1),
    '--filter',
    'container=alive',
    '--format',
    '{{.Action}}',
  )
  t.deepEqual(
    events.split('\n').filter((action) => /^(pause|unpause|commit)$/.test(action)),
    ['pause', 'commit', 'unpause', 'commit'],
  )
  t.is(await d.ok('inspect', '-f', '{{.State.Status}}', 'alive'), 'running')
  t.is(await d.ok('run', '--rm', 'live:2', 'ls', '/live'), '/live')
  t.is((await d.tsd('commit', '-m', 'by tsd', 'alive', 'live:3')).code, 0)
  t.is(await d.ok('image', 'inspect', '-f', '{{.Comment}}', 'live:3'), 'by tsd')
  await d.ok('rmi', 'live:1', 'live:2', 'live:3')
})

daemonTest('docker export is the root without what is mounted in it', async (t, d) => {
  for (const state of ['running', 'stopped']) {
    await d.ok(
      'create',
      '--name',
      'box',
      '-v',
      '/data',
      'busybox',
      'sh',
      '-c',
      `touch /data/volume /layer; ${state === 'running' ? 'exec sleep 1000' : ''}`,
    )
    await d.ok('start', 'box')
    if (state === 'stopped') await d.ok('wait', 'box')
    else while ((await d.docker('exec', 'box', 'test', '-f', '/layer')).code !== 0) await sleep(20)
    const archive = path.join(d.dir, 'export.tar')
    await d.ok('export', '-o', archive, 'box')
    const { stdout } = await run('tar', ['-tf', archive])
    const names = stdout.split('\n')
    t.true(names.includes('layer') && names.includes('data/') && names.includes('bin/busybox'), state)
    t.deepEqual(
      names.filter((name) => name === 'data/volume' || /^(proc|sys|dev)\/./.test(name)),
      [],
      state,
    )
    const again = await d.tsd('export', '-o', `${archive}2`, 'box')
    t.is(again.code, 0, again.stderr)
    t.is(fs.statSync(`${archive}2`).size, fs.statSync(archive).size)
    await d.ok('import', archive, 'imported')
    t.is(await d.ok('run', '--rm', 'imported', 'ls', '/layer'), '/layer')
    await d.ok('rmi', 'imported')
    await d.ok('rm', '-f', '-v', 'box')
  }
})

daemonTest('docker save of several images is loaded again by name, shared layers once', async (t, d) => {
  await d.ok('run', '--name', 'box', 'busybox', 'touch', '/upper')
  await d.ok('commit', 'box', 'shop/upper:2')
  await d.ok('tag', 'shop/upper:2', 'shop/upper:3')
  const ids = await d.ok('images', '-q', '--no-trunc', '--filter', 'reference=shop/upper')
  const archive = path.join(d.dir, 'saved.tar')
  await d.ok('save', '-o', archive, 'busybox', 'shop/upper')
  const list = (await run('tar', ['-tf', archive])).stdout.split('\n').filter(Boolean)
  t.is(new Set(list).size, list.length)
  t.true(['index.json', 'manifest.json', 'oci-layout', 'repositories'].every((name) => list.includes(name)))
  const manifest = JSON.parse((await run('tar', ['-xOf', archive, 'manifest.json'])).stdout) as {
    Config: string
    RepoTags: string[]
    Layers: string[]
  }[]
  t.deepEqual(
    manifest.map(({ RepoTags }) => RepoTags),
    [['busybox:latest'], ['shop/upper:2', 'shop/upper:3']],
  )
  t.is(manifest[0]?.Layers[0], manifest[1]?.Layers[0])
  for (const name of manifest.flatMap(({ Config, Layers }) => [Config, ...Layers])) t.true(list.includes(name), name)
  await d.ok('rm', 'box')
  await d.ok('rmi', 'shop/upper:2', 'shop/upper:3', 'busybox')
  t.deepEqual(
    (await d.ok('images', '--format', '{{.Repository}}:{{.Tag}}')).split('\n').filter((name) => /busybox|shop/.test(name)),
    [],
  )
  t.regex(await d.ok('load', '-i', archive), /Loaded image: busybox:latest\nLoaded image: shop\/upper:2\nLoaded image: shop\/upper:3/)
  t.is(await d.ok('images', '-q', '--no-trunc', '--filter', 'reference=shop/upper'), ids)
  t.is(await d.ok('run', '--rm', 'shop/upper:3', 'ls', '/upper'), '/upper')
  const byTsd = await d.tsd('save', '-o', path.join(d.dir, 'by-tsd.tar'), 'shop/upper:2')
  t.is(byTsd.code, 0, byTsd.stderr)
  t.regex((await d.tsd('load', '-i', path.join(d.dir, 'by-tsd.tar'))).stdout, /Loaded image: shop\/upper:2/)
  await fails(t, d, /No such image: nosuch:latest/, 'save', '-o', path.join(d.dir, 'none.tar'), 'nosuch')
  const history = await d.tsd('history', '-q', '--no-trunc', 'shop/upper:2')
  t.deepEqual(history.stdout.split('\n').filter(Boolean), [ids.split('\n')[0] as string, '<missing>'])
  await d.ok('rmi', 'shop/upper:2', 'shop/upper:3')
})

daemonTest('prune and system df count and free what nobody uses', async (t, d) => {
  await d.ok('run', '--name', 'box', 'busybox', 'sh', '-c', 'head -c 1000000 /dev/zero > /big')
  const bare = await d.ok('commit', 'box')
  await d.ok('commit', 'box', 'named:1')
  await d.ok('volume', 'create', 'vol')
  await d.ok('run', '--rm', '-v', 'vol:/v', 'busybox', 'sh', '-c', 'head -c 500000 /dev/zero > /v/f')
  const usage = (await d.api('GET', '/system/df')).json<{
    LayersSize: number
    Images: { Id: string; SharedSize: number; Size: number; Containers: number }[]
    Containers: { SizeRw: number; SizeRootFs: number }[]
    Volumes: { Name: string; UsageData: { RefCount: number; Size: number } }[]
    BuildCache: unknown[]
  }>()
  const named = usage.Images.find(({ Id }) => Id !== bare && usage.Images.length > 0)
  t.is(usage.Images.length, 3)
  t.true(named !== undefined && named.SharedSize > 0)
  t.true(usage.LayersSize < usage.Images.reduce((sum, { Size }) => sum + Size, 0))
  t.is(usage.Containers.length, 1)
  t.is(usage.Containers[0]?.SizeRw, 1_000_000)
  t.deepEqual(usage.Volumes.find(({ Name }) => Name === 'vol')?.UsageData, { RefCount: 0, Size: 500_000 })
  const partial = (await d.api('GET', '/system/df?type=volume')).json<Record<string, unknown>>()
  t.deepEqual(Object.keys(partial), ['Volumes'])
  t.is((await d.api('GET', '/system/df?type=nosuch')).status, 400)
  const table = await d.ok('system', 'df')
  t.regex(table, /Images +3 +1/)
  t.regex(table, /Containers +1 +0 +1MB/)
  t.regex(table, /Local Volumes +1 +0 +500kB +500kB \(100%\)/)
  t.is((await d.tsd('system', 'df')).stdout.trimEnd(), table.trimEnd())
  t.regex(await d.ok('system', 'df', '-v'), /vol +0 +500kB/)
  t.is(
    (await d.tsd('system', 'df', '--format', '{{.Type}} {{.TotalCount}}')).stdout,
    'Images 3\nContainers 1\nLocal Volumes 1\nBuild Cache 0\n',
  )
  const pruned = await d.ok('image', 'prune', '-f')
  t.true(pruned.includes(`deleted: ${bare}`) || pruned.includes(`Deleted: ${bare}`) || pruned.includes(bare), pruned)
  t.is((await d.docker('image', 'inspect', bare)).code, 1)
  t.is((await d.docker('image', 'inspect', 'named:1')).code, 0)
  await d.ok('container', 'prune', '-f', '--filter', 'until=1h')
  t.not(await d.ok('ps', '-aq'), '')
  await d.ok('container', 'prune', '-f')
  t.is(await d.ok('ps', '-aq'), '')
  const all = await d.tsd('image', 'prune', '-a', '-f', '--filter', 'label!=x')
  t.regex(all.stdout, /untagged: named:1/i)
  t.regex(all.stdout, /Total reclaimed space: [1-9]/)
  t.regex(await d.ok('system', 'prune', '-f'), /Total reclaimed space: 0B/)
  const everything = await d.tsd('system', 'prune', '-a', '-f', '--volumes')
  t.is(everything.code, 0, everything.stderr)
  t.is(await d.ok('images', '-q'), '')
  t.regex(await d.ok('volume', 'ls', '-q'), /^vol$/)
  const answer = await d.api('POST', '/images/prune?filters={"nosuch":["x"]}')
  t.is(answer.status, 400)
  await d.loadBusybox()
  await d.ok('volume', 'rm', 'vol')
})

daemonTest('two daemons exchange what they save', async (t, d) => {
  const answer = await d.api('POST', '/images/load', await busyboxImage({ tag: 'other:1', files: [{ name: 'f', content: 'x' }] }))
  t.is(answer.status, 200)
  const saved = await d.api('GET', '/images/other:1/get')
  t.is(saved.headers['content-type'], 'application/x-tar')
  const twice = await d.api('GET', '/images/get?names=other:1&names=busybox')
  t.true(twice.body.length > 0)
  t.is((await d.api('GET', '/images/get')).status, 400)
  t.is((await d.api('GET', '/images/nosuch/get')).status, 404)
  t.is((await d.api('GET', '/images/nosuch/history')).status, 404)
  await d.ok('rmi', 'other:1')
  t.regex((await d.api('POST', '/images/load', saved.body)).body.toString(), /Loaded image: other:1/)
  await d.ok('rmi', 'other:1')
})

daemonTest('a daemon killed in the middle of a commit leaves no half image and nothing frozen', async (t, d) => {
  await d.ok('run', '-d', '--name', 'heavy', 'busybox', 'sh', '-c', 'head -c 48000000 /dev/urandom > /big; touch /done; exec sleep 1000')
  while ((await d.docker('exec', 'heavy', 'test', '-f', '/done')).code !== 0) await sleep(50)
  let cut = 0
  for (const [round, wait] of [60, 150, 300, 600].entries()) {
    const name = `heavy:${round}`
    const committing = d.docker('commit', 'heavy', name)
    await sleep(wait)
    await d.killAndRestart()
    const { code } = await committing
    const there = (await d.docker('image', 'inspect', name)).code === 0
    // Acknowledged is there; what is there is whole.
    if (code === 0) t.true(there)
    else cut++
    if (there) t.is(await d.ok('run', '--rm', name, 'stat', '-c', '%s', '/big'), '48000000')
    t.is(await d.ok('inspect', '-f', '{{.State.Status}}', 'heavy'), 'running')
    t.is((await d.docker('exec', 'heavy', 'true')).code, 0)
    t.deepEqual(
      fs.readdirSync(path.join(d.dataRoot, 'content/ingest')).filter((entry) => entry !== 'partial'),
      [],
    )
    if (there) await d.ok('rmi', name)
  }
  t.true(cut > 0, 'no commit was cut off')
})

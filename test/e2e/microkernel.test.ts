import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { TestDaemon, type DaemonOptions } from '../fixtures/daemon.js'
import { EngineCopy } from '../fixtures/engine-copy.js'
import { missing } from '../fixtures/root.js'

const lacking = missing('root', 'busybox', 'docker', 'ip')
const kernelTest = (name: string, body: (t: ExecutionContext, dir: string) => Promise<void>): void => {
  if (lacking !== undefined) return test.skip(`${name} [needs ${lacking}]`, (t) => body(t, ''))
  test.serial(name, async (t) => {
    t.timeout(180_000)
    const dir = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'tsd-kernel-'))
    try {
      await body(t, dir)
    } finally {
      fs.rmSync(dir, { recursive: true, force: true })
    }
  })
}

async function withDaemon(options: DaemonOptions, body: (d: TestDaemon) => Promise<void>): Promise<void> {
  const d = await TestDaemon.start(options)
  try {
    await body(d)
  } catch (error) {
    throw new Error(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n--- daemon log\n${d.log.slice(-3000)}`)
  } finally {
    await d.destroy()
  }
}

interface Verdict {
  name: string
  verdict: string
  reason: string
  source: string
}

const why = async (d: TestDaemon, kind: string): Promise<Verdict[]> => (await d.api('GET', `/tsd/v1/drivers/why/${kind}`)).json<Verdict[]>()

/** What a stranger writes: two files in a folder. */
const stranger = {
  'package.json': JSON.stringify({
    name: 'drawers',
    version: '1.0.0',
    type: 'module',
    tsd: { kinds: [{ kind: 'volume', name: 'drawers' }] },
  }),
  'index.js': `import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { defineDriver, notFound } from 'tsd-engine/sdk'

class Drawers {
  constructor(ctx) { this.dir = ctx.dataDir }
  at(name) { return path.join(this.dir, name) }
  async create(name) { await mkdir(this.at(name), { recursive: true }) }
  async remove(name) { await rm(this.at(name), { recursive: true, force: true }) }
  async list() { return (await readdir(this.dir)).map((name) => ({ name, mountpoint: this.at(name) })) }
  async get(name) { return (await this.list()).find((volume) => volume.name === name) }
  async path(name) { return (await this.get(name))?.mountpoint }
  async mount(name) {
    if (!(await this.get(name))) throw notFound('no such drawer: ' + name)
    return { mountpoint: this.at(name) }
  }
  async unmount() {}
}

export default defineDriver({ kind: 'volume', name: 'drawers', create: (ctx) => new Drawers(ctx) })
`,
}

kernelTest('a folder with a driver of under 25 lines, dropped into a configured directory, is used by docker run -v', async (t, dir) => {
  t.true(stranger['index.js'].trimEnd().split('\n').length < 25)
  const folders = path.join(dir, 'plugins')
  fs.mkdirSync(folders)
  await withDaemon({ config: { 'plugin-folders': [folders] } }, async (d) => {
    await d.loadBusybox()
    t.regex((await d.docker('volume', 'create', '-d', 'drawers', 'vv')).stderr, /plugin "drawers" not found/)
    await d.signal('SIGTERM')
    fs.mkdirSync(path.join(folders, 'drawers'))
    for (const [file, text] of Object.entries(stranger)) fs.writeFileSync(path.join(folders, 'drawers', file), text)
    await d.boot()
    t.is(
      await d.ok(
        'run',
        '--rm',
        '--volume-driver',
        'drawers',
        '-v',
        'vv:/data',
        'busybox',
        'sh',
        '-c',
        'echo kept > /data/file; cat /data/file',
      ),
      'kept',
    )
    t.is(await d.ok('run', '--rm', '-v', 'vv:/data', 'busybox', 'cat', '/data/file'), 'kept')
    t.is(await d.ok('volume', 'ls', '--format', '{{.Driver}} {{.Name}}'), 'drawers vv')
    t.is(fs.readFileSync(path.join(d.dataRoot, 'volumes/drawers/vv/file'), 'utf8'), 'kept\n')
    t.regex((await d.tsd('driver', 'ls')).stdout, /volume\s+drawers\s+active/)
    const rows = await why(d, 'volume')
    t.is(rows.find((row) => row.name === 'drawers')?.source, path.join(folders, 'drawers'))
    // What it knows outlives it: without the folder its volumes are unusable by name, and nothing else is.
    await d.signal('SIGTERM')
    fs.rmSync(path.join(folders, 'drawers'), { recursive: true })
    await d.boot()
    t.regex((await d.docker('run', '--rm', '-v', 'vv:/data', 'busybox', 'true')).stderr, /drawers/)
    t.is(await d.ok('run', '--rm', '-v', 'other:/data', 'busybox', 'echo', 'fine'), 'fine')
    t.is(await d.ok('volume', 'ls', '--format', '{{.Driver}} {{.Name}}'), 'local other\ndrawers vv')
  })
})

kernelTest(
  'without any one of the bundled drivers the daemon boots on the next choice; configured, its absence is fatal by name',
  async (t, dir) => {
    const engine = EngineCopy.make(path.join(dir, 'engine'))
    const otherLogs = ['none', 'local', 'syslog', 'journald', 'fluentd', 'gelf']
    const next: Record<string, string> = {
      'drivers/exec/native': 'runc',
      'drivers/exec/oci': 'native',
      'drivers/graph/overlay2': 'vfs',
      'drivers/graph/vfs': 'overlay2',
      'drivers/network/host': 'bridge',
      'drivers/network/none': 'bridge',
      'plugins/log-json-file': 'none',
      ...Object.fromEntries(otherLogs.map((name) => [`plugins/log-${name}`, 'json-file'])),
    }
    const bundled = engine.bundled()
    t.true(bundled.length >= 11)
    for (const { folder, drivers } of bundled) {
      const [first = ''] = drivers
      const [kind = '', name = ''] = first.split('/')
      await engine.without(folder, async () => {
        await withDaemon({ packageRoot: engine.root }, async (d) => {
          const rows = await why(d, kind)
          const selected = rows.filter((row) => row.verdict === 'selected').map((row) => row.name)
          t.deepEqual(selected, next[folder] === undefined ? [] : [next[folder]], `${folder}: ${JSON.stringify(rows)}`)
          const gone = rows.find((row) => row.name === name)
          if (gone !== undefined) t.is(gone.verdict, 'absent', folder)
          t.true(
            gone !== undefined ||
              folder.startsWith('drivers/network/') ||
              folder === 'drivers/exec/oci' ||
              otherLogs.includes(folder.replace('plugins/log-', '')),
            folder,
          )
          t.regex((await d.tsd('driver', 'why', kind)).stdout, /^NAME/)
          await d.loadBusybox()
          const network = folder === 'drivers/network/none' ? 'host' : 'none'
          const ran = await d.docker('run', '--rm', '--network', network, 'busybox', 'echo', folder)
          if (folder !== 'drivers/network/ipam') return void t.is(ran.stdout, `${folder}\n`, ran.stderr)
          // Every network asks one of them for its addresses: those that exist without are none.
          t.regex(ran.stderr, /network none not found/)
          t.regex(d.log, /ipam.*null.*not found|null.*ipam.*not found/)
        })
        const choice = kind === 'graph' ? { 'storage-driver': name } : { drivers: { [kind]: { default: name } } }
        const error = await t.throwsAsync(TestDaemon.start({ packageRoot: engine.root, config: choice }), undefined, folder)
        t.regex(error.message, new RegExp(`^tsd daemon: .*${name}.*looked in `, 'm'), folder)
      })
    }
  },
)

kernelTest('the graph driver is chosen by configuration, prior state and priority, and never falls back', async (t, dir) => {
  const engine = EngineCopy.make(path.join(dir, 'engine'))
  await withDaemon(
    { packageRoot: engine.root, config: { drivers: { graph: { priority: ['nowhere', 'vfs', 'overlay2'] } } } },
    async (d) => {
      const choice = async (): Promise<string[]> => (await why(d, 'graph')).map((row) => `${row.name} ${row.verdict}`)
      const reboot = async (config: Record<string, unknown>): Promise<void> => {
        await d.signal('SIGTERM')
        d.options.config = config
        await d.boot()
      }
      t.deepEqual(await choice(), ['nowhere absent', 'vfs selected', 'overlay2 available'])
      // vfs has state by now, and never counts as prior.
      await reboot({})
      t.deepEqual((await choice()).slice(0, 1), ['overlay2 selected'])
      t.regex((await why(d, 'graph'))[0]?.reason ?? '', /first usable of the priority list/)
      await reboot({ drivers: { graph: { priority: ['vfs'] } } })
      const [row] = await why(d, 'graph')
      t.is(row?.name, 'overlay2')
      t.is(row?.reason, `prior state in ${d.dataRoot}/overlay2`)
      t.regex((await d.tsd('driver', 'why', 'graph')).stdout, /overlay2\s+selected\s+prior state in/)

      await engine.without('drivers/graph/overlay2', async () => {
        const absent = await t.throwsAsync(reboot({}))
        t.regex(
          absent.message,
          new RegExp(
            `graph driver overlay2 \\(prior state in ${d.dataRoot}/overlay2\\) was not found: looked in .*; set storage-driver to use another one, or move`,
          ),
        )
        await reboot({ 'storage-driver': 'vfs' })
        t.is(await d.ok('info', '-f', '{{.Driver}}'), 'vfs')
      })

      fs.mkdirSync(path.join(d.dataRoot, 'zfs'))
      fs.writeFileSync(path.join(d.dataRoot, 'zfs/.tsd-driver.json'), '{"driver":"zfs"}')
      const several = await t.throwsAsync(reboot({}))
      t.regex(
        several.message,
        /several graph drivers have prior state: overlay2 \(.*\/overlay2\), zfs \(.*\/zfs\): set storage-driver to the one to use, or move/,
      )
      const unknown = await t.throwsAsync(reboot({ 'storage-driver': 'overlay' }))
      t.regex(unknown.message, /graph driver overlay \(configured\) was not found \(did you mean "overlay2"\?\): looked in/)
      await reboot({ 'storage-driver': 'overlay2' })
      t.is(await d.ok('info', '-f', '{{.Driver}}'), 'overlay2')

      // A driver that says no at its probe: fatal when it is configured, passed over when it is not.
      const refusing = engine.folder('drivers/graph/refusing')
      fs.mkdirSync(refusing)
      fs.writeFileSync(
        path.join(refusing, 'package.json'),
        JSON.stringify({ name: 'refusing', version: '1.0.0', type: 'module', tsd: { kinds: [{ kind: 'graph', name: 'refusing' }] } }),
      )
      fs.writeFileSync(
        path.join(refusing, 'index.js'),
        `import { defineDriver } from 'tsd-engine/sdk'
       export default defineDriver({ kind: 'graph', name: 'refusing', probe: () => ({ ok: false, reason: 'the moon is not full' }), create: () => ({}) })`,
      )
      const refused = await t.throwsAsync(reboot({ 'storage-driver': 'refusing' }))
      t.regex(refused.message, /graph driver refusing \(configured\) cannot be used: the moon is not full/)
      fs.rmSync(path.join(d.dataRoot, 'zfs'), { recursive: true })
      await d.signal('SIGTERM')
      fs.rmSync(path.join(d.dataRoot, 'overlay2'), { recursive: true })
      await reboot({ drivers: { graph: { priority: ['refusing', 'overlay2'] } } })
      t.deepEqual((await choice()).slice(0, 2), ['refusing refused', 'overlay2 selected'])
    },
  )
})

kernelTest('an unknown driver fails at once and says what was meant', async (t) => {
  await withDaemon({}, async (d) => {
    await d.loadBusybox()
    const cases: [string[], RegExp][] = [
      [
        ['volume', 'create', '-d', 'lokal', 'vv'],
        /error looking up volume plugin lokal: .*plugin "lokal" not found \(did you mean "local"\?\): looked in/,
      ],
      [['run', '--rm', '--runtime', 'runk', 'busybox', 'true'], /unknown or invalid runtime name: runk/],
      [['run', '--rm', '--log-driver', 'json-fil', 'busybox', 'true'], /no log driver named 'json-fil' is registered/],
      [['run', '--rm', '--volume-driver', 'nfs', '-v', 'xx:/x', 'busybox', 'true'], /plugin "nfs" not found/],
      [['network', 'create', '-d', 'brigde', 'nn'], /brigde/],
    ]
    for (const [args, message] of cases) {
      const started = Date.now()
      const { code, stderr } = await d.docker(...args)
      t.not(code, 0, args.join(' '))
      t.regex(stderr, message)
      t.true(Date.now() - started < 2_000, `${args.join(' ')}: ${Date.now() - started} ms`)
    }
  })
})

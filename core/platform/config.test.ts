import test from 'ava'
import fc from 'fast-check'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { isTsdError } from '../sdk/errors.js'
import { flagRows, parseFlags } from './config-flags.js'
import { settings } from './config-schema.js'
import { diffConfig, loadConfig, mergeConfig, parseConfigFile, reloadConfig, toEngineConfig, toKernelSettings } from './config.js'

const file = '/etc/tsd/daemon.json'
const merge = (content: object, args: string[] = []) =>
  mergeConfig(parseConfigFile(JSON.stringify(content), file), parseFlags(args).values, file)

test('defaults, file and flags are merged', (t) => {
  const { settings: merged, sources } = merge({ 'data-root': '/data', dns: ['1.1.1.1'], 'storage-opts': ['overlay2.size=1G'] }, [
    '-H',
    'unix:///a',
    '-Hunix:///b',
    '--mtu=1400',
    '-D',
    '--log-opt',
    'max-size=1m',
  ])
  const engine = toEngineConfig(merged)
  t.is(engine.dataRoot, '/data')
  t.deepEqual(engine.hosts, ['unix:///a', 'unix:///b'])
  t.is(engine.mtu, 1400)
  t.true(engine.debug)
  t.deepEqual(engine.logOpts, { 'max-size': '1m' })
  t.is(engine.execRoot, '/run/tsd')
  t.deepEqual(toKernelSettings(merged).options.graph, { '*': { 'overlay2.size': '1G' } })
  t.is(sources['mtu'], 'flag')
  t.is(sources['data-root'], file)
})

test('a flag goes before the same key of the file, and before its other spelling', (t) => {
  const { settings: merged, sources } = merge(
    {
      mtu: 1500,
      dns: ['1.1.1.1', '2.2.2.2'],
      'log-driver': 'json-file',
      'storage-driver': 'btrfs',
      drivers: { graph: { default: 'btrfs', priority: ['btrfs'] }, exec: { default: 'crun' } },
    },
    ['--mtu=1400', '--dns', '9.9.9.9', '--log-driver=none', '-s', 'vfs', '--default-runtime', 'native'],
  )
  const engine = toEngineConfig(merged)
  t.is(engine.mtu, 1400)
  t.deepEqual(engine.dns, ['9.9.9.9'])
  t.is(engine.logDriver, 'none')
  t.is(engine.storageDriver, 'vfs')
  t.is(engine.defaultRuntime, 'native')
  t.deepEqual(merged.drivers.graph, { priority: ['btrfs'] })
  t.is(sources['log-driver'], 'flag')
  t.deepEqual(toKernelSettings(merged, sources).required.sort(), ['exec/native', 'log/none'])
})

test("dockerd's own file forms are read", (t) => {
  const { settings: merged } = merge({
    runtimes: { runc: { path: '/usr/bin/runc', runtimeArgs: ['--debug'] } },
    'default-ulimits': { nofile: { Name: 'nofile', Hard: 64000, Soft: 1000 } },
    'default-shm-size': '128M',
    iptables: true,
    experimental: false,
    drivers: { graph: { default: 'vfs', priority: ['vfs'] }, volume: { options: { nfs: { server: 'x' } }, folders: ['/opt/volumes'] } },
    'plugin-folders': ['/opt/all'],
  })
  const engine = toEngineConfig(merged)
  t.deepEqual(engine.runtimes, { runc: { path: '/usr/bin/runc', args: ['--debug'] } })
  t.deepEqual(engine.defaultUlimits, { nofile: { soft: 1000, hard: 64000 } })
  t.is(engine.defaultShmSize, 128 * 1024 * 1024)
  t.is(engine.storageDriver, 'vfs')
  const kernel = toKernelSettings(merged)
  t.is(kernel.graphName, 'vfs')
  t.deepEqual(kernel.folders, ['/opt/all', '/opt/volumes'])
  t.deepEqual(kernel.options.volume, { nfs: { server: 'x' } })
  t.deepEqual(kernel.aliases, [{ kind: 'exec', name: 'runc', driver: 'oci', options: { path: '/usr/bin/runc', args: ['--debug'] } }])
  t.deepEqual(kernel.required, [])
})

test('mistakes name file, key and what was meant', (t) => {
  const bad: [object, string[], RegExp][] = [
    [{ 'data-rot': '/x' }, [], /config file \/etc\/tsd\/daemon.json: data-rot: is not a known key \(did you mean "data-root"\?\)/],
    [{ 'data-root': 'relative' }, [], /data-root: must be an absolute path/],
    [{ mtu: '1500' }, [], /mtu: must be a number/],
    [{ mtu: 1e9 }, [], /mtu: must be a whole number from 0/],
    [{ debug: 'yes' }, [], /debug: must be true or false/],
    [{ dns: ['example'] }, [], /dns: example is not an ip address/],
    [{ hosts: [] }, [], /hosts: at least one/],
    [{ hosts: ['http://x'] }, [], /a host is unix/],
    [{ hosts: ['fd://x'] }, [], /expected fd:\/\//],
    [{ hosts: ['unix://rel'] }, [], /must be absolute/],
    [{ hosts: [`unix:///${'x'.repeat(108)}`] }, [], /at most 107 bytes/],
    [{ labels: ['a=1', 'a=2'] }, [], /conflict labels/],
    [{ labels: ['novalue'] }, [], /bad attribute format: novalue/],
    [{ 'userns-remap': 'default' }, [], /userns-remap: dockerd's setting is not supported/],
    [{ 'storage-driver': 'vfs', drivers: { graph: { default: 'btrfs' } } }, [], /give one of them/],
    [{ drivers: { graf: {} } }, [], /drivers: graf is not a known key \(did you mean "graph"/],
    [{ drivers: { volume: { priority: ['x'] } } }, [], /drivers: volume.priority is not a known key/],
    [{ drivers: { volume: { folders: ['x'] } } }, [], /volume.folders\[0\]/],
    [{ runtimes: { x: { paht: '/x' } } }, [], /x.path is required/],
    [{ 'default-ulimits': { bogus: { Soft: 1, Hard: 1 } } }, [], /invalid ulimit type: bogus/],
    [
      { 'default-runtime': 'runc', drivers: { exec: { default: 'native' } } },
      [],
      /default-runtime is runc but drivers.exec.default is native/,
    ],
    [{}, ['--mtu', 'x'], /flag --mtu: must be a number/],
    [{}, ['--mtuu', '1'], /unknown flag: --mtuu \(did you mean "mtu"\?\)/],
    [{}, ['-Z'], /unknown shorthand flag: 'Z' in -Z/],
    [{}, ['--mtu'], /flag needs an argument: --mtu/],
    [{}, ['start'], /accepts no arguments, got "start"/],
    [{ 'data-root': '/run/tsd' }, [], /a reboot may destroy/],
  ]
  for (const [content, args, message] of bad) {
    const error = t.throws(() => merge(content, args), { message }, JSON.stringify([content, args]))
    t.true(isTsdError(error))
  }
  for (const text of ['{', '[]', '1', '"x"']) t.throws(() => parseConfigFile(text, file), { message: /config file/ })
  t.deepEqual(parseConfigFile('', file), {})
})

test('what the administrator chose is required, what we ship is not', (t) => {
  const { settings: merged, sources } = merge({ 'log-driver': 'syslog', drivers: { volume: { default: 'nfs' } } })
  const kernel = toKernelSettings(merged, sources)
  t.deepEqual(kernel.required.sort(), ['log/syslog', 'volume/nfs'])
  t.deepEqual(kernel.defaults.log, ['syslog'])
  t.deepEqual(kernel.defaults.exec, ['native', 'runc', 'crun'])
  t.deepEqual(toKernelSettings(merge({ 'default-address-pools': [{ base: '10.0.0.0/8', size: 24 }] }).settings).options.ipam, {
    default: { 'default-address-pools': [{ base: '10.0.0.0/8', size: 24 }] },
  })
})

test('a missing file matters only when it was named', async (t) => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-config-'))
  const named = path.join(dir, 'daemon.json')
  await t.throwsAsync(loadConfig({ file: named }), { message: /ENOENT/ })
  await fs.writeFile(named, '{"debug": true}')
  t.true((await loadConfig({ file: named })).settings.debug)
  await fs.rm(dir, { recursive: true })
})

test('reload applies what may change and names the rest', (t) => {
  const before = merge({}).settings
  const after = merge({ debug: true, labels: ['a=1'], mtu: 1400 }).settings
  t.deepEqual(diffConfig(before, after), { reload: ['debug', 'labels'], restart: ['mtu'] })
  const applied = reloadConfig(before, after)
  t.true(applied.debug)
  t.is(applied.mtu, 0)
})

test('the table is whole: keys and flags are unique and defaults read back', (t) => {
  const keys = settings.map((one) => one.key)
  t.is(new Set(keys).size, keys.length)
  const flags = flagRows().flatMap((row) => [row.long, ...(row.short === undefined ? [] : [row.short])])
  t.is(new Set(flags).size, flags.length)
  for (const one of settings) if (one.key !== 'runtimes') t.deepEqual(one.type.fromFile(one.default), one.default, one.key)
  t.true(parseFlags(['--validate', '--timings', '--config-file=/x']).validate)
})

test('no file makes it throw anything but its own error', (t) => {
  const key = fc.constantFrom(...settings.map((one) => one.key as string), '__proto__', 'constructor', 'x')
  fc.assert(
    fc.property(fc.dictionary(key, fc.jsonValue()), (content) => {
      try {
        merge(content)
      } catch (error) {
        t.true(isTsdError(error), String((error as Error).stack))
      }
    }),
    { numRuns: 400 },
  )
})

test('registries: mirrors are URLs without secrets, insecure ones are hosts or ranges', (t) => {
  const read = (content: Record<string, unknown>) => parseConfigFile(JSON.stringify(content), 'f')
  t.deepEqual(read({ 'registry-mirrors': ['https://mirror.example/'], 'insecure-registries': ['a:5000', '10.0.0.0/8', '[::1]:5000'] }), {
    'registry-mirrors': ['https://mirror.example'],
    'insecure-registries': ['a:5000', '10.0.0.0/8', '[::1]:5000'],
  })
  for (const mirror of ['mirror.example', 'ftp://mirror.example', 'https://user:secret@mirror.example', 'https://mirror.example/?x'])
    t.throws(() => read({ 'registry-mirrors': [mirror] }), { message: /^config file f: registry-mirrors: invalid mirror/ }, mirror)
  for (const host of ['http://a', 'a/b', '10.0.0.0/33', 'a b', ''])
    t.throws(() => read({ 'insecure-registries': [host] }), { message: /invalid insecure registry/ }, host)
})

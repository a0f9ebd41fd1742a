import test from 'ava'
import type { ContainerBundle, OciSpec } from 'tsd-engine/sdk'
import { encodePlan, parseCgroupLayout } from 'tsd-engine/native'
import { cgroupPathsOf, checkCgroupsPath, ioWeight, weightOfShares, writesV1, writesV2 } from './cgroups.js'
import { composeContainer, composeExec } from './compose.js'
import { mountOps, SharedBinds } from './mounts.js'
import { MOUNT_ATTR, MS, parseMountOptions } from './options.js'
import { blkioV1, ioV2, keyed } from './stats.js'

const hybrid = `24 30 0:22 / /proc rw - proc proc rw
31 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`

test('a hybrid machine counts as cgroup v1', (t) => {
  const layout = parseCgroupLayout(hybrid)
  if (layout?.version !== 1) return t.fail()
  t.deepEqual(
    layout.hierarchies.map(({ name, controllers }) => [name, ...controllers]),
    [
      ['cpu,cpuacct', 'cpu', 'cpuacct'],
      ['memory', 'memory'],
      ['systemd', 'name=systemd'],
    ],
  )
  const paths = cgroupPathsOf(layout, '/tsd/x')
  t.is(paths.byController.cpuacct, '/sys/fs/cgroup/cpu,cpuacct/tsd/x')
  t.is(paths.dirs.length, 3)
})

test('a unified machine is cgroup v2', (t) => {
  const layout = parseCgroupLayout('34 30 0:32 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw')
  t.is(layout?.version, 2)
  t.is(parseCgroupLayout('24 30 0:22 / /proc rw - proc proc rw'), undefined)
})

test('cgroup v2 settings', (t) => {
  const writes = writesV2({
    memory: { limit: 100, swap: 150, reservation: 50 },
    cpu: { shares: 1024, quota: 5000, period: 10000, cpus: '0-1' },
    pids: { limit: -1 },
    blockIO: { weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 99 }] },
    unified: { 'memory.high': '70' },
  })
  t.deepEqual(
    writes.map(({ file, value }) => `${file}=${value}`),
    [
      'memory.max=100',
      'memory.low=50',
      'memory.swap.max=50',
      'cpu.weight=39',
      'cpu.max=5000 10000',
      'cpuset.cpus=0-1',
      'pids.max=max',
      'io.bfq.weight=500',
      `io.weight=${ioWeight(500)}`,
      'io.max=8:0 rbps=99',
      'memory.high=70',
    ],
  )
  t.is(
    writesV2({ memory: { limit: -1, swap: -1 } })
      .map(({ value }) => value)
      .join(),
    'max,max',
  )
  t.is(writesV2({ cpu: { quota: -1 } })[0]?.value, 'max 100000')
  t.deepEqual([weightOfShares(2), weightOfShares(262144)], [1, 10000])
  t.deepEqual([ioWeight(10), ioWeight(1000)], [1, 10000])
  t.throws(() => writesV2({ memory: { disableOOMKiller: true } }), { message: /OomKillDisable/ })
  t.throws(() => writesV2({ unified: { '../x': '1' } }), { message: /invalid cgroup v2 setting/ })
})

test('cgroup v1 refuses what only v2 has', (t) => {
  t.throws(() => writesV1({ unified: { 'memory.high': '1' } }), { message: /cgroup v1/ })
  t.deepEqual(
    writesV1({ devices: [{ allow: false }, { allow: true, type: 'c', major: 1, access: 'rw' }] }).map(
      ({ file, value }) => `${file} ${value}`,
    ),
    ['devices.deny a', 'devices.allow c 1:* rw'],
  )
})

test('cgroup paths stay below their hierarchy', (t) => {
  t.is(checkCgroupsPath('/a//b/'), '/a/b')
  for (const bad of ['/a/../../b', 'a', '/', '']) t.throws(() => checkCgroupsPath(bad))
})

test('mount options', (t) => {
  const options = parseMountOptions(['rbind', 'ro', 'rro', 'nosuid', 'rslave', 'size=1m', 'noatime'])
  t.true(options.bind && options.recursive)
  t.is(options.flags, MS.RDONLY | MS.NOSUID | MS.NOATIME)
  t.is(options.set, MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID | MOUNT_ATTR.NOATIME)
  t.is(options.recursiveSet, MOUNT_ATTR.RDONLY)
  t.is(options.propagation, MS.SLAVE | MS.REC)
  t.deepEqual(options.data, ['size=1m'])
  t.is(parseMountOptions(['ro', 'rw', 'noexec', 'exec']).flags, 0)
  t.deepEqual(parseMountOptions(['idmap']).refused, ['idmap'])
})

test('shared binds are opened before the mount namespace is made', (t) => {
  const shared = new SharedBinds(5)
  const ops = mountOps([{ destination: '/x', type: 'bind', source: '/y', options: ['rbind', 'rshared'] }], undefined, shared)
  t.deepEqual(shared.ops, [{ op: 'openTree', slot: 5, path: '/y', recursive: true }])
  t.false(ops.some(({ op }) => op === 'openTree'))
})

test('mounts over /proc and outside the root are refused', (t) => {
  const mount = (destination: string) => mountOps([{ destination, type: 'bind', source: '/y' }], undefined, new SharedBinds(5))
  for (const bad of ['/proc', '/proc/sys', '/proc/../proc/1', 'relative', '/a/../../b'])
    t.throws(() => mount(bad), { message: /proc|destination/ }, bad)
  t.notThrows(() => mount('/proc/cpuinfo'))
  t.notThrows(() => mount('/data/'))
})

const spec = (linux: Partial<OciSpec['linux']> = {}): OciSpec => ({
  ociVersion: '1.0.2',
  process: { user: { uid: 0, gid: 0 }, args: ['true'], cwd: '/' },
  root: { path: 'rootfs' },
  mounts: [],
  linux: { namespaces: [{ type: 'mount' }, { type: 'pid' }], ...linux },
})

const compose = (value: OciSpec) =>
  composeContainer({
    bundle: { id: 'x', bundle: '/bundle', spec: value, rootfs: [], shim: { id: 'x' } } as unknown as ContainerBundle,
    filter: undefined,
    layout: undefined,
    at: '/at',
    pidFile: '/pid',
    stateFile: '/state',
    stored: { version: 1, id: 'x', shimId: 'x', namespaces: [], parked: false },
    park: false,
  })

test('a plan can be encoded, and says what it needs', (t) => {
  const { plan } = compose(spec())
  t.true(encodePlan(plan).length > 100)
  t.deepEqual(plan.clone, [{ op: 'clone', flags: 0x20020000 }])
  t.true(plan.child?.some((op) => op.op === 'openTree' && op.path === '/bundle/rootfs'))
  t.is(plan.child?.at(-1)?.op, 'exec')
  t.throws(() => compose(spec({ namespaces: [{ type: 'mount' }, { type: 'user' }] })), { message: /user namespaces/ })
  t.throws(() => compose(spec({ namespaces: [] })), { message: /mount namespace/ })
})

test('an exec enters the mount namespace last', (t) => {
  const plan = composeExec({
    pid: 7,
    namespaces: ['mount', 'network', 'pid', 'ipc'],
    cgroups: undefined,
    process: spec().process,
    filter: undefined,
    pidFile: '/pid',
  })
  t.deepEqual(
    plan.host?.filter((op) => op.op === 'openNs').map((op) => op.path),
    ['/proc/7/ns/net', '/proc/7/ns/pid', '/proc/7/ns/ipc', '/proc/7/ns/mnt'],
  )
  t.deepEqual(
    plan.child?.filter((op) => op.op === 'setNs').map((op) => op.flags),
    [0x40000000, 0x08000000, 0x00020000],
  )
})

test('counters', (t) => {
  t.deepEqual(keyed('a 1\nb c 2\n\n'), { a: 1, 'b c': 2 })
  t.deepEqual(blkioV1('8:0 Read 12\n8:0 Total 12\nTotal 12\n', 'bytes'), [
    { op: 'Read', major: 8, minor: 0, value: 12, kind: 'bytes' },
    { op: 'Total', major: 8, minor: 0, value: 12, kind: 'bytes' },
  ])
  t.is(ioV2('8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5\n').length, 4)
})

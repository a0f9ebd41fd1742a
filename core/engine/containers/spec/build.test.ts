import test from 'ava'
import type { ContainerConfig, HostConfig } from '../../../schema/engine-api.js'
import { buildSpec, cgroupsPathOf, type HostFacts, type SpecInput } from './build.js'
import { DEFAULT_CAPABILITIES, effectiveCapabilities } from './capabilities.js'
import { parseDeviceRule } from './devices.js'
import { parseCpuList } from './limits.js'
import { mergeImageConfig } from './merge.js'
import { tmpfsOptions } from './mounts.js'
import { buildExecProcess, mergeEnvironment } from './process.js'
import { parseSeccompProfile, seccompOf } from './seccomp.js'
import { defaultSeccompProfile } from './seccomp-default.js'
import { securityOptions } from './security.js'

const facts: HostFacts = {
  cgroupVersion: 1,
  capabilities: [...DEFAULT_CAPABILITIES, 'CAP_SYS_ADMIN', 'CAP_NET_ADMIN'],
  architecture: 'amd64',
  kernel: [6, 1],
  cpus: 2,
  cpusetCpus: '0-1',
  cpusetMems: '0',
  apparmor: false,
  swapLimit: true,
  oomControl: true,
  blockWeight: true,
  cpuRealtime: false,
  hugepageSizes: ['2MB'],
}

const input = (hostConfig: HostConfig = {}, config: ContainerConfig = {}, more: Partial<SpecInput> = {}): SpecInput => ({
  id: 'abc',
  config: { Cmd: ['true'], ...config },
  hostConfig,
  hostname: 'abc',
  domainname: '',
  mounts: [],
  files: { hosts: '/c/hosts', hostname: '/c/hostname', resolvConf: '/c/resolv.conf' },
  join: {},
  devices: { nodes: [], block: {} },
  facts,
  daemon: { cgroupParent: '/tsd', defaultUlimits: {}, defaultShmSize: 0, noNewPrivileges: false, init: false, initPath: '/usr/lib/init' },
  rootPath: 'rootfs',
  ...more,
})

const at = (spec: ReturnType<typeof buildSpec>, destination: string) => spec.mounts.filter((mount) => mount.destination === destination)

test('the usual container', (t) => {
  const spec = buildSpec(input())
  t.deepEqual(
    spec.linux.namespaces.map(({ type }) => type),
    ['mount', 'network', 'uts', 'pid', 'ipc'],
  )
  t.is(spec.linux.cgroupsPath, '/tsd/abc')
  t.deepEqual(spec.process.capabilities?.bounding, DEFAULT_CAPABILITIES)
  t.deepEqual(spec.process.env, ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOSTNAME=abc'])
  t.is(at(spec, '/etc/hosts')[0]?.source, '/c/hosts')
  t.true(spec.linux.maskedPaths?.includes('/proc/kcore'))
})

test('cgroup v2 containers see a cgroup namespace of their own', (t) => {
  const spec = buildSpec(input({}, {}, { facts: { ...facts, cgroupVersion: 2 } }))
  t.true(spec.linux.namespaces.some(({ type }) => type === 'cgroup'))
})

test("the user's mounts replace the system's and come from the root outwards", (t) => {
  const bind = (destination: string) => ({ type: 'bind' as const, source: '/s', destination, readonly: true })
  const spec = buildSpec(input({}, {}, { mounts: [bind('/a/b'), bind('/a'), bind('/dev/shm'), bind('/etc/hosts')] }))
  t.is(at(spec, '/dev/shm').length, 1)
  t.is(at(spec, '/dev/shm')[0]?.type, 'bind')
  t.is(at(spec, '/etc/hosts').length, 1)
  const order = spec.mounts.map(({ destination }) => destination)
  t.true(order.indexOf('/a') < order.indexOf('/a/b'))
  t.deepEqual(at(spec, '/a')[0]?.options, ['rbind', 'rprivate', 'ro', 'rro'])
})

test('joined namespaces need a running container', (t) => {
  t.throws(() => buildSpec(input({ PidMode: 'container:x' })), { message: /cannot join the pid namespace of container x/ })
  const spec = buildSpec(input({ PidMode: 'container:x', NetworkMode: 'container:x' }, {}, { join: { pid: '/p', network: '/n' } }))
  t.deepEqual(
    spec.linux.namespaces.filter(({ path }) => path !== undefined).map(({ path }) => path),
    ['/n', '/p'],
  )
  t.deepEqual(spec.linux.sysctl, {})
})

test('capabilities', (t) => {
  const held = ['CAP_CHOWN', 'CAP_SYS_ADMIN']
  t.deepEqual(effectiveCapabilities({ privileged: true }, held), held)
  t.deepEqual(effectiveCapabilities({ privileged: false, add: ['ALL'], drop: ['chown'] }, held), ['CAP_SYS_ADMIN'])
  t.deepEqual(effectiveCapabilities({ privileged: false, drop: ['all'] }, held), [])
  t.throws(() => effectiveCapabilities({ privileged: false, add: ['foo'] }, held), {
    message: 'invalid CapAdd: unknown capability: "CAP_FOO"',
  })
})

test('the environment', (t) => {
  t.deepEqual(mergeEnvironment(['A=1', 'B=2'], ['A=3', 'C=4', 'B']), ['A=3', 'C=4'])
  const process = buildExecProcess(input({}, { Env: ['A=1'], WorkingDir: '/w', User: 'web' }), { Cmd: ['x'], Env: ['A=2'], Tty: true })
  t.deepEqual(process.env?.slice(1), ['HOSTNAME=abc', 'TERM=xterm', 'A=2'])
  t.is(process.cwd, '/w')
  t.is(process.user.username, 'web')
  t.throws(() => buildExecProcess(input(), { Cmd: ['x'], WorkingDir: 'tmp' }), {
    message: /'tmp' is invalid, it needs to be an absolute path/,
  })
  t.throws(() => buildExecProcess(input(), { Cmd: [] }), { message: 'No exec command specified' })
  t.true(buildExecProcess(input(), { Cmd: ['x'], Privileged: true }).capabilities?.effective?.includes('CAP_SYS_ADMIN'))
})

test('what the image decides', (t) => {
  const image = {
    User: 'web',
    ExposedPorts: { '80/tcp': {} },
    Env: ['A=1', 'B=2'],
    Entrypoint: ['/entry'],
    Cmd: ['serve'],
    Volumes: { '/v': {} },
    WorkingDir: '/w',
    Labels: { a: '1' },
    StopSignal: 'SIGQUIT',
    Shell: null,
    Healthcheck: null,
    ArgsEscaped: false,
  }
  const plain = mergeImageConfig({}, image)
  t.deepEqual([plain.Entrypoint, plain.Cmd, plain.User, plain.StopSignal], [['/entry'], ['serve'], 'web', 'SIGQUIT'])
  t.deepEqual(mergeImageConfig({ Cmd: ['x'] }, image).Entrypoint, ['/entry'])
  t.is(mergeImageConfig({ Entrypoint: ['/mine'] }, image).Cmd, null)
  const cleared = mergeImageConfig({ Entrypoint: [''], Cmd: ['x'] }, image)
  t.deepEqual([cleared.Entrypoint, cleared.Cmd], [null, ['x']])
  t.deepEqual(mergeImageConfig({ Env: ['B=3'] }, image).Env, ['B=3', 'A=1'])
})

test('tmpfs options', (t) => {
  t.deepEqual(tmpfsOptions(''), ['noexec', 'nosuid', 'nodev'])
  t.deepEqual(tmpfsOptions('exec,size=1m,rw'), ['exec', 'nosuid', 'nodev', 'size=1m', 'rw'])
  for (const bad of ['size=x', 'bind', 'shared', 'upperdir=/etc'])
    t.throws(() => tmpfsOptions(bad), { message: `invalid tmpfs option ["${bad}"]` })
})

test('security options', (t) => {
  t.deepEqual(securityOptions(['no-new-privileges:true', 'seccomp=unconfined', 'label=disable']), {
    noNewPrivileges: true,
    seccomp: 'unconfined',
  })
  t.throws(() => securityOptions(['nonsense']), { message: 'invalid --security-opt 1: "nonsense"' })
  t.throws(() => securityOptions(['foo=bar']), { message: 'invalid --security-opt 2: "foo=bar"' })
  t.throws(() => securityOptions(['label=level:s0']), { message: /SELinux/ })
})

test('seccomp profiles', (t) => {
  const names = (caps: string[], architecture = 'amd64') =>
    new Set(
      seccompOf(defaultSeccompProfile, caps, architecture, [6, 1])
        .syscalls?.filter(({ action }) => action === 'SCMP_ACT_ALLOW')
        .flatMap((rule) => rule.names),
    )
  t.is(defaultSeccompProfile.syscalls.length, 33)
  t.false(names([]).has('mount'))
  t.true(names(['CAP_SYS_ADMIN']).has('mount'))
  t.true(names([]).has('arch_prctl'))
  t.false(names([], 'arm64').has('arch_prctl'))
  t.is(seccompOf(defaultSeccompProfile, ['B', 'A'], 'amd64', [6, 1]), seccompOf(defaultSeccompProfile, ['A', 'B'], 'amd64', [6, 1]))
  t.true(seccompOf(defaultSeccompProfile, [], 'amd64', [4, 7]).syscalls?.every((rule) => !rule.names.includes('ptrace')))
  t.throws(() => parseSeccompProfile('{'), { message: /Decoding seccomp profile failed/ })
  t.throws(() => parseSeccompProfile('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":"x"}]}'), { message: /names must be a list/ })
})

test('small grammars', (t) => {
  t.deepEqual(parseCpuList('0-2,7'), [0, 1, 2, 7])
  t.is(parseCpuList('2-1'), undefined)
  t.deepEqual(parseDeviceRule('c 1:* rwm'), { allow: true, type: 'c', major: 1, access: 'rwm' })
  t.throws(() => parseDeviceRule('x 1:1 r'), { message: "invalid device cgroup rule format: 'x 1:1 r'" })
  t.is(cgroupsPathOf('/own/', '/tsd', 'id'), '/own/id')
  t.is(cgroupsPathOf('own', '/tsd', 'id'), '/own/id')
})

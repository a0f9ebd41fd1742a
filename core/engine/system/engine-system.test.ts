import 'reflect-metadata'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import type { Containers } from '../containers/index.js'
import type { Events } from '../events/index.js'
import type { Volumes } from '../volumes/index.js'
import type { Images } from '../images/index.js'
import type { Clock, Drivers, EngineConfig } from '../ports/index.js'
import { EngineSystem, release } from './index.js'
import { parseOsRelease } from './machine.js'

const config = (dataRoot: string): EngineConfig =>
  ({
    dataRoot,
    labels: ['a=b'],
    debug: false,
    liveRestore: true,
    logDriver: 'json-file',
    defaultRuntime: '',
    runtimes: { runc: { path: 'runc', args: ['--debug'] } },
    seccompProfile: 'builtin',
    noNewPrivileges: false,
    init: false,
    initPath: '/usr/lib/tsd/init',
    registryMirrors: ['https://mirror.example/hub'],
    insecureRegistries: ['registry.example:5000', '10.0.0.0/8'],
  }) as Partial<EngineConfig> as EngineConfig

const drivers = {
  defaultName: (kind: string) => ({ graph: 'overlay2', exec: 'native' })[kind] ?? '',
  active: () => ({ status: async () => [['Backing Filesystem', 'extfs']] }),
  names: async (kind: string) => {
    if (kind === 'log') throw new Error('out of order')
    return kind === 'exec' ? ['native'] : ['b', 'a']
  },
} as unknown as Drivers

const make = (dataRoot: string): EngineSystem =>
  new EngineSystem(
    config(dataRoot),
    drivers,
    { count: async () => 4 } as Partial<Images> as Images,
    { counts: () => ({ total: 3, running: 1, paused: 1, stopped: 1 }) } as Partial<Containers> as Containers,
    { timestamp: () => '2024-01-01T00:00:00Z', now: () => 0 } as Clock,
    {} as Volumes,
    { listeners: 2 } as Events,
  )

test('info: counts, drivers, an identity that stays', async (t) => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'tsd-system-'))
  const info = await make(dir).info()
  t.like(info, {
    Containers: 3,
    ContainersPaused: 1,
    Images: 4,
    Driver: 'overlay2',
    DriverStatus: [['Backing Filesystem', 'extfs']],
    Plugins: { Volume: ['a', 'b'], Network: ['a', 'b'], Log: [] },
    DefaultRuntime: 'native',
    Runtimes: { native: { path: 'native' }, runc: { path: 'runc', runtimeArgs: ['--debug'] } },
    LiveRestoreEnabled: true,
    CgroupDriver: 'cgroupfs',
    NEventsListener: 2,
    OSType: 'linux',
    Labels: ['a=b'],
    RegistryConfig: {
      InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8', '10.0.0.0/8'],
      IndexConfigs: {
        'docker.io': { Name: 'docker.io', Mirrors: ['https://mirror.example/hub/'], Secure: true, Official: true },
        'registry.example:5000': { Name: 'registry.example:5000', Mirrors: [], Secure: false, Official: false },
      },
      Mirrors: ['https://mirror.example/hub/'],
    },
  })
  t.regex(info.ID!, /^[0-9a-f-]{36}$/)
  t.is((await make(dir).info()).ID, info.ID)
  t.true(info.NCPU! > 0 && info.MemTotal! > 0)
  await fs.rm(dir, { recursive: true })
})

test('version', async (t) => {
  const version = await make('/nonexistent').version()
  t.like(version, { ApiVersion: '1.51', MinAPIVersion: '1.24', Os: 'linux', Platform: { Name: 'tsd' }, Version: release().version })
  t.regex(version.Version!, /^\d+\.\d+\.\d+/)
})

test('os-release quoting', (t) => {
  t.deepEqual(parseOsRelease('NAME="A \\"b\\""\nVERSION_ID=12\n# c\nPRETTY_NAME=\'x y\'\n'), {
    NAME: 'A "b"',
    VERSION_ID: '12',
    PRETTY_NAME: 'x y',
  })
})

import fs from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { createApi, type ApiServer } from '../api/server.js'
import { checkHost } from '../api/hosts.js'
import type { EngineConfig } from '../engine/ports/index.js'
import { parseSeccompProfile, readHostFacts, usualSeccomp } from '../engine/containers/index.js'
import { release } from '../engine/system/index.js'
import { messageOf } from '../sdk/errors.js'
import { FileLedger } from '../kernel/ledger.js'
import type { DriverServices } from '../kernel/contexts.js'
import { DriverManager } from '../kernel/manager.js'
import { pluginRoots } from '../kernel/places.js'
import type { Timings } from '../kernel/timings.js'
import { WorkerArchiver } from '../platform/archiver/archiver.js'
import { HttpDownloads } from '../platform/downloads.js'
import { WorkerContainerFiles } from '../platform/archiver/container-files.js'
import { SystemClock } from '../platform/clock.js'
import { toEngineConfig, toKernelSettings, type DaemonConfig } from '../platform/config.js'
import { Fence } from '../platform/fence.js'
import type { DaemonLogger } from '../platform/logger.js'
import { LevelMetadataStore } from '../platform/metadata-store.js'
import { HelperMounter } from '../platform/mounter.js'
import { loadTls } from '../platform/tls-files.js'
import { takeActivatedSockets } from '../platform/activation.js'
import { PidFile } from '../platform/pidfile.js'
import { HelperNetworkNamespaces } from '../platform/network-namespaces.js'
import { ShimSpawner } from '../platform/spawner.js'
import { SystemZstd } from '../platform/zstd.js'
import { Disposables } from '../base/disposables.js'
import { wire, type Engine } from './wiring.js'

/** dist/, where the bundled drivers and plugins lie. */
const packageDist = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

export interface Daemon {
  engine: Engine
  api: ApiServer
  drivers: DriverManager
  /** As the engine reads it; changed in place by a reload. */
  config: EngineConfig
  /** Docker's event of a changed configuration. */
  announceReload(): Promise<void>
  /** Undoes the boot, last first. */
  stop(): Promise<void>
}

async function seccompProfile(setting: string): Promise<ReturnType<typeof parseSeccompProfile> | null | undefined> {
  if (setting === '' || setting === 'builtin') return undefined
  if (setting === 'unconfined') return null
  return parseSeccompProfile(await fs.readFile(setting, 'utf8'))
}

/** The engine's settings, with the defaults of kinds as the kernel chose them: what we ship as a default may not be installed. */
export function engineView(settings: DaemonConfig['settings'], drivers: Pick<DriverManager, 'defaultName'>): EngineConfig {
  return { ...toEngineConfig(settings), defaultRuntime: drivers.defaultName('exec'), logDriver: drivers.defaultName('log') }
}

/** From settings to a served API. Whatever fails, what was made before it is undone. */
export async function boot(daemonConfig: DaemonConfig, logger: DaemonLogger, timings: Timings): Promise<Daemon> {
  const stack = new Disposables()
  try {
    return await assemble(daemonConfig, logger, timings, stack)
  } catch (error) {
    await stack.dispose().catch(() => undefined)
    throw error
  }
}

async function startDrivers(
  { settings, sources }: DaemonConfig,
  services: Omit<DriverServices, 'loggerFor'>,
  fence: Fence,
  logger: DaemonLogger,
  timings: Timings,
): Promise<DriverManager> {
  const { dataRoot, execRoot, defaultBridge, cgroupParent } = toEngineConfig(settings)
  const kernel = toKernelSettings(settings, sources)
  const drivers = new DriverManager({
    settings: kernel,
    roots: pluginRoots({ dist: packageDist, dataRoot, folders: kernel.folders }),
    packageRoot: path.dirname(packageDist),
    sdkVersion: release().version,
    facts: { dataRoot, execRoot, bridge: defaultBridge, cgroupParent, name: 'tsd' },
    services: { ...services, loggerFor: (driver) => logger.child({ driver }) },
    logger,
    timings,
    docker: kernel.docker,
    children: { onStart: (pid) => fence.recordHelper(pid), inherit: [fence.generationFd] },
  })
  await drivers.start()
  return drivers
}

async function assemble(daemonConfig: DaemonConfig, logger: DaemonLogger, timings: Timings, stack: Disposables): Promise<Daemon> {
  const config = toEngineConfig(daemonConfig.settings)
  const { dataRoot, execRoot } = config
  // Before there is a child that could inherit them.
  const activated = takeActivatedSockets(process.env, process.pid)
  const tls = await loadTls(daemonConfig.settings, process.env)
  for (const host of config.hosts) await checkHost(host, { tls, activated })
  const fence = stack.use('fence', await timings.span('fence', () => Fence.acquire({ dataRoot, execRoot })), (f) => f.release())
  stack.use('pid file', PidFile.write(daemonConfig.settings.pidfile || path.join(execRoot, 'tsd.pid')), (file) => file.remove())
  const [facts, profile, store] = await timings.span('host facts and metadata store', () =>
    Promise.all([readHostFacts(), seccompProfile(config.seccompProfile), LevelMetadataStore.open(path.join(dataRoot, 'meta'))]),
  )
  stack.defer('metadata store', () => store.close())
  const ledger = stack.use('ledger', new FileLedger(path.join(execRoot, 'ledger')), (l) => l.close())
  const clock = new SystemClock()
  const spawner = stack.use(
    'zygote',
    new ShimSpawner({
      lockFile: fence.generationFile,
      onStart: (pid) => fence.recordHelper(pid),
      onDeath: (reason) => logger.warn(`the zygote ended and is replaced: ${reason}`),
    }),
    (s) => s.stop(),
  )
  await timings.span('zygote', () => spawner.zygote.start())
  const mounter = new HelperMounter(spawner)
  const archiver = new WorkerArchiver()
  const drivers = await startDrivers(daemonConfig, { spawner, mounter, archiver }, fence, logger, timings)
  stack.defer('drivers', () => drivers.dispose())
  Object.assign(config, engineView(daemonConfig.settings, drivers))
  const engine = wire({
    config,
    facts,
    seccompProfile: profile,
    drivers,
    ledger,
    store,
    shims: spawner,
    spawner,
    netns: new HelperNetworkNamespaces(spawner),
    mounter,
    archiver,
    downloads: new HttpDownloads(),
    files: new WorkerContainerFiles(),
    zstd: new SystemZstd(),
    clock,
    logger,
  })
  await timings.span('restore', () => engine.restore.run())
  const api = createApi(
    { ...engine, logger, timings: () => timings.toJSON() },
    {
      group: config.group,
      version: release().version,
      activated,
      ...(tls === undefined ? {} : { tls }),
    },
  )
  stack.defer('api', () => api.close())
  await timings.span('listen', async () => {
    for (const host of config.hosts) await api.listen(host)
  })
  engine.restore.settle()
  const seccomp = usualSeccomp(facts, profile)
  // The first container ever should not wait for the compiler of its filter.
  if (seccomp)
    void drivers
      .active('exec', config.defaultRuntime)
      ?.warm?.(seccomp)
      .catch((error: unknown) => logger.warn(`the usual seccomp filter could not be compiled: ${messageOf(error)}`))
  const announceReload = async (): Promise<void> => {
    const { ID: id = '', Name: name = '' } = await engine.system.info()
    engine.events.publish('daemon', 'reload', id, {
      name,
      debug: String(config.debug),
      labels: JSON.stringify(config.labels),
      'live-restore': String(config.liveRestore),
      'shutdown-timeout': String(config.shutdownTimeout),
      'default-runtime': config.defaultRuntime,
      runtimes: Object.keys(config.runtimes).join(' '),
    })
  }
  return { engine, api, drivers, config, announceReload, stop: () => stack.dispose() }
}

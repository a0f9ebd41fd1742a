import path from 'node:path'
import { inject, injectable } from 'tsyringe'
import type { SystemInfo, SystemVersion } from '../../schema/engine-api.js'
import { messageOf } from '../../sdk/errors.js'
import { Containers } from '../containers/index.js'
import { Events } from '../events/index.js'
import { Images } from '../images/index.js'
import { Volumes } from '../volumes/index.js'
import { Clock, Drivers, EngineConfig } from '../ports/index.js'
import type { DiskUsage, DiskUsageType, System } from './contract.js'
import { engineId } from './engine-id.js'
import { ipv4Forwarding, openFiles, readMachine, type Machine } from './machine.js'
import { registryConfig } from './registry-config.js'
import { release } from './release.js'

const apiVersion = '1.51'
const minApiVersion = '1.24'
/** A driver may be somebody else's process: `docker info` does not wait for it longer. */
const patience = 2_000

@injectable()
export class EngineSystem implements System {
  private machine: Promise<Machine> | undefined
  private id: Promise<string> | undefined

  constructor(
    @inject(EngineConfig) private readonly config: EngineConfig,
    @inject(Drivers) private readonly drivers: Drivers,
    @inject(Images) private readonly images: Images,
    @inject(Containers) private readonly containers: Containers,
    @inject(Clock) private readonly clock: Clock,
    @inject(Volumes) private readonly volumes: Volumes,
    @inject(Events) private readonly events: Events,
  ) {}

  async version(): Promise<SystemVersion> {
    const machine = await this.machineOnce()
    const { version, gitCommit, buildTime } = release()
    const goVersion = `node${process.versions.node}`
    const common = { GitCommit: gitCommit, GoVersion: goVersion, KernelVersion: machine.kernelVersion, BuildTime: buildTime }
    const details = {
      ApiVersion: apiVersion,
      Arch: machine.goArchitecture,
      ...common,
      Experimental: 'false',
      MinAPIVersion: minApiVersion,
      Os: 'linux',
    }
    return {
      Platform: { Name: 'tsd' },
      Components: [{ Name: 'Engine', Version: version, Details: details }],
      Version: version,
      ApiVersion: apiVersion,
      MinAPIVersion: minApiVersion,
      Os: 'linux',
      Arch: machine.goArchitecture,
      Experimental: false,
      ...common,
    }
  }

  async diskUsage(types: ReadonlySet<DiskUsageType>): Promise<DiskUsage> {
    const [images, containers, volumes] = await Promise.all([
      types.has('image') ? this.images.usage() : {},
      types.has('container') ? this.containers.usage() : undefined,
      types.has('volume') ? this.volumes.usage() : undefined,
    ])
    return {
      ...images,
      ...(containers ? { Containers: containers } : {}),
      ...(volumes ? { Volumes: volumes } : {}),
      ...(types.has('build-cache') ? { BuildCache: [] } : {}),
    }
  }

  async info(): Promise<SystemInfo> {
    const { config, drivers } = this
    const graph = drivers.defaultName('graph')
    const [machine, id, images, status, volume, network, log, exec, forwarding, files] = await Promise.all([
      this.machineOnce(),
      this.idOnce(),
      this.images.count(),
      this.graphStatus(graph),
      this.names('volume'),
      this.names('network'),
      this.names('log'),
      this.names('exec'),
      ipv4Forwarding(),
      openFiles(),
    ])
    const counts = this.containers.counts()
    const { limits } = machine
    return {
      ID: id,
      Containers: counts.total,
      ContainersRunning: counts.running,
      ContainersPaused: counts.paused,
      ContainersStopped: counts.stopped,
      Images: images,
      Driver: graph,
      DriverStatus: status,
      Plugins: { Volume: volume, Network: network, Authorization: null, Log: log },
      MemoryLimit: limits.memory,
      SwapLimit: limits.swap,
      KernelMemoryTCP: limits.kernelMemoryTcp,
      CpuCfsPeriod: limits.cpuCfs,
      CpuCfsQuota: limits.cpuCfs,
      CPUShares: limits.cpuShares,
      CPUSet: limits.cpuset,
      PidsLimit: limits.pids,
      OomKillDisable: limits.oomKillDisable,
      IPv4Forwarding: forwarding,
      Debug: config.debug,
      NFd: files,
      NGoroutines: process.getActiveResourcesInfo().length,
      SystemTime: this.clock.timestamp(),
      LoggingDriver: config.logDriver,
      CgroupDriver: 'cgroupfs',
      CgroupVersion: machine.cgroupVersion,
      NEventsListener: this.events.listeners,
      KernelVersion: machine.kernelVersion,
      OperatingSystem: machine.operatingSystem,
      OSVersion: machine.osVersion,
      OSType: 'linux',
      Architecture: machine.architecture,
      IndexServerAddress: 'https://index.docker.io/v1/',
      RegistryConfig: registryConfig(config),
      NCPU: machine.cpus,
      MemTotal: machine.memory,
      DockerRootDir: config.dataRoot,
      HttpProxy: process.env['HTTP_PROXY'] ?? process.env['http_proxy'] ?? '',
      HttpsProxy: process.env['HTTPS_PROXY'] ?? process.env['https_proxy'] ?? '',
      NoProxy: process.env['NO_PROXY'] ?? process.env['no_proxy'] ?? '',
      Name: machine.hostname,
      Labels: config.labels,
      ExperimentalBuild: false,
      ServerVersion: release().version,
      Runtimes: this.runtimes(exec),
      DefaultRuntime: config.defaultRuntime || drivers.defaultName('exec'),
      Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false, Error: '', RemoteManagers: null },
      LiveRestoreEnabled: config.liveRestore,
      Isolation: '',
      InitBinary: path.basename(config.initPath),
      // Docker's words for what there is no commit of.
      ContainerdCommit: { ID: 'N/A' },
      RuncCommit: { ID: 'N/A' },
      InitCommit: { ID: 'N/A' },
      SecurityOptions: this.securityOptions(machine),
      CDISpecDirs: [],
      FirewallBackend: { Driver: 'nftables' },
      Warnings: warnings(machine, forwarding),
    }
  }

  private machineOnce(): Promise<Machine> {
    return (this.machine ??= readMachine())
  }

  private idOnce(): Promise<string> {
    this.id ??= engineId(this.config.dataRoot).catch((error: unknown) => {
      this.id = undefined
      throw error
    })
    return this.id
  }

  private names(kind: 'volume' | 'network' | 'log' | 'exec'): Promise<string[]> {
    return within(
      this.drivers.names(kind).then((names) => [...names].sort()),
      () => [],
    )
  }

  private graphStatus(name: string): Promise<[string, string][]> {
    const driver = this.drivers.active('graph', name)
    if (driver === undefined) return Promise.resolve([])
    return within(driver.status(), (why) => [['Status', why]])
  }

  private runtimes(exec: string[]): NonNullable<SystemInfo['Runtimes']> {
    const runtimes: NonNullable<SystemInfo['Runtimes']> = {}
    for (const name of exec) runtimes[name] = { path: name }
    for (const [name, { path, args }] of Object.entries(this.config.runtimes))
      runtimes[name] = { path, ...(args.length > 0 ? { runtimeArgs: args } : {}) }
    return runtimes
  }

  private securityOptions({ seccomp, cgroupVersion }: Machine): string[] {
    const options: string[] = []
    if (seccomp) options.push(`name=seccomp,profile=${this.config.seccompProfile || 'builtin'}`)
    if (cgroupVersion === '2') options.push('name=cgroupns')
    if (this.config.noNewPrivileges) options.push('name=no-new-privileges')
    return options
  }
}

/** The answer, or what stands for it when it fails or takes too long. */
function within<T>(answer: Promise<T>, otherwise: (why: string) => T): Promise<T> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(otherwise('the driver does not answer')), patience)
    answer.then(resolve, (error: unknown) => resolve(otherwise(messageOf(error)))).finally(() => clearTimeout(timer))
  })
}

/** Docker's sentences, which clients print as they come. */
function warnings({ limits, cgroupVersion }: Machine, forwarding: boolean): string[] {
  const list: string[] = []
  const lacking = (has: boolean, text: string): void => void (has || list.push(`WARNING: ${text}`))
  lacking(limits.memory, 'No memory limit support')
  lacking(limits.swap, 'No swap limit support')
  if (cgroupVersion === '1') lacking(limits.oomKillDisable, 'No oom kill disable support')
  lacking(limits.cpuCfs, 'No cpu cfs quota support')
  lacking(limits.cpuCfs, 'No cpu cfs period support')
  lacking(limits.cpuShares, 'No cpu shares support')
  lacking(limits.cpuset, 'No cpuset support')
  lacking(forwarding, 'IPv4 forwarding is disabled')
  return list
}

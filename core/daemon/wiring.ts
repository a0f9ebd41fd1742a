import { container as root, type DependencyContainer } from 'tsyringe'
import type { ApiServices } from '../api/services.js'
import { BaseImages, Builds, BuildsService, PulledBaseImages } from '../engine/builds/index.js'
import {
  Containers,
  ContainerService,
  HostFactsToken,
  SeccompSetting,
  type HostFacts,
  type SeccompProfile,
} from '../engine/containers/index.js'
import { Distribution, DistributionPace, DistributionService, usualPace } from '../engine/distribution/index.js'
import { EventLog, Events } from '../engine/events/index.js'
import { Execs, ExecService } from '../engine/execs/index.js'
import { Images, ImagesService } from '../engine/images/index.js'
import { Layers, LayerStore } from '../engine/layers/index.js'
import { Logs, LogsService } from '../engine/logs/index.js'
import { Names, NamesService } from '../engine/names/index.js'
import { Networks, NetworksService } from '../engine/networks/index.js'
import {
  Archiver,
  ContainerFiles,
  type ArchiverPort,
  Clock,
  Downloads,
  Drivers,
  EngineConfig,
  Logger,
  type LoggerPort,
  MetadataStore,
  Mounter,
  type MounterPort,
  NamespaceSockets,
  NetworkNamespaces,
  RunLedger,
  Shims,
  Spawner,
  type SpawnerPort,
  Trees,
  type TreesPort,
  Zstd,
} from '../engine/ports/index.js'
import { Restore } from '../engine/restore/index.js'
import { EngineSystem, System } from '../engine/system/index.js'
import { Volumes, VolumesService } from '../engine/volumes/index.js'

type Class<T> = new (...args: never[]) => T

/** What the composition root has made by hand: adapters and facts that exist before any service does. */
export interface Foundations {
  config: EngineConfig
  facts: HostFacts
  seccompProfile: SeccompProfile | null | undefined
  drivers: Drivers
  ledger: RunLedger
  store: MetadataStore
  shims: Shims
  spawner: SpawnerPort
  netns: NetworkNamespaces
  sockets: NamespaceSockets
  mounter: MounterPort
  archiver: ArchiverPort & TreesPort
  downloads: Downloads
  files: ContainerFiles
  zstd: Zstd
  clock: Clock
  logger: LoggerPort
}

export interface Engine extends Omit<ApiServices, 'logger' | 'timings'> {
  restore: Restore
}

/** The one place where the container is filled. Every token is bound once, and every service is made once. */
export function wire(foundations: Foundations): Engine {
  const container: DependencyContainer = root.createChildContainer()
  const value = (token: symbol, instance: unknown): void => void container.register(token, { useValue: instance })
  const service = (token: symbol, implementation: Class<unknown>): void =>
    void container.registerSingleton(token, implementation as new () => unknown)

  value(EngineConfig, foundations.config)
  value(HostFactsToken, foundations.facts)
  value(SeccompSetting, { profile: foundations.seccompProfile } satisfies SeccompSetting)
  value(Drivers, foundations.drivers)
  value(RunLedger, foundations.ledger)
  value(MetadataStore, foundations.store)
  value(Shims, foundations.shims)
  value(Spawner, foundations.spawner)
  value(NetworkNamespaces, foundations.netns)
  value(NamespaceSockets, foundations.sockets)
  value(Mounter, foundations.mounter)
  value(Archiver, foundations.archiver)
  value(Trees, foundations.archiver)
  value(Downloads, foundations.downloads)
  value(ContainerFiles, foundations.files)
  value(Zstd, foundations.zstd)
  value(Clock, foundations.clock)
  value(Logger, foundations.logger)

  service(Events, EventLog)
  service(Layers, LayerStore)
  service(Images, ImagesService)
  value(DistributionPace, usualPace)
  service(Distribution, DistributionService)
  service(Volumes, VolumesService)
  service(Networks, NetworksService)
  service(Names, NamesService)
  service(Logs, LogsService)
  service(Containers, ContainerService)
  service(Execs, ExecService)
  service(BaseImages, PulledBaseImages)
  service(Builds, BuildsService)
  service(System, EngineSystem)

  return {
    system: container.resolve<System>(System),
    events: container.resolve<Events>(Events),
    containers: container.resolve<Containers>(Containers),
    execs: container.resolve<Execs>(Execs),
    images: container.resolve<Images>(Images),
    builds: container.resolve<Builds>(Builds),
    distribution: container.resolve<Distribution>(Distribution),
    volumes: container.resolve<Volumes>(Volumes),
    networks: container.resolve<Networks>(Networks),
    drivers: foundations.drivers,
    restore: container.resolve(Restore),
  }
}

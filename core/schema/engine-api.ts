// Generated from engine-api-v1.51.json by scripts/generate-schema.mjs. Do not edit.

export type ImageHistoryResponseItem = {
  Id?: string
  Created?: number
  CreatedBy?: string
  Tags?: (string)[] | null
  Size?: number
  Comment?: string
}

export type Port = {
  IP?: string
  PrivatePort?: number
  PublicPort?: number
  Type?: ("tcp" | "udp" | "sctp")
}

export type MountPoint = {
  Type?: ("bind" | "volume" | "image" | "tmpfs" | "npipe" | "cluster")
  Name?: string
  Source?: string
  Destination?: string
  Driver?: string
  Mode?: string
  RW?: boolean
  Propagation?: string
}

export type DeviceMapping = {
  PathOnHost?: string
  PathInContainer?: string
  CgroupPermissions?: string
}

export type DeviceRequest = {
  Driver?: string
  Count?: number
  DeviceIDs?: (string)[] | null
  Capabilities?: ((string)[])[] | null
  Options?: Record<string, string> | null
}

export type ThrottleDevice = {
  Path?: string
  Rate?: number
}

export type Mount = {
  Target?: string
  Source?: string
  Type?: ("bind" | "volume" | "image" | "tmpfs" | "npipe" | "cluster")
  ReadOnly?: boolean
  Consistency?: string
  BindOptions?: {
    Propagation?: ("private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave")
    NonRecursive?: boolean
    CreateMountpoint?: boolean
    ReadOnlyNonRecursive?: boolean
    ReadOnlyForceRecursive?: boolean
  }
  VolumeOptions?: {
    NoCopy?: boolean
    Labels?: Record<string, string> | null
    DriverConfig?: {
      Name?: string
      Options?: Record<string, string> | null
    }
    Subpath?: string
  }
  ImageOptions?: {
    Subpath?: string
  }
  TmpfsOptions?: {
    SizeBytes?: number
    Mode?: number
    Options?: ((string)[])[] | null
  }
}

export type RestartPolicy = {
  Name?: ("" | "no" | "always" | "unless-stopped" | "on-failure")
  MaximumRetryCount?: number
}

export type Resources = {
  CpuShares?: number
  Memory?: number
  CgroupParent?: string
  BlkioWeight?: number
  BlkioWeightDevice?: ({
    Path?: string
    Weight?: number
  })[] | null
  BlkioDeviceReadBps?: (ThrottleDevice)[] | null
  BlkioDeviceWriteBps?: (ThrottleDevice)[] | null
  BlkioDeviceReadIOps?: (ThrottleDevice)[] | null
  BlkioDeviceWriteIOps?: (ThrottleDevice)[] | null
  CpuPeriod?: number
  CpuQuota?: number
  CpuRealtimePeriod?: number
  CpuRealtimeRuntime?: number
  CpusetCpus?: string
  CpusetMems?: string
  Devices?: (DeviceMapping)[] | null
  DeviceCgroupRules?: (string)[] | null
  DeviceRequests?: (DeviceRequest)[] | null
  KernelMemoryTCP?: number
  MemoryReservation?: number
  MemorySwap?: number
  MemorySwappiness?: number
  NanoCpus?: number
  OomKillDisable?: boolean
  Init?: boolean | null
  PidsLimit?: number | null
  Ulimits?: ({
    Name?: string
    Soft?: number
    Hard?: number
  })[] | null
  CpuCount?: number
  CpuPercent?: number
  IOMaximumIOps?: number
  IOMaximumBandwidth?: number
}

export type Limit = {
  NanoCPUs?: number
  MemoryBytes?: number
  Pids?: number
}

export type ResourceObject = {
  NanoCPUs?: number
  MemoryBytes?: number
  GenericResources?: GenericResources
}

export type GenericResources = ({
  NamedResourceSpec?: {
    Kind?: string
    Value?: string
  }
  DiscreteResourceSpec?: {
    Kind?: string
    Value?: number
  }
})[]

export type HealthConfig = {
  Test?: (string)[] | null
  Interval?: number
  Timeout?: number
  Retries?: number
  StartPeriod?: number
  StartInterval?: number
}

export type Health = {
  Status?: ("none" | "starting" | "healthy" | "unhealthy")
  FailingStreak?: number
  Log?: (HealthcheckResult)[] | null
} | null

export type HealthcheckResult = {
  Start?: string
  End?: string
  ExitCode?: number
  Output?: string
} | null

export type HostConfig = (Resources & {
  Binds?: (string)[] | null
  ContainerIDFile?: string
  LogConfig?: {
    Type?: ("local" | "json-file" | "syslog" | "journald" | "gelf" | "fluentd" | "awslogs" | "splunk" | "etwlogs" | "none")
    Config?: Record<string, string> | null
  }
  NetworkMode?: string
  PortBindings?: PortMap
  RestartPolicy?: RestartPolicy
  AutoRemove?: boolean
  VolumeDriver?: string
  VolumesFrom?: (string)[] | null
  Mounts?: (Mount)[] | null
  ConsoleSize?: (number)[] | null
  Annotations?: Record<string, string> | null
  CapAdd?: (string)[] | null
  CapDrop?: (string)[] | null
  CgroupnsMode?: ("private" | "host")
  Dns?: (string)[] | null
  DnsOptions?: (string)[] | null
  DnsSearch?: (string)[] | null
  ExtraHosts?: (string)[] | null
  GroupAdd?: (string)[] | null
  IpcMode?: string
  Cgroup?: string
  Links?: (string)[] | null
  OomScoreAdj?: number
  PidMode?: string
  Privileged?: boolean
  PublishAllPorts?: boolean
  ReadonlyRootfs?: boolean
  SecurityOpt?: (string)[] | null
  StorageOpt?: Record<string, string> | null
  Tmpfs?: Record<string, string> | null
  UTSMode?: string
  UsernsMode?: string
  ShmSize?: number
  Sysctls?: Record<string, string> | null
  Runtime?: string | null
  Isolation?: ("default" | "process" | "hyperv" | "")
  MaskedPaths?: (string)[] | null
  ReadonlyPaths?: (string)[] | null
})

export type ContainerConfig = {
  Hostname?: string
  Domainname?: string
  User?: string
  AttachStdin?: boolean
  AttachStdout?: boolean
  AttachStderr?: boolean
  ExposedPorts?: Record<string, Record<string, unknown>> | null
  Tty?: boolean
  OpenStdin?: boolean
  StdinOnce?: boolean
  Env?: (string)[] | null
  Cmd?: (string)[] | null
  Healthcheck?: HealthConfig
  ArgsEscaped?: boolean | null
  Image?: string
  Volumes?: Record<string, Record<string, unknown>> | null
  WorkingDir?: string
  Entrypoint?: (string)[] | null
  NetworkDisabled?: boolean | null
  MacAddress?: string | null
  OnBuild?: (string)[] | null
  Labels?: Record<string, string> | null
  StopSignal?: string | null
  StopTimeout?: number | null
  Shell?: (string)[] | null
}

export type ImageConfig = {
  User?: string
  ExposedPorts?: Record<string, Record<string, unknown>> | null
  Env?: (string)[] | null
  Cmd?: (string)[] | null
  Healthcheck?: HealthConfig
  ArgsEscaped?: boolean | null
  Volumes?: Record<string, Record<string, unknown>> | null
  WorkingDir?: string
  Entrypoint?: (string)[] | null
  OnBuild?: (string)[] | null
  Labels?: Record<string, string> | null
  StopSignal?: string | null
  Shell?: (string)[] | null
}

export type NetworkingConfig = {
  EndpointsConfig?: Record<string, EndpointSettings> | null
}

export type NetworkSettings = {
  Bridge?: string
  SandboxID?: string
  HairpinMode?: boolean
  LinkLocalIPv6Address?: string
  LinkLocalIPv6PrefixLen?: number
  Ports?: PortMap
  SandboxKey?: string
  SecondaryIPAddresses?: (Address)[] | null
  SecondaryIPv6Addresses?: (Address)[] | null
  EndpointID?: string
  Gateway?: string
  GlobalIPv6Address?: string
  GlobalIPv6PrefixLen?: number
  IPAddress?: string
  IPPrefixLen?: number
  IPv6Gateway?: string
  MacAddress?: string
  Networks?: Record<string, EndpointSettings> | null
}

export type Address = {
  Addr?: string
  PrefixLen?: number
}

export type PortMap = Record<string, (PortBinding)[] | null>

export type PortBinding = {
  HostIp?: string
  HostPort?: string
}

export type DriverData = {
  Name?: string
  Data?: Record<string, string> | null
}

export type FilesystemChange = {
  Path?: string
  Kind?: ChangeType
}

export type ChangeType = number

export type ImageInspect = {
  Id?: string
  Descriptor?: OCIDescriptor
  Manifests?: (ImageManifestSummary)[] | null
  RepoTags?: (string)[] | null
  RepoDigests?: (string)[] | null
  Parent?: string
  Comment?: string
  Created?: string | null
  DockerVersion?: string
  Author?: string
  Config?: ImageConfig
  Architecture?: string
  Variant?: string | null
  Os?: string
  OsVersion?: string | null
  Size?: number
  GraphDriver?: DriverData
  RootFS?: {
    Type?: string
    Layers?: (string)[] | null
  }
  Metadata?: {
    LastTagTime?: string | null
  }
}

export type ImageSummary = {
  Id?: string
  ParentId?: string
  RepoTags?: (string)[] | null
  RepoDigests?: (string)[] | null
  Created?: number
  Size?: number
  SharedSize?: number
  Labels?: Record<string, string> | null
  Containers?: number
  Manifests?: (ImageManifestSummary)[] | null
  Descriptor?: OCIDescriptor
}

export type AuthConfig = {
  username?: string
  password?: string
  email?: string
  serveraddress?: string
}

export type ProcessConfig = {
  privileged?: boolean
  user?: string
  tty?: boolean
  entrypoint?: string
  arguments?: (string)[] | null
}

export type Volume = {
  Name?: string
  Driver?: string
  Mountpoint?: string
  CreatedAt?: string
  Status?: Record<string, Record<string, unknown>> | null
  Labels?: Record<string, string> | null
  Scope?: ("local" | "global")
  ClusterVolume?: ClusterVolume
  Options?: Record<string, string> | null
  UsageData?: {
    Size?: number
    RefCount?: number
  } | null
}

export type VolumeCreateOptions = {
  Name?: string
  Driver?: string
  DriverOpts?: Record<string, string> | null
  Labels?: Record<string, string> | null
  ClusterVolumeSpec?: ClusterVolumeSpec
}

export type VolumeListResponse = {
  Volumes?: (Volume)[] | null
  Warnings?: (string)[] | null
}

export type Network = {
  Name?: string
  Id?: string
  Created?: string
  Scope?: string
  Driver?: string
  EnableIPv4?: boolean
  EnableIPv6?: boolean
  IPAM?: IPAM
  Internal?: boolean
  Attachable?: boolean
  Ingress?: boolean
  ConfigFrom?: ConfigReference
  ConfigOnly?: boolean
  Containers?: Record<string, NetworkContainer> | null
  Options?: Record<string, string> | null
  Labels?: Record<string, string> | null
  Peers?: (PeerInfo)[] | null
}

export type ConfigReference = {
  Network?: string
}

export type IPAM = {
  Driver?: string
  Config?: (IPAMConfig)[] | null
  Options?: Record<string, string> | null
}

export type IPAMConfig = {
  Subnet?: string
  IPRange?: string
  Gateway?: string
  AuxiliaryAddresses?: Record<string, string> | null
}

export type NetworkContainer = {
  Name?: string
  EndpointID?: string
  MacAddress?: string
  IPv4Address?: string
  IPv6Address?: string
}

export type PeerInfo = {
  Name?: string
  IP?: string
}

export type NetworkCreateResponse = {
  Id?: string
  Warning?: string
}

export type BuildInfo = {
  id?: string
  stream?: string
  error?: string | null
  errorDetail?: ErrorDetail
  status?: string
  progress?: string | null
  progressDetail?: ProgressDetail
  aux?: ImageID
}

export type BuildCache = {
  ID?: string
  Parents?: (string)[] | null
  Type?: ("internal" | "frontend" | "source.local" | "source.git.checkout" | "exec.cachemount" | "regular")
  Description?: string
  InUse?: boolean
  Shared?: boolean
  Size?: number
  CreatedAt?: string
  LastUsedAt?: string | null
  UsageCount?: number
}

export type ImageID = {
  ID?: string
}

export type CreateImageInfo = {
  id?: string
  error?: string | null
  errorDetail?: ErrorDetail
  status?: string
  progress?: string | null
  progressDetail?: ProgressDetail
}

export type PushImageInfo = {
  error?: string | null
  errorDetail?: ErrorDetail
  status?: string
  progress?: string | null
  progressDetail?: ProgressDetail
}

export type DeviceInfo = {
  Source?: string
  ID?: string
}

export type ErrorDetail = {
  code?: number
  message?: string
}

export type ProgressDetail = {
  current?: number
  total?: number
}

export type ErrorResponse = {
  message?: string
}

export type IDResponse = {
  Id?: string
}

export type EndpointSettings = {
  IPAMConfig?: EndpointIPAMConfig
  Links?: (string)[] | null
  MacAddress?: string
  Aliases?: (string)[] | null
  DriverOpts?: Record<string, string> | null
  GwPriority?: number
  NetworkID?: string
  EndpointID?: string
  Gateway?: string
  IPAddress?: string
  IPPrefixLen?: number
  IPv6Gateway?: string
  GlobalIPv6Address?: string
  GlobalIPv6PrefixLen?: number
  DNSNames?: (string)[] | null
}

export type EndpointIPAMConfig = {
  IPv4Address?: string
  IPv6Address?: string
  LinkLocalIPs?: (string)[] | null
} | null

export type PluginMount = {
  Name?: string
  Description?: string
  Settable?: (string)[] | null
  Source?: string
  Destination?: string
  Type?: string
  Options?: (string)[] | null
}

export type PluginDevice = {
  Name?: string
  Description?: string
  Settable?: (string)[] | null
  Path?: string
}

export type PluginEnv = {
  Name?: string
  Description?: string
  Settable?: (string)[] | null
  Value?: string
}

export type PluginInterfaceType = {
  Prefix?: string
  Capability?: string
  Version?: string
}

export type PluginPrivilege = {
  Name?: string
  Description?: string
  Value?: (string)[] | null
}

export type Plugin = {
  Id?: string
  Name?: string
  Enabled?: boolean
  Settings?: {
    Mounts?: (PluginMount)[] | null
    Env?: (string)[] | null
    Args?: (string)[] | null
    Devices?: (PluginDevice)[] | null
  }
  PluginReference?: string
  Config?: {
    DockerVersion?: string
    Description?: string
    Documentation?: string
    Interface?: {
      Types?: (PluginInterfaceType)[] | null
      Socket?: string
      ProtocolScheme?: ("" | "moby.plugins.http/v1")
    }
    Entrypoint?: (string)[] | null
    WorkDir?: string
    User?: {
      UID?: number
      GID?: number
    }
    Network?: {
      Type?: string
    }
    Linux?: {
      Capabilities?: (string)[] | null
      AllowAllDevices?: boolean
      Devices?: (PluginDevice)[] | null
    }
    PropagatedMount?: string
    IpcHost?: boolean
    PidHost?: boolean
    Mounts?: (PluginMount)[] | null
    Env?: (PluginEnv)[] | null
    Args?: {
      Name?: string
      Description?: string
      Settable?: (string)[] | null
      Value?: (string)[] | null
    }
    rootfs?: {
      type?: string
      diff_ids?: (string)[] | null
    }
  }
}

export type ObjectVersion = {
  Index?: number
}

export type NodeSpec = {
  Name?: string
  Labels?: Record<string, string> | null
  Role?: ("worker" | "manager")
  Availability?: ("active" | "pause" | "drain")
}

export type Node = {
  ID?: string
  Version?: ObjectVersion
  CreatedAt?: string
  UpdatedAt?: string
  Spec?: NodeSpec
  Description?: NodeDescription
  Status?: NodeStatus
  ManagerStatus?: ManagerStatus
}

export type NodeDescription = {
  Hostname?: string
  Platform?: Platform
  Resources?: ResourceObject
  Engine?: EngineDescription
  TLSInfo?: TLSInfo
}

export type Platform = {
  Architecture?: string
  OS?: string
}

export type EngineDescription = {
  EngineVersion?: string
  Labels?: Record<string, string> | null
  Plugins?: ({
    Type?: string
    Name?: string
  })[] | null
}

export type TLSInfo = {
  TrustRoot?: string
  CertIssuerSubject?: string
  CertIssuerPublicKey?: string
}

export type NodeStatus = {
  State?: NodeState
  Message?: string
  Addr?: string
}

export type NodeState = ("unknown" | "down" | "ready" | "disconnected")

export type ManagerStatus = {
  Leader?: boolean
  Reachability?: Reachability
  Addr?: string
} | null

export type Reachability = ("unknown" | "unreachable" | "reachable")

export type SwarmSpec = {
  Name?: string
  Labels?: Record<string, string> | null
  Orchestration?: {
    TaskHistoryRetentionLimit?: number
  } | null
  Raft?: {
    SnapshotInterval?: number
    KeepOldSnapshots?: number
    LogEntriesForSlowFollowers?: number
    ElectionTick?: number
    HeartbeatTick?: number
  }
  Dispatcher?: {
    HeartbeatPeriod?: number
  } | null
  CAConfig?: {
    NodeCertExpiry?: number
    ExternalCAs?: ({
      Protocol?: ("cfssl")
      URL?: string
      Options?: Record<string, string> | null
      CACert?: string
    })[] | null
    SigningCACert?: string
    SigningCAKey?: string
    ForceRotate?: number
  } | null
  EncryptionConfig?: {
    AutoLockManagers?: boolean
  }
  TaskDefaults?: {
    LogDriver?: {
      Name?: string
      Options?: Record<string, string> | null
    }
  }
}

export type ClusterInfo = {
  ID?: string
  Version?: ObjectVersion
  CreatedAt?: string
  UpdatedAt?: string
  Spec?: SwarmSpec
  TLSInfo?: TLSInfo
  RootRotationInProgress?: boolean
  DataPathPort?: number
  DefaultAddrPool?: (string)[] | null
  SubnetSize?: number
} | null

export type JoinTokens = {
  Worker?: string
  Manager?: string
}

export type Swarm = (ClusterInfo & {
  JoinTokens?: JoinTokens
})

export type TaskSpec = {
  PluginSpec?: {
    Name?: string
    Remote?: string
    Disabled?: boolean
    PluginPrivilege?: (PluginPrivilege)[] | null
  }
  ContainerSpec?: {
    Image?: string
    Labels?: Record<string, string> | null
    Command?: (string)[] | null
    Args?: (string)[] | null
    Hostname?: string
    Env?: (string)[] | null
    Dir?: string
    User?: string
    Groups?: (string)[] | null
    Privileges?: {
      CredentialSpec?: {
        Config?: string
        File?: string
        Registry?: string
      }
      SELinuxContext?: {
        Disable?: boolean
        User?: string
        Role?: string
        Type?: string
        Level?: string
      }
      Seccomp?: {
        Mode?: ("default" | "unconfined" | "custom")
        Profile?: string
      }
      AppArmor?: {
        Mode?: ("default" | "disabled")
      }
      NoNewPrivileges?: boolean
    }
    TTY?: boolean
    OpenStdin?: boolean
    ReadOnly?: boolean
    Mounts?: (Mount)[] | null
    StopSignal?: string
    StopGracePeriod?: number
    HealthCheck?: HealthConfig
    Hosts?: (string)[] | null
    DNSConfig?: {
      Nameservers?: (string)[] | null
      Search?: (string)[] | null
      Options?: (string)[] | null
    }
    Secrets?: ({
      File?: {
        Name?: string
        UID?: string
        GID?: string
        Mode?: number
      }
      SecretID?: string
      SecretName?: string
    })[] | null
    OomScoreAdj?: number
    Configs?: ({
      File?: {
        Name?: string
        UID?: string
        GID?: string
        Mode?: number
      }
      Runtime?: Record<string, unknown>
      ConfigID?: string
      ConfigName?: string
    })[] | null
    Isolation?: ("default" | "process" | "hyperv" | "")
    Init?: boolean | null
    Sysctls?: Record<string, string> | null
    CapabilityAdd?: (string)[] | null
    CapabilityDrop?: (string)[] | null
    Ulimits?: ({
      Name?: string
      Soft?: number
      Hard?: number
    })[] | null
  }
  NetworkAttachmentSpec?: {
    ContainerID?: string
  }
  Resources?: {
    Limits?: Limit
    Reservations?: ResourceObject
  }
  RestartPolicy?: {
    Condition?: ("none" | "on-failure" | "any")
    Delay?: number
    MaxAttempts?: number
    Window?: number
  }
  Placement?: {
    Constraints?: (string)[] | null
    Preferences?: ({
      Spread?: {
        SpreadDescriptor?: string
      }
    })[] | null
    MaxReplicas?: number
    Platforms?: (Platform)[] | null
  }
  ForceUpdate?: number
  Runtime?: string
  Networks?: (NetworkAttachmentConfig)[] | null
  LogDriver?: {
    Name?: string
    Options?: Record<string, string> | null
  }
}

export type TaskState = ("new" | "allocated" | "pending" | "assigned" | "accepted" | "preparing" | "ready" | "starting" | "running" | "complete" | "shutdown" | "failed" | "rejected" | "remove" | "orphaned")

export type ContainerStatus = {
  ContainerID?: string
  PID?: number
  ExitCode?: number
}

export type PortStatus = {
  Ports?: (EndpointPortConfig)[] | null
}

export type TaskStatus = {
  Timestamp?: string
  State?: TaskState
  Message?: string
  Err?: string
  ContainerStatus?: ContainerStatus
  PortStatus?: PortStatus
}

export type Task = {
  ID?: string
  Version?: ObjectVersion
  CreatedAt?: string
  UpdatedAt?: string
  Name?: string
  Labels?: Record<string, string> | null
  Spec?: TaskSpec
  ServiceID?: string
  Slot?: number
  NodeID?: string
  AssignedGenericResources?: GenericResources
  Status?: TaskStatus
  DesiredState?: TaskState
  JobIteration?: ObjectVersion
}

export type ServiceSpec = {
  Name?: string
  Labels?: Record<string, string> | null
  TaskTemplate?: TaskSpec
  Mode?: {
    Replicated?: {
      Replicas?: number
    }
    Global?: Record<string, unknown>
    ReplicatedJob?: {
      MaxConcurrent?: number
      TotalCompletions?: number
    }
    GlobalJob?: Record<string, unknown>
  }
  UpdateConfig?: {
    Parallelism?: number
    Delay?: number
    FailureAction?: ("continue" | "pause" | "rollback")
    Monitor?: number
    MaxFailureRatio?: number
    Order?: ("stop-first" | "start-first")
  }
  RollbackConfig?: {
    Parallelism?: number
    Delay?: number
    FailureAction?: ("continue" | "pause")
    Monitor?: number
    MaxFailureRatio?: number
    Order?: ("stop-first" | "start-first")
  }
  Networks?: (NetworkAttachmentConfig)[] | null
  EndpointSpec?: EndpointSpec
}

export type EndpointPortConfig = {
  Name?: string
  Protocol?: ("tcp" | "udp" | "sctp")
  TargetPort?: number
  PublishedPort?: number
  PublishMode?: ("ingress" | "host")
}

export type EndpointSpec = {
  Mode?: ("vip" | "dnsrr")
  Ports?: (EndpointPortConfig)[] | null
}

export type Service = {
  ID?: string
  Version?: ObjectVersion
  CreatedAt?: string
  UpdatedAt?: string
  Spec?: ServiceSpec
  Endpoint?: {
    Spec?: EndpointSpec
    Ports?: (EndpointPortConfig)[] | null
    VirtualIPs?: ({
      NetworkID?: string
      Addr?: string
    })[] | null
  }
  UpdateStatus?: {
    State?: ("updating" | "paused" | "completed")
    StartedAt?: string
    CompletedAt?: string
    Message?: string
  }
  ServiceStatus?: {
    RunningTasks?: number
    DesiredTasks?: number
    CompletedTasks?: number
  }
  JobStatus?: {
    JobIteration?: ObjectVersion
    LastExecution?: string
  }
}

export type ImageDeleteResponseItem = {
  Untagged?: string
  Deleted?: string
}

export type ServiceCreateResponse = {
  ID?: string
  Warnings?: (string)[] | null
}

export type ServiceUpdateResponse = {
  Warnings?: (string)[] | null
}

export type ContainerInspectResponse = {
  Id?: string
  Created?: string | null
  Path?: string
  Args?: (string)[] | null
  State?: ContainerState
  Image?: string
  ResolvConfPath?: string
  HostnamePath?: string
  HostsPath?: string
  LogPath?: string | null
  Name?: string
  RestartCount?: number
  Driver?: string
  Platform?: string
  ImageManifestDescriptor?: OCIDescriptor
  MountLabel?: string
  ProcessLabel?: string
  AppArmorProfile?: string
  ExecIDs?: (string)[] | null
  HostConfig?: HostConfig
  GraphDriver?: DriverData
  SizeRw?: number | null
  SizeRootFs?: number | null
  Mounts?: (MountPoint)[] | null
  Config?: ContainerConfig
  NetworkSettings?: NetworkSettings
}

export type ContainerSummary = {
  Id?: string
  Names?: (string)[] | null
  Image?: string
  ImageID?: string
  ImageManifestDescriptor?: OCIDescriptor
  Command?: string
  Created?: number
  Ports?: (Port)[] | null
  SizeRw?: number | null
  SizeRootFs?: number | null
  Labels?: Record<string, string> | null
  State?: ("created" | "running" | "paused" | "restarting" | "exited" | "removing" | "dead")
  Status?: string
  HostConfig?: {
    NetworkMode?: string
    Annotations?: Record<string, string> | null
  }
  NetworkSettings?: {
    Networks?: Record<string, EndpointSettings> | null
  }
  Mounts?: (MountPoint)[] | null
}

export type Driver = {
  Name?: string
  Options?: Record<string, string> | null
}

export type SecretSpec = {
  Name?: string
  Labels?: Record<string, string> | null
  Data?: string
  Driver?: Driver
  Templating?: Driver
}

export type Secret = {
  ID?: string
  Version?: ObjectVersion
  CreatedAt?: string
  UpdatedAt?: string
  Spec?: SecretSpec
}

export type ConfigSpec = {
  Name?: string
  Labels?: Record<string, string> | null
  Data?: string
  Templating?: Driver
}

export type Config = {
  ID?: string
  Version?: ObjectVersion
  CreatedAt?: string
  UpdatedAt?: string
  Spec?: ConfigSpec
}

export type ContainerState = {
  Status?: ("created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead")
  Running?: boolean
  Paused?: boolean
  Restarting?: boolean
  OOMKilled?: boolean
  Dead?: boolean
  Pid?: number
  ExitCode?: number
  Error?: string
  StartedAt?: string
  FinishedAt?: string
  Health?: Health
} | null

export type ContainerCreateResponse = {
  Id?: string
  Warnings?: (string)[] | null
}

export type ContainerUpdateResponse = {
  Warnings?: (string)[] | null
}

export type ContainerStatsResponse = {
  name?: string | null
  id?: string | null
  read?: string
  preread?: string
  pids_stats?: ContainerPidsStats
  blkio_stats?: ContainerBlkioStats
  num_procs?: number
  storage_stats?: ContainerStorageStats
  cpu_stats?: ContainerCPUStats
  precpu_stats?: ContainerCPUStats
  memory_stats?: ContainerMemoryStats
  networks?: Record<string, ContainerNetworkStats> | null
}

export type ContainerBlkioStats = {
  io_service_bytes_recursive?: (ContainerBlkioStatEntry)[] | null
  io_serviced_recursive?: (ContainerBlkioStatEntry)[] | null
  io_queue_recursive?: (ContainerBlkioStatEntry)[] | null
  io_service_time_recursive?: (ContainerBlkioStatEntry)[] | null
  io_wait_time_recursive?: (ContainerBlkioStatEntry)[] | null
  io_merged_recursive?: (ContainerBlkioStatEntry)[] | null
  io_time_recursive?: (ContainerBlkioStatEntry)[] | null
  sectors_recursive?: (ContainerBlkioStatEntry)[] | null
} | null

export type ContainerBlkioStatEntry = {
  major?: number
  minor?: number
  op?: string
  value?: number
} | null

export type ContainerCPUStats = {
  cpu_usage?: ContainerCPUUsage
  system_cpu_usage?: number | null
  online_cpus?: number | null
  throttling_data?: ContainerThrottlingData
} | null

export type ContainerCPUUsage = {
  total_usage?: number
  percpu_usage?: (number)[] | null
  usage_in_kernelmode?: number
  usage_in_usermode?: number
} | null

export type ContainerPidsStats = {
  current?: number | null
  limit?: number | null
} | null

export type ContainerThrottlingData = {
  periods?: number
  throttled_periods?: number
  throttled_time?: number
} | null

export type ContainerMemoryStats = {
  usage?: number | null
  max_usage?: number | null
  stats?: Record<string, number | null> | null
  failcnt?: number | null
  limit?: number | null
  commitbytes?: number | null
  commitpeakbytes?: number | null
  privateworkingset?: number | null
}

export type ContainerNetworkStats = {
  rx_bytes?: number
  rx_packets?: number
  rx_errors?: number
  rx_dropped?: number
  tx_bytes?: number
  tx_packets?: number
  tx_errors?: number
  tx_dropped?: number
  endpoint_id?: string | null
  instance_id?: string | null
} | null

export type ContainerStorageStats = {
  read_count_normalized?: number | null
  read_size_bytes?: number | null
  write_count_normalized?: number | null
  write_size_bytes?: number | null
} | null

export type ContainerTopResponse = {
  Titles?: (string)[] | null
  Processes?: ((string)[])[] | null
}

export type ContainerWaitResponse = {
  StatusCode?: number
  Error?: ContainerWaitExitError
}

export type ContainerWaitExitError = {
  Message?: string
}

export type SystemVersion = {
  Platform?: {
    Name?: string
  }
  Components?: ({
    Name?: string
    Version?: string
    Details?: Record<string, unknown> | null
  })[] | null
  Version?: string
  ApiVersion?: string
  MinAPIVersion?: string
  GitCommit?: string
  GoVersion?: string
  Os?: string
  Arch?: string
  KernelVersion?: string
  Experimental?: boolean
  BuildTime?: string
}

export type SystemInfo = {
  ID?: string
  Containers?: number
  ContainersRunning?: number
  ContainersPaused?: number
  ContainersStopped?: number
  Images?: number
  Driver?: string
  DriverStatus?: ((string)[])[] | null
  DockerRootDir?: string
  Plugins?: PluginsInfo
  MemoryLimit?: boolean
  SwapLimit?: boolean
  KernelMemoryTCP?: boolean
  CpuCfsPeriod?: boolean
  CpuCfsQuota?: boolean
  CPUShares?: boolean
  CPUSet?: boolean
  PidsLimit?: boolean
  OomKillDisable?: boolean
  IPv4Forwarding?: boolean
  Debug?: boolean
  NFd?: number
  NGoroutines?: number
  SystemTime?: string
  LoggingDriver?: string
  CgroupDriver?: ("cgroupfs" | "systemd" | "none")
  CgroupVersion?: ("1" | "2")
  NEventsListener?: number
  KernelVersion?: string
  OperatingSystem?: string
  OSVersion?: string
  OSType?: string
  Architecture?: string
  NCPU?: number
  MemTotal?: number
  IndexServerAddress?: string
  RegistryConfig?: RegistryServiceConfig
  GenericResources?: GenericResources
  HttpProxy?: string
  HttpsProxy?: string
  NoProxy?: string
  Name?: string
  Labels?: (string)[] | null
  ExperimentalBuild?: boolean
  ServerVersion?: string
  Runtimes?: Record<string, Runtime> | null
  DefaultRuntime?: string
  Swarm?: SwarmInfo
  LiveRestoreEnabled?: boolean
  Isolation?: ("default" | "hyperv" | "process" | "")
  InitBinary?: string
  ContainerdCommit?: Commit
  RuncCommit?: Commit
  InitCommit?: Commit
  SecurityOptions?: (string)[] | null
  ProductLicense?: string
  DefaultAddressPools?: ({
    Base?: string
    Size?: number
  })[] | null
  FirewallBackend?: FirewallInfo
  DiscoveredDevices?: (DeviceInfo)[] | null
  Warnings?: (string)[] | null
  CDISpecDirs?: (string)[] | null
  Containerd?: ContainerdInfo
}

export type ContainerdInfo = {
  Address?: string
  Namespaces?: {
    Containers?: string
    Plugins?: string
  }
} | null

export type FirewallInfo = {
  Driver?: string
  Info?: ((string)[])[] | null
} | null

export type PluginsInfo = {
  Volume?: (string)[] | null
  Network?: (string)[] | null
  Authorization?: (string)[] | null
  Log?: (string)[] | null
}

export type RegistryServiceConfig = {
  InsecureRegistryCIDRs?: (string)[] | null
  IndexConfigs?: Record<string, IndexInfo> | null
  Mirrors?: (string)[] | null
} | null

export type IndexInfo = {
  Name?: string
  Mirrors?: (string)[] | null
  Secure?: boolean
  Official?: boolean
} | null

export type Runtime = {
  path?: string
  runtimeArgs?: (string)[] | null
  status?: Record<string, string> | null
}

export type Commit = {
  ID?: string
}

export type SwarmInfo = {
  NodeID?: string
  NodeAddr?: string
  LocalNodeState?: LocalNodeState
  ControlAvailable?: boolean
  Error?: string
  RemoteManagers?: (PeerNode)[] | null
  Nodes?: number | null
  Managers?: number | null
  Cluster?: ClusterInfo
}

export type LocalNodeState = ("" | "inactive" | "pending" | "active" | "error" | "locked")

export type PeerNode = {
  NodeID?: string
  Addr?: string
}

export type NetworkAttachmentConfig = {
  Target?: string
  Aliases?: (string)[] | null
  DriverOpts?: Record<string, string> | null
}

export type EventActor = {
  ID?: string
  Attributes?: Record<string, string> | null
}

export type EventMessage = {
  Type?: ("builder" | "config" | "container" | "daemon" | "image" | "network" | "node" | "plugin" | "secret" | "service" | "volume")
  Action?: string
  Actor?: EventActor
  scope?: ("local" | "swarm")
  time?: number
  timeNano?: number
}

export type OCIDescriptor = {
  mediaType?: string
  digest?: string
  size?: number
  urls?: (string)[] | null
  annotations?: Record<string, string> | null
  data?: string | null
  platform?: OCIPlatform
  artifactType?: string | null
}

export type OCIPlatform = {
  architecture?: string
  os?: string
  "os.version"?: string
  "os.features"?: (string)[] | null
  variant?: string
} | null

export type DistributionInspect = {
  Descriptor?: OCIDescriptor
  Platforms?: (OCIPlatform)[] | null
}

export type ClusterVolume = {
  ID?: string
  Version?: ObjectVersion
  CreatedAt?: string
  UpdatedAt?: string
  Spec?: ClusterVolumeSpec
  Info?: {
    CapacityBytes?: number
    VolumeContext?: Record<string, string> | null
    VolumeID?: string
    AccessibleTopology?: (Topology)[] | null
  }
  PublishStatus?: ({
    NodeID?: string
    State?: ("pending-publish" | "published" | "pending-node-unpublish" | "pending-controller-unpublish")
    PublishContext?: Record<string, string> | null
  })[] | null
}

export type ClusterVolumeSpec = {
  Group?: string
  AccessMode?: {
    Scope?: ("single" | "multi")
    Sharing?: ("none" | "readonly" | "onewriter" | "all")
    MountVolume?: Record<string, unknown>
    Secrets?: ({
      Key?: string
      Secret?: string
    })[] | null
    AccessibilityRequirements?: {
      Requisite?: (Topology)[] | null
      Preferred?: (Topology)[] | null
    }
    CapacityRange?: {
      RequiredBytes?: number
      LimitBytes?: number
    }
    Availability?: ("active" | "pause" | "drain")
  }
}

export type Topology = Record<string, string>

export type ImageManifestSummary = {
  ID?: string
  Descriptor?: OCIDescriptor
  Available?: boolean
  Size?: {
    Total?: number
    Content?: number
  }
  Kind?: ("image" | "attestation" | "unknown")
  ImageData?: {
    Platform?: OCIPlatform
    Containers?: (string)[] | null
    Size?: {
      Unpacked?: number
    }
  } | null
  AttestationData?: {
    For?: string
  } | null
}

export type ContainerCreateBody = (ContainerConfig & {
  HostConfig?: HostConfig
  NetworkingConfig?: NetworkingConfig
})

export type ExecConfig = {
  AttachStdin?: boolean
  AttachStdout?: boolean
  AttachStderr?: boolean
  ConsoleSize?: (number)[] | null
  DetachKeys?: string
  Tty?: boolean
  Env?: (string)[] | null
  Cmd?: (string)[] | null
  Privileged?: boolean
  User?: string
  WorkingDir?: string
}

export type ExecInspectResponse = {
  CanRemove?: boolean
  DetachKeys?: string
  ID?: string
  Running?: boolean
  ExitCode?: number
  ProcessConfig?: ProcessConfig
  OpenStdin?: boolean
  OpenStderr?: boolean
  OpenStdout?: boolean
  ContainerID?: string
  Pid?: number
}

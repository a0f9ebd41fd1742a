// Generated from engine-api-v1.51.json by scripts/generate-schema.mjs. Do not edit.

/** s string, i integer, n number, b boolean, l string or list of strings, [x list, {x map, @Name object, * anything. */
export type TypeCode = string

export type RequestBody = 'ContainerCreateRequest' | 'ContainerUpdateRequest' | 'ExecCreateRequest' | 'ExecStartRequest' | 'VolumeCreateRequest' | 'NetworkCreateRequest' | 'NetworkConnectRequest' | 'NetworkDisconnectRequest' | 'AuthConfig'

/** Fields of request bodies by object, one JSON text each: parsed on first use. */
export const requestBodies: Readonly<Record<string, string>> = {
  'ContainerCreateRequest': '{"Hostname":"s","Domainname":"s","User":"s","AttachStdin":"b","AttachStdout":"b","AttachStderr":"b","ExposedPorts":"{{*","Tty":"b","OpenStdin":"b","StdinOnce":"b","Env":"[s","Cmd":"l","Healthcheck":"@HealthConfig","ArgsEscaped":"b","Image":"s","Volumes":"{{*","WorkingDir":"s","Entrypoint":"l","NetworkDisabled":"b","MacAddress":"s","OnBuild":"[s","Labels":"{s","StopSignal":"s","StopTimeout":"i","Shell":"[s","HostConfig":"@HostConfig","NetworkingConfig":"@NetworkingConfig"}',
  'HealthConfig': '{"Test":"[s","Interval":"i","Timeout":"i","Retries":"i","StartPeriod":"i","StartInterval":"i"}',
  'HostConfig': '{"CpuShares":"i","Memory":"i","CgroupParent":"s","BlkioWeight":"i","BlkioWeightDevice":"[@HostConfig.BlkioWeightDevice","BlkioDeviceReadBps":"[@ThrottleDevice","BlkioDeviceWriteBps":"[@ThrottleDevice","BlkioDeviceReadIOps":"[@ThrottleDevice","BlkioDeviceWriteIOps":"[@ThrottleDevice","CpuPeriod":"i","CpuQuota":"i","CpuRealtimePeriod":"i","CpuRealtimeRuntime":"i","CpusetCpus":"s","CpusetMems":"s","Devices":"[@DeviceMapping","DeviceCgroupRules":"[s","DeviceRequests":"[@DeviceRequest","KernelMemoryTCP":"i","MemoryReservation":"i","MemorySwap":"i","MemorySwappiness":"i","NanoCpus":"i","OomKillDisable":"b","Init":"b","PidsLimit":"i","Ulimits":"[@HostConfig.Ulimits","CpuCount":"i","CpuPercent":"i","IOMaximumIOps":"i","IOMaximumBandwidth":"i","Binds":"[s","ContainerIDFile":"s","LogConfig":"@HostConfig.LogConfig","NetworkMode":"s","PortBindings":"{[@PortBinding","RestartPolicy":"@RestartPolicy","AutoRemove":"b","VolumeDriver":"s","VolumesFrom":"[s","Mounts":"[@Mount","ConsoleSize":"[i","Annotations":"{s","CapAdd":"[s","CapDrop":"[s","CgroupnsMode":"s","Dns":"[s","DnsOptions":"[s","DnsSearch":"[s","ExtraHosts":"[s","GroupAdd":"[s","IpcMode":"s","Cgroup":"s","Links":"[s","OomScoreAdj":"i","PidMode":"s","Privileged":"b","PublishAllPorts":"b","ReadonlyRootfs":"b","SecurityOpt":"[s","StorageOpt":"{s","Tmpfs":"{s","UTSMode":"s","UsernsMode":"s","ShmSize":"i","Sysctls":"{s","Runtime":"s","Isolation":"s","MaskedPaths":"[s","ReadonlyPaths":"[s"}',
  'HostConfig.BlkioWeightDevice': '{"Path":"s","Weight":"i"}',
  'ThrottleDevice': '{"Path":"s","Rate":"i"}',
  'DeviceMapping': '{"PathOnHost":"s","PathInContainer":"s","CgroupPermissions":"s"}',
  'DeviceRequest': '{"Driver":"s","Count":"i","DeviceIDs":"[s","Capabilities":"[[s","Options":"{s"}',
  'HostConfig.Ulimits': '{"Name":"s","Soft":"i","Hard":"i"}',
  'HostConfig.LogConfig': '{"Type":"s","Config":"{s"}',
  'PortBinding': '{"HostIp":"s","HostPort":"s"}',
  'RestartPolicy': '{"Name":"s","MaximumRetryCount":"i"}',
  'Mount': '{"Target":"s","Source":"s","Type":"s","ReadOnly":"b","Consistency":"s","BindOptions":"@Mount.BindOptions","VolumeOptions":"@Mount.VolumeOptions","ImageOptions":"@Mount.ImageOptions","TmpfsOptions":"@Mount.TmpfsOptions"}',
  'Mount.BindOptions': '{"Propagation":"s","NonRecursive":"b","CreateMountpoint":"b","ReadOnlyNonRecursive":"b","ReadOnlyForceRecursive":"b"}',
  'Mount.VolumeOptions': '{"NoCopy":"b","Labels":"{s","DriverConfig":"@Mount.VolumeOptions.DriverConfig","Subpath":"s"}',
  'Mount.VolumeOptions.DriverConfig': '{"Name":"s","Options":"{s"}',
  'Mount.ImageOptions': '{"Subpath":"s"}',
  'Mount.TmpfsOptions': '{"SizeBytes":"i","Mode":"i","Options":"[[s"}',
  'NetworkingConfig': '{"EndpointsConfig":"{@EndpointSettings"}',
  'EndpointSettings': '{"IPAMConfig":"@EndpointIPAMConfig","Links":"[s","MacAddress":"s","Aliases":"[s","DriverOpts":"{s","GwPriority":"i","NetworkID":"s","EndpointID":"s","Gateway":"s","IPAddress":"s","IPPrefixLen":"i","IPv6Gateway":"s","GlobalIPv6Address":"s","GlobalIPv6PrefixLen":"i","DNSNames":"[s"}',
  'EndpointIPAMConfig': '{"IPv4Address":"s","IPv6Address":"s","LinkLocalIPs":"[s"}',
  'ContainerUpdateRequest': '{"CpuShares":"i","Memory":"i","CgroupParent":"s","BlkioWeight":"i","BlkioWeightDevice":"[@ContainerUpdateRequest.BlkioWeightDevice","BlkioDeviceReadBps":"[@ThrottleDevice","BlkioDeviceWriteBps":"[@ThrottleDevice","BlkioDeviceReadIOps":"[@ThrottleDevice","BlkioDeviceWriteIOps":"[@ThrottleDevice","CpuPeriod":"i","CpuQuota":"i","CpuRealtimePeriod":"i","CpuRealtimeRuntime":"i","CpusetCpus":"s","CpusetMems":"s","Devices":"[@DeviceMapping","DeviceCgroupRules":"[s","DeviceRequests":"[@DeviceRequest","KernelMemoryTCP":"i","MemoryReservation":"i","MemorySwap":"i","MemorySwappiness":"i","NanoCpus":"i","OomKillDisable":"b","Init":"b","PidsLimit":"i","Ulimits":"[@ContainerUpdateRequest.Ulimits","CpuCount":"i","CpuPercent":"i","IOMaximumIOps":"i","IOMaximumBandwidth":"i","RestartPolicy":"@RestartPolicy"}',
  'ContainerUpdateRequest.BlkioWeightDevice': '{"Path":"s","Weight":"i"}',
  'ContainerUpdateRequest.Ulimits': '{"Name":"s","Soft":"i","Hard":"i"}',
  'ExecCreateRequest': '{"AttachStdin":"b","AttachStdout":"b","AttachStderr":"b","ConsoleSize":"[i","DetachKeys":"s","Tty":"b","Env":"[s","Cmd":"l","Privileged":"b","User":"s","WorkingDir":"s"}',
  'ExecStartRequest': '{"Detach":"b","Tty":"b","ConsoleSize":"[i"}',
  'VolumeCreateRequest': '{"Name":"s","Driver":"s","DriverOpts":"{s","Labels":"{s","ClusterVolumeSpec":"*"}',
  'NetworkCreateRequest': '{"Name":"s","Driver":"s","Scope":"s","Internal":"b","Attachable":"b","Ingress":"b","ConfigOnly":"b","ConfigFrom":"@ConfigReference","IPAM":"@IPAM","EnableIPv4":"b","EnableIPv6":"b","Options":"{s","Labels":"{s"}',
  'ConfigReference': '{"Network":"s"}',
  'IPAM': '{"Driver":"s","Config":"[@IPAMConfig","Options":"{s"}',
  'IPAMConfig': '{"Subnet":"s","IPRange":"s","Gateway":"s","AuxiliaryAddresses":"{s"}',
  'NetworkConnectRequest': '{"Container":"s","EndpointConfig":"@EndpointSettings"}',
  'NetworkDisconnectRequest': '{"Container":"s","Force":"b"}',
  'AuthConfig': '{"username":"s","password":"s","email":"s","serveraddress":"s","auth":"s","identitytoken":"s","registrytoken":"s"}',
}

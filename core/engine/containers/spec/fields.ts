import type { ContainerCreateBody } from '../../../schema/engine-api.js'
import { notImplemented } from '../../../sdk/errors.js'

/**
 * Every field of a create request is either honoured, and a test whose title starts with `honoured` reads its effect, or refused by name when it is set to
 * anything but its zero value or one of `default`. scripts/check-fields.mjs holds this table against the schema and the tests.
 */
export type FieldRule = { honoured: string } | { refused: string; default?: readonly unknown[]; instead?: string }

type Table = Record<string, FieldRule>

const title = (type: string, field: string) => `field ${type}.${field}`

function table(type: string, honoured: string, refused: Record<string, { default?: readonly unknown[]; instead?: string }>): Table {
  return {
    ...Object.fromEntries(
      honoured
        .trim()
        .split(/\s+/)
        .map((field) => [field, { honoured: title(type, field) }]),
    ),
    ...Object.fromEntries(Object.entries(refused).map(([field, rule]) => [field, { refused: title(type, field), ...rule }])),
  }
}

const windows = { instead: 'it has a meaning on Windows only' }

export const fields = {
  ContainerConfig: table(
    'ContainerConfig',
    `Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Cmd ArgsEscaped Image Volumes WorkingDir
     Entrypoint NetworkDisabled MacAddress OnBuild Labels StopSignal StopTimeout Shell Healthcheck`,
    {},
  ),
  Resources: table(
    'Resources',
    `CpuShares Memory CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuPeriod
     CpuQuota CpusetCpus CpusetMems Devices DeviceCgroupRules KernelMemoryTCP MemoryReservation MemorySwap
     MemorySwappiness NanoCpus OomKillDisable PidsLimit Ulimits Init`,
    {
      DeviceRequests: { instead: '--gpus and CDI devices are not built; name device nodes with Devices (--device)' },
      CpuRealtimePeriod: { instead: 'the daemon reserves no real-time CPU time' },
      CpuRealtimeRuntime: { instead: 'the daemon reserves no real-time CPU time' },
      CpuCount: windows,
      CpuPercent: windows,
      IOMaximumIOps: windows,
      IOMaximumBandwidth: windows,
    },
  ),
  HostConfig: table(
    'HostConfig',
    `Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom Mounts ConsoleSize Annotations CapAdd CapDrop
     CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode OomScoreAdj PidMode Privileged PublishAllPorts ReadonlyRootfs SecurityOpt StorageOpt
     Tmpfs UTSMode ShmSize Sysctls Runtime MaskedPaths ReadonlyPaths Links`,
    {
      Cgroup: {},
      UsernsMode: { default: ['host'], instead: 'leave it out, or use host' },
      Isolation: { default: ['default'] },
    },
  ),
  NetworkingConfig: table('NetworkingConfig', 'EndpointsConfig', {}),
  EndpointSettings: table(
    'EndpointSettings',
    `IPAMConfig MacAddress Aliases DriverOpts GwPriority NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway GlobalIPv6Address GlobalIPv6PrefixLen
     DNSNames Links`,
    {},
  ),
} satisfies Record<string, Table>

/** Refused rules alone: what a request is held against. */
const refusals = Object.fromEntries(
  Object.entries(fields).map(([type, rules]) => [
    type,
    Object.entries(rules as Table).flatMap(([field, rule]) =>
      'refused' in rule ? [{ field, default: rule.default ?? [], instead: rule.instead }] : [],
    ),
  ]),
)

function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true
  if (Array.isArray(value)) return value.length === 0
  return typeof value === 'object' && Object.values(value).every(isZero)
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

function withoutZeros(value: unknown): unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).filter(([, member]) => !isZero(member)))
    : value
}

function refuse(type: string, shown: string, values: object | null | undefined): void {
  for (const { field, default: allowed, instead } of refusals[type] ?? []) {
    const value = (values as Record<string, unknown> | null | undefined)?.[field]
    if (isZero(value) || allowed.some((one) => same(one, withoutZeros(value)))) continue
    throw notImplemented(`${shown}.${field} is not supported${instead ? `: ${instead}` : ''}`)
  }
}

/** Refuses by name what the daemon would otherwise ignore in silence. */
export function refuseUnsupported(body: ContainerCreateBody): void {
  refuse('ContainerConfig', 'Config', body)
  refuse('Resources', 'HostConfig', body.HostConfig)
  refuse('HostConfig', 'HostConfig', body.HostConfig)
  for (const [name, settings] of Object.entries(body.NetworkingConfig?.EndpointsConfig ?? {}))
    refuse('EndpointSettings', `NetworkingConfig.EndpointsConfig[${name}]`, settings)
}

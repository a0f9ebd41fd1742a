import type { ContainerInspectResponse, EndpointSettings, MountPoint, NetworkSettings, PortMap } from '../../schema/engine-api.js'
import { containerDir, type ContainersContext } from './context.js'
import type { Container } from './container.js'
import { hostFilePaths } from './host-files.js'
import { commandOf } from './log-info.js'
import { exposedPorts } from './ports.js'

export function mountPointsOf(container: Container): MountPoint[] {
  return container.record.mounts.map((point) => {
    const base: MountPoint = {
      Type: point.type,
      Source: point.source,
      Destination: point.destination,
      Mode: point.mode,
      RW: point.writable,
      Propagation: point.propagation,
    }
    if (point.type !== 'volume') return base
    return {
      Type: 'volume',
      Name: point.name,
      Source: point.source,
      Destination: point.destination,
      Driver: point.driver,
      Mode: point.mode || 'z',
      RW: point.writable,
      Propagation: '',
    }
  })
}

export function portMapOf(container: Container): PortMap {
  const ports: PortMap = {}
  const { record, running } = container
  if (!running) return ports
  for (const key of exposedPorts(record.config, record.hostConfig)) ports[key] = null
  for (const endpoint of running.endpoints) {
    for (const port of endpoint.publishedPorts) {
      const key = `${port.containerPort}/${port.protocol}`
      const list = ports[key] ?? []
      const families = endpoint.settings.IPAddress ? ['0.0.0.0'] : []
      if (endpoint.settings.GlobalIPv6Address) families.push('::')
      for (const HostIp of port.hostIp === '' ? families : [port.hostIp]) list.push({ HostIp, HostPort: String(port.hostPort) })
      ports[key] = list
    }
  }
  return ports
}

export function endpointView(settings: EndpointSettings): EndpointSettings {
  return {
    IPAMConfig: settings.IPAMConfig ?? null,
    Links: settings.Links ?? null,
    Aliases: settings.Aliases ?? null,
    MacAddress: settings.MacAddress ?? '',
    DriverOpts: settings.DriverOpts ?? null,
    GwPriority: settings.GwPriority ?? 0,
    NetworkID: settings.NetworkID ?? '',
    EndpointID: settings.EndpointID ?? '',
    Gateway: settings.Gateway ?? '',
    IPAddress: settings.IPAddress ?? '',
    IPPrefixLen: settings.IPPrefixLen ?? 0,
    IPv6Gateway: settings.IPv6Gateway ?? '',
    GlobalIPv6Address: settings.GlobalIPv6Address ?? '',
    GlobalIPv6PrefixLen: settings.GlobalIPv6PrefixLen ?? 0,
    DNSNames: settings.DNSNames ?? null,
  }
}

function networkSettings(container: Container): NetworkSettings {
  const { record, running } = container
  const networks = Object.fromEntries(Object.entries(record.networks).map(([name, settings]) => [name, endpointView(settings)]))
  const main = networks['bridge']
  return {
    Bridge: '',
    SandboxID: running ? record.id : '',
    SandboxKey: running ? `/proc/${record.state.pid}/ns/net` : '',
    Ports: portMapOf(container),
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: main?.EndpointID ?? '',
    Gateway: main?.Gateway ?? '',
    GlobalIPv6Address: main?.GlobalIPv6Address ?? '',
    GlobalIPv6PrefixLen: main?.GlobalIPv6PrefixLen ?? 0,
    IPAddress: main?.IPAddress ?? '',
    IPPrefixLen: main?.IPPrefixLen ?? 0,
    IPv6Gateway: main?.IPv6Gateway ?? '',
    MacAddress: main?.MacAddress ?? '',
    Networks: networks,
  }
}

export async function inspectContainer(ctx: ContainersContext, container: Container, size: boolean): Promise<ContainerInspectResponse> {
  const { record, running } = container
  const { state } = record
  const { path, args } = commandOf(record)
  const files = record.hasBeenStarted ? hostFilePaths(ctx, record.id) : { resolvConf: '', hostname: '', hosts: '' }
  const graph = ctx.drivers.active('graph', record.graphDriver)
  const data = graph ? await graph.metadata(record.id).catch(() => ({})) : {}
  const out: ContainerInspectResponse = {
    Id: record.id,
    Created: record.created,
    Path: path,
    Args: args,
    State: {
      Status: state.status,
      Running: container.isRunning,
      Paused: state.status === 'paused',
      Restarting: state.status === 'restarting',
      OOMKilled: state.oomKilled,
      Dead: state.status === 'dead',
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt,
      FinishedAt: state.finishedAt,
      ...(state.health
        ? { Health: { Status: state.health.status, FailingStreak: state.health.failingStreak, Log: state.health.log } }
        : {}),
    },
    Image: record.imageId,
    ResolvConfPath: files.resolvConf,
    HostnamePath: files.hostname,
    HostsPath: files.hosts,
    LogPath: record.logConfig.Type === 'json-file' ? `${containerDir(ctx, record.id)}/${record.id}-json.log` : '',
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: record.graphDriver,
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: container.execs.size > 0 ? [...container.execs] : null,
    HostConfig: { ...record.hostConfig, LogConfig: record.logConfig as never },
    GraphDriver: { Name: record.graphDriver, Data: data },
    Mounts: mountPointsOf(container),
    Config: record.config,
    NetworkSettings: networkSettings(container),
  }
  const dropped = running ? running.shim.droppedLogBytes : (record.state.logBytesDropped ?? 0)
  if (dropped > 0) Object.assign(out, { LogBytesDropped: dropped })
  if (size) {
    const sizes = await ctx.layers.containerSizes(record.id, record.topLayer)
    out.SizeRw = sizes.rw
    out.SizeRootFs = sizes.rootFs
  }
  return out
}

import { humanDuration } from '../../base/human-duration.js'
import type { ContainerSummary } from '../../schema/engine-api.js'
import type { ContainersContext } from './context.js'
import type { Container } from './container.js'
import { endpointView, mountPointsOf, portMapOf } from './inspect.js'
import { commandOf } from './log-info.js'
import { expandPort } from './ports.js'

export function statusText(ctx: ContainersContext, container: Container): string {
  const { state } = container.record
  const since = (time: string): string => humanDuration(ctx.clock.now() - Date.parse(time))
  switch (state.status) {
    case 'running':
      return `Up ${since(state.startedAt)}${state.health ? ` (${state.health.status === 'starting' ? 'health: starting' : state.health.status})` : ''}`
    case 'paused':
      return `Up ${since(state.startedAt)} (Paused)`
    case 'restarting':
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`
    case 'exited':
      return `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`
    case 'removing':
      return 'Removal In Progress'
    case 'dead':
      return 'Dead'
    case 'created':
      return 'Created'
  }
}

function summaryPorts(container: Container): ContainerSummary['Ports'] {
  return Object.entries(portMapOf(container)).flatMap(([key, bindings]) => {
    const [one] = expandPort(key)
    if (!one) return []
    if (bindings === null) return [{ PrivatePort: one.port, Type: one.protocol }]
    return bindings.map((binding) => ({
      IP: binding.HostIp ?? '',
      PrivatePort: one.port,
      PublicPort: Number(binding.HostPort),
      Type: one.protocol,
    }))
  })
}

export function summarise(ctx: ContainersContext, container: Container): ContainerSummary {
  const { record } = container
  const { path, args } = commandOf(record)
  return {
    Id: record.id,
    Names: [`/${record.name}`],
    Image: record.image,
    ImageID: record.imageId,
    Command: [path, ...args.map((arg) => (/\s/.test(arg) || arg === '' ? `'${arg}'` : arg))].join(' '),
    Created: Math.floor(Date.parse(record.created) / 1000),
    Ports: summaryPorts(container),
    Labels: record.config.Labels ?? {},
    State: record.state.status,
    Status: statusText(ctx, container),
    HostConfig: { NetworkMode: record.hostConfig.NetworkMode, Annotations: record.hostConfig.Annotations ?? undefined },
    NetworkSettings: {
      Networks: Object.fromEntries(Object.entries(record.networks).map(([name, settings]) => [name, endpointView(settings)])),
    },
    Mounts: mountPointsOf(container),
  }
}

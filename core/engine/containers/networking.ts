import type { Disposables } from '../../base/disposables.js'
import type { EndpointSettings } from '../../schema/engine-api.js'
import { conflict, forbidden, messageOf } from '../../sdk/errors.js'
import type { NetOp } from '../../sdk/kinds/network.js'
import type { Endpoint } from '../networks/index.js'
import type { Container, Running } from './container.js'
import type { ContainersContext } from './context.js'
import { exposedPorts, publishedPorts } from './ports.js'

const noNamespace = new Set(['host'])

/** Steps of all endpoints, in order of their interfaces. */
export function mergePlans(endpoints: Endpoint[]): { host: NetOp[]; container: NetOp[] } {
  return {
    host: endpoints.flatMap((endpoint) => endpoint.join.host),
    container: [{ op: 'up', link: 'lo' }, ...endpoints.flatMap((endpoint) => endpoint.join.container)],
  }
}

async function connectOne(
  ctx: ContainersContext,
  container: Container,
  network: string,
  index: number,
  gateway: boolean,
): Promise<Endpoint> {
  const { record } = container
  return ctx.networks.connect(
    {
      containerId: record.id,
      containerName: record.name,
      network,
      settings: record.networks[network] ?? {},
      interfaceName: `eth${index}`,
      defaultGateway: gateway,
      publishedPorts: gateway ? publishedPorts(record.config, record.hostConfig) : [],
      exposedPorts: exposedPorts(record.config, record.hostConfig),
    },
    record.id,
  )
}

/** Takes addresses and ports on every network of the container. Nothing is done to the kernel's network state yet. */
export async function joinNetworks(ctx: ContainersContext, container: Container, stack: Disposables): Promise<Endpoint[]> {
  const { record } = container
  const endpoints: Endpoint[] = []
  const names = Object.keys(record.networks)
  // The endpoint of the highest gateway priority gives the default route; ties go to the first.
  const priority = (name: string): number => record.networks[name]?.GwPriority ?? 0
  const best = names.reduce<string | undefined>((a, b) => (a === undefined || priority(b) > priority(a) ? b : a), undefined)
  for (const [index, name] of names.entries()) {
    if (noNamespace.has(name)) continue
    const endpoint = await connectOne(ctx, container, name, index, name === best)
    stack.defer(`network ${name}`, () => ctx.networks.disconnect(endpoint.networkId, endpoint.endpointId, record.id))
    record.networks[name] = { ...record.networks[name], ...endpoint.settings }
    endpoints.push(endpoint)
  }
  return endpoints
}

/** What a network gave to an endpoint is gone once it left; what the user asked for stays. */
export function forgetAddresses(settings: EndpointSettings): EndpointSettings {
  return {
    ...settings,
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    MacAddress: '',
  }
}

function assertConnectable(container: Container, name: string): void {
  const mode = container.record.hostConfig.NetworkMode ?? ''
  if (mode === 'host')
    throw forbidden('container cannot be connected to the network: it uses the host network; it would have to be disconnected from it')
  if (mode.startsWith('container:'))
    throw forbidden('container sharing network namespace with another container or host cannot be connected to any other network')
  if (name === 'host') throw forbidden('container cannot be connected to host network')
  if (name === 'none' || 'none' in container.record.networks)
    throw forbidden('container cannot be connected to multiple networks with one of the networks in private (none) mode')
}

export async function connectNetwork(
  ctx: ContainersContext,
  container: Container,
  reference: string,
  settings: EndpointSettings,
): Promise<void> {
  const { record } = container
  if (record.state.status === 'removing' || record.state.status === 'dead') throw conflict(`container ${record.id} is marked for removal`)
  const network = await ctx.networks.resolve(reference)
  assertConnectable(container, network.name)
  if (record.networks[network.name]) throw forbidden(`endpoint with name ${record.name} already exists in network ${network.name}`)
  record.networks[network.name] = settings
  try {
    if (container.isLive && container.running) {
      const { running } = container
      const index = Math.max(-1, ...running.endpoints.map((endpoint) => interfaceIndex(endpoint))) + 1
      const hasGateway = running.endpoints.some((endpoint) => endpoint.join.gateway !== '')
      const endpoint = await connectOne(ctx, container, network.name, index, !hasGateway)
      try {
        await ctx.netns.apply({ pid: record.state.pid }, endpoint.join)
      } catch (error) {
        await ctx.networks.disconnect(endpoint.networkId, endpoint.endpointId, record.id)
        throw error
      }
      ctx.networks.connected(endpoint, record.id)
      running.endpoints.push(endpoint)
      record.networks[network.name] = { ...settings, ...endpoint.settings }
    } else ctx.events.publish('network', 'connect', network.id, { container: record.id, name: network.name, type: network.driver })
  } catch (error) {
    delete record.networks[network.name]
    throw error
  }
  await ctx.registry.save(container, { sync: true })
}

const interfaceIndex = (endpoint: Endpoint): number => Number(/\d+$/.exec(endpoint.interfaceName)?.[0] ?? -1)

export async function disconnectNetwork(ctx: ContainersContext, container: Container, reference: string): Promise<void> {
  const { record } = container
  const network = await ctx.networks.resolve(reference)
  if (!record.networks[network.name]) throw forbidden(`container ${record.id} is not connected to network ${network.name}`)
  if (network.name === 'host') throw forbidden('container cannot be disconnected from host network')
  const settings = record.networks[network.name]
  delete record.networks[network.name]
  // The record first: what a kill leaves undone is finished by the next daemon.
  await ctx.registry.save(container, { sync: true })
  const { running } = container
  const endpoint = running?.endpoints.find((e) => e.networkId === network.id)
  if (!container.isLive || !running || !endpoint) {
    ctx.events.publish('network', 'disconnect', network.id, { container: record.id, name: network.name, type: network.driver })
    return
  }
  try {
    await leaveEndpoint(ctx, container, running, endpoint)
  } catch (error) {
    if (settings) record.networks[network.name] = settings
    await ctx.registry.save(container, { sync: true })
    throw error
  }
}

async function leaveEndpoint(ctx: ContainersContext, container: Container, running: Running, endpoint: Endpoint): Promise<void> {
  const { id, state } = container.record
  await ctx.netns.unlink({ pid: state.pid }, [endpoint.interfaceName])
  await ctx.networks.disconnect(endpoint.networkId, endpoint.endpointId, id)
  running.endpoints = running.endpoints.filter((e) => e !== endpoint)
}

/** The record of a container that outlived a daemon decides: a connect that was not acknowledged is undone, a disconnect is finished. */
export async function settleEndpoints(ctx: ContainersContext, container: Container, running: Running): Promise<void> {
  const recorded = new Set(Object.values(container.record.networks).map(({ EndpointID }) => EndpointID))
  for (const endpoint of running.endpoints) {
    if (recorded.has(endpoint.endpointId)) continue
    await leaveEndpoint(ctx, container, running, endpoint).catch((error: unknown) =>
      ctx.logger.warn(`container ${container.record.name} could not leave network ${endpoint.networkName}: ${messageOf(error)}`),
    )
  }
}

/** Networks of a container that exists, and may run: joined and left later. */
import type { EndpointSettings } from '../../schema/engine-api.js'
import { conflict, forbidden, invalidParameter, messageOf } from '../../sdk/errors.js'
import type { NetOp } from '../../sdk/kinds/network.js'
import type { Endpoint, NetworkFacts } from '../networks/index.js'
import type { Container, Running } from './container.js'
import type { ContainersContext } from './context.js'
import { changeHosts } from './host-files.js'
import { startNames } from './name-server.js'
import { connectOne, gatewayEndpoint, gatewayOf, interfaceNameFor } from './networking.js'

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

/** The default routes through an endpoint, in place of those that were. */
function defaultRoutes({ interfaceName, join }: Endpoint): NetOp[] {
  return [join.gateway, join.gatewayIPv6]
    .filter((gateway) => gateway !== '')
    .map((gateway) => ({ op: 'route', link: interfaceName, destination: 'default', gateway, replace: true }))
}

const addressesOf = ({ settings }: Endpoint): string[] =>
  [settings.IPAddress ?? '', settings.GlobalIPv6Address ?? ''].filter((address) => address !== '')

async function hostLines(ctx: ContainersContext, container: Container, change: { joined?: Endpoint; left?: Endpoint }): Promise<void> {
  try {
    await changeHosts(ctx, container, {
      add: change.joined ? addressesOf(change.joined) : [],
      remove: change.left ? addressesOf(change.left) : [],
    })
  } catch (error) {
    ctx.logger.warn(`the hosts file of container ${container.record.name} cannot be changed: ${messageOf(error)}`)
  }
}

async function joinLive(ctx: ContainersContext, container: Container, running: Running, network: NetworkFacts): Promise<Endpoint> {
  const { record } = container
  const target = { pid: record.state.pid }
  const settings = record.networks[network.name]
  const taken = running.endpoints.map(({ interfaceName }) => interfaceName)
  const before = gatewayEndpoint(container, running.endpoints)
  const beforeAs = before && {
    name: before.networkName,
    internal: false,
    priority: record.networks[before.networkName]?.GwPriority ?? 0,
  }
  const mine = { name: network.name, internal: network.internal, priority: settings?.GwPriority ?? 0 }
  const takesOver = !network.internal && gatewayOf(beforeAs ? [beforeAs, mine] : [mine]) === mine
  const publisher = running.endpoints.find(({ publishedPorts }) => publishedPorts.length > 0)
  const endpoint = await connectOne(ctx, container, network.name, {
    interfaceName: interfaceNameFor(settings, network.interfacePrefix, taken),
    gateway: takesOver && !before,
    publish: takesOver && !publisher,
  })
  try {
    const { host, container: inside } = endpoint.join
    await ctx.netns.apply(target, { host, container: [...inside, ...(takesOver && before ? defaultRoutes(endpoint) : [])] })
    if (takesOver && publisher) await ctx.networks.movePorts(publisher, endpoint, record.id)
  } catch (error) {
    await ctx.netns.unlink(target, [endpoint.interfaceName])
    if (before) await ctx.netns.apply(target, { host: [], container: defaultRoutes(before) })
    await ctx.networks.disconnect(endpoint.networkId, endpoint.endpointId, record.id)
    throw error
  }
  ctx.networks.connected(endpoint, record.id)
  running.endpoints.push(endpoint)
  await hostLines(ctx, container, { joined: endpoint })
  if (network.userDefined) await startNames(ctx, container)
  return endpoint
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
  if (!network.userDefined && (settings.Aliases?.length || settings.Links?.length))
    throw invalidParameter('network-scoped aliases and links are only supported for user-defined networks')
  await ctx.networks.check(network.id, settings)
  record.networks[network.name] = settings
  try {
    if (container.isLive && container.running) {
      const endpoint = await joinLive(ctx, container, container.running, network)
      record.networks[network.name] = { ...settings, ...endpoint.settings }
    } else ctx.events.publish('network', 'connect', network.id, { container: record.id, name: network.name, type: network.driver })
  } catch (error) {
    delete record.networks[network.name]
    throw error
  }
  await ctx.registry.save(container, { sync: true })
}

async function leaveLive(ctx: ContainersContext, container: Container, running: Running, endpoint: Endpoint): Promise<void> {
  const { record } = container
  const target = { pid: record.state.pid }
  const others = running.endpoints.filter((one) => one !== endpoint)
  const gave = gatewayEndpoint(container, running.endpoints) === endpoint
  const next = gave ? gatewayEndpoint(container, others) : undefined
  await ctx.netns.unlink(target, [endpoint.interfaceName])
  if (next) {
    await ctx.netns.apply(target, { host: [], container: defaultRoutes(next) })
    // A container leaves all the same: what the next network cannot publish is published no more.
    await ctx.networks
      .movePorts(endpoint, next, record.id)
      .catch((error: unknown) => ctx.logger.warn(`ports of container ${record.name} are published no more: ${messageOf(error)}`))
  }
  await ctx.networks.disconnect(endpoint.networkId, endpoint.endpointId, record.id)
  running.endpoints = others
  await hostLines(ctx, container, { left: endpoint })
}

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
  const endpoint = running?.endpoints.find((one) => one.networkId === network.id)
  if (!container.isLive || !running || !endpoint) {
    ctx.events.publish('network', 'disconnect', network.id, { container: record.id, name: network.name, type: network.driver })
    return
  }
  try {
    await leaveLive(ctx, container, running, endpoint)
  } catch (error) {
    if (settings) record.networks[network.name] = settings
    await ctx.registry.save(container, { sync: true })
    throw error
  }
}

/** The record of a container that outlived a daemon decides: a connect that was not acknowledged is undone, a disconnect is finished. */
export async function settleEndpoints(ctx: ContainersContext, container: Container, running: Running): Promise<void> {
  const recorded = new Set(Object.values(container.record.networks).map(({ EndpointID }) => EndpointID))
  for (const endpoint of running.endpoints) {
    if (recorded.has(endpoint.endpointId)) continue
    await leaveLive(ctx, container, running, endpoint).catch((error: unknown) =>
      ctx.logger.warn(`container ${container.record.name} could not leave network ${endpoint.networkName}: ${messageOf(error)}`),
    )
  }
}

import type { Disposables } from '../../base/disposables.js'
import type { EndpointSettings } from '../../schema/engine-api.js'
import { forbidden, invalidParameter } from '../../sdk/errors.js'
import type { NetOp } from '../../sdk/kinds/network.js'
import type { Endpoint, NetworkFacts } from '../networks/index.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'
import { exposedPorts, publishedPorts } from './ports.js'

const noNamespace = new Set(['host'])
const INTERFACE_NAME = 'com.docker.network.endpoint.ifname'

/** Steps of all endpoints, in order of their interfaces. */
export function mergePlans(endpoints: Endpoint[], more: NetOp[] = []): { host: NetOp[]; container: NetOp[] } {
  return {
    host: endpoints.flatMap((endpoint) => endpoint.join.host),
    container: [{ op: 'up', link: 'lo' }, ...endpoints.flatMap((endpoint) => endpoint.join.container), ...more],
  }
}

interface Candidate {
  name: string
  internal: boolean
  priority: number
}

/** The one that gives the default route: of the highest priority, with a way out, first by name. */
export function gatewayOf<T extends Candidate>(candidates: readonly T[]): T | undefined {
  const better = (a: T, b: T): boolean => {
    if (a.priority !== b.priority) return a.priority > b.priority
    return a.internal !== b.internal ? b.internal : a.name < b.name
  }
  return candidates.reduce<T | undefined>((best, one) => (best === undefined || better(one, best) ? one : best), undefined)
}

const priorityOf = (settings: EndpointSettings | undefined): number => settings?.GwPriority ?? 0

/** The endpoint of a live container that its default route goes through. */
export function gatewayEndpoint(container: Container, endpoints: readonly Endpoint[]): Endpoint | undefined {
  const { networks } = container.record
  const candidates = endpoints.map((endpoint) => ({
    name: endpoint.networkName,
    internal: endpoint.join.gateway === '' && endpoint.join.gatewayIPv6 === '',
    // The record may have let go of it already.
    priority: priorityOf(networks[endpoint.networkName] ?? endpoint.settings),
    endpoint,
  }))
  const best = gatewayOf(candidates)
  return best?.internal ? undefined : best?.endpoint
}

const numberOf = (name: string, prefix: string): number =>
  name.startsWith(prefix) && /^\d{1,5}$/.test(name.slice(prefix.length)) ? Number(name.slice(prefix.length)) : -1

/** As the user named it, or the next of its prefix. */
export function interfaceNameFor(settings: EndpointSettings | undefined, prefix: string, taken: readonly string[]): string {
  const wanted = settings?.DriverOpts?.[INTERFACE_NAME]
  if (wanted === undefined || wanted === '') return `${prefix}${Math.max(-1, ...taken.map((name) => numberOf(name, prefix))) + 1}`
  if (wanted.length > 15 || /[\s/:%]/.test(wanted) || ['.', '..', 'lo'].includes(wanted))
    throw invalidParameter(`${INTERFACE_NAME}: ${JSON.stringify(wanted)} is not a name for an interface (1 to 15 characters)`)
  if (taken.includes(wanted)) throw forbidden(`${INTERFACE_NAME}: the container has an interface ${wanted} already`)
  return wanted
}

export interface JoinChoice {
  interfaceName: string
  gateway: boolean
  publish: boolean
}

export function connectOne(ctx: ContainersContext, container: Container, network: string, choice: JoinChoice): Promise<Endpoint> {
  const { record } = container
  return ctx.networks.connect(
    {
      containerId: record.id,
      containerName: record.name,
      hostname: record.config.Hostname ?? '',
      network,
      settings: record.networks[network] ?? {},
      interfaceName: choice.interfaceName,
      defaultGateway: choice.gateway,
      publishedPorts: choice.publish ? publishedPorts(record.config, record.hostConfig) : [],
      exposedPorts: exposedPorts(record.config, record.hostConfig),
    },
    record.id,
  )
}

/** Takes addresses and ports on every network of the container. Nothing is done to the kernel's network state yet. */
export async function joinNetworks(ctx: ContainersContext, container: Container, stack: Disposables): Promise<Endpoint[]> {
  const { record } = container
  const wanted: { facts: NetworkFacts; name: string; internal: boolean; priority: number }[] = []
  for (const [name, settings] of Object.entries(record.networks)) {
    if (noNamespace.has(name)) continue
    const facts = await ctx.networks.resolve(name)
    wanted.push({ facts, name, internal: facts.internal, priority: priorityOf(settings) })
  }
  const best = gatewayOf(wanted)
  const endpoints: Endpoint[] = []
  for (const one of wanted) {
    const settings = record.networks[one.name]
    const taken = endpoints.map(({ interfaceName }) => interfaceName)
    const interfaceName = interfaceNameFor(settings, one.facts.interfacePrefix, taken)
    const endpoint = await connectOne(ctx, container, one.name, { interfaceName, gateway: one === best, publish: one === best })
    stack.defer(`network ${one.name}`, () => ctx.networks.disconnect(endpoint.networkId, endpoint.endpointId, record.id))
    record.networks[one.name] = { ...settings, ...endpoint.settings }
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

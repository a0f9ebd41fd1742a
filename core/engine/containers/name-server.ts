/** The name server of a container in user networks, over its life: planned with a start, opened before its process runs, found again by the next daemon. */
import { messageOf } from '../../sdk/errors.js'
import type { NetOp } from '../../sdk/kinds/network.js'
import type { Endpoint } from '../networks/index.js'
import type { LedgerEntry, NameServerPorts, SandboxTarget } from '../ports/index.js'
import type { Container, Running } from './container.js'
import type { ContainersContext } from './context.js'
import { replaceResolvConf } from './host-files.js'
import { gatewayEndpoint } from './networking.js'
import { outsideOf, resolvConfOf } from './resolv-conf.js'

export const findsNames = (endpoints: readonly Endpoint[]): boolean =>
  endpoints.some(({ settings }) => (settings.DNSNames ?? null) !== null)

export interface PlannedServer {
  ports: NameServerPorts
  steps: NetOp[]
}

const resource = (container: Container, ports: NameServerPorts) => ({ kind: 'name-server', key: container.id, data: { ...ports } })

/** Its ports stand in the ledger before anything leads there. */
export function planNames(ctx: ContainersContext, container: Container): PlannedServer {
  const planned = ctx.names.plan()
  ctx.ledger.intend(container.id, [resource(container, planned.ports)])
  return planned
}

/** The one that gives the default route first. */
function inOrder(container: Container, endpoints: readonly Endpoint[]): Endpoint[] {
  const first = gatewayEndpoint(container, endpoints)
  return first ? [first, ...endpoints.filter((endpoint) => endpoint !== first)] : [...endpoints]
}

/** `endpoints`: those of a start whose container does not run yet. */
export function openNames(
  ctx: ContainersContext,
  container: Container,
  target: SandboxTarget,
  ports: NameServerPorts,
  endpoints: readonly Endpoint[] = [],
): { steps: NetOp[]; moved: boolean } {
  const opened = ctx.names.open({
    owner: container.id,
    target,
    ports,
    endpoints: () => inOrder(container, container.running?.endpoints ?? endpoints),
    ...outsideOf(ctx, container),
  })
  ctx.ledger.fact(container.id, [resource(container, opened.ports)])
  return opened
}

export function closeNames(ctx: ContainersContext, container: Container): void {
  if (!ctx.names.serves(container.id)) return
  ctx.names.close(container.id)
  ctx.ledger.released(container.id, [{ kind: 'name-server', key: container.id }])
}

/** A container that ran without one joins its first user network. */
export async function startNames(ctx: ContainersContext, container: Container): Promise<void> {
  if (ctx.names.serves(container.id)) return
  const target = { pid: container.record.state.pid }
  const before = resolvConfOf(ctx, container, { ownServer: false })
  const opened = openNames(ctx, container, target, planNames(ctx, container).ports)
  await ctx.netns.apply(target, { host: [], container: opened.steps })
  await replaceResolvConf(ctx, container, before, resolvConfOf(ctx, container, { ownServer: true }))
}

/** The sockets went with the daemon that made them; the rules that lead there are still in the sandbox. */
export async function adoptNames(
  ctx: ContainersContext,
  container: Container,
  running: Running,
  entries: readonly LedgerEntry[],
): Promise<void> {
  if (!findsNames(running.endpoints)) return
  const { udp = 0, tcp = 0 } = (entries.findLast(({ kind }) => kind === 'name-server')?.data ?? {}) as Partial<NameServerPorts>
  const known = udp > 0 && tcp > 0
  const target = { pid: running.shim.pid }
  try {
    const { steps, moved } = openNames(ctx, container, target, known ? { udp, tcp } : planNames(ctx, container).ports)
    if (moved || !known) await ctx.netns.apply(target, { host: [], container: steps })
  } catch (error) {
    ctx.logger.warn(`container ${container.record.name} finds no names: ${messageOf(error)}`, { container: container.id })
  }
}

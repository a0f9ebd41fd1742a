import { mkdir } from 'node:fs/promises'
import type { Disposables } from '../../base/disposables.js'
import type { ExecDriver } from '../../sdk/kinds/exec.js'
import type { MountInstruction } from '../../sdk/kinds/graph.js'
import type { NetOp } from '../../sdk/kinds/network.js'
import type { OciSpec } from '../../sdk/oci.js'
import type { ShimSpec } from '../../sdk/ports.js'
import type { LedgerResource, SandboxTarget } from '../ports/index.js'
import { unmountRootfs } from './cleanup.js'
import type { ContainersContext } from './context.js'

export interface ProcessRequest {
  /** The exec driver's name for it. */
  id: string
  owner: string
  holder: string
  bundle: string
  spec: OciSpec
  rootfs: MountInstruction[]
  network: { host: NetOp[]; container: NetOp[] }
  shim: ShimSpec
  /** Made, and held before its command. */
  park?: boolean
  /** Work in the sandbox before its process runs. */
  prepare?: (target: SandboxTarget) => void
}

export interface ProcessPlace {
  /** Host path of the mounted root, for exec drivers that need one. */
  mountedRootfs: string | undefined
  /** Bound network namespace, for the same. */
  netns: string | undefined
}

/** In one plan where the driver can, else step by step: namespace, mounts, create, start. */
export async function runProcess(
  ctx: ContainersContext,
  driver: ExecDriver,
  stack: Disposables,
  request: ProcessRequest,
): Promise<ProcessPlace> {
  const { id, owner, bundle, spec, rootfs, network, shim, park = false, prepare } = request
  const newNetns = spec.linux.namespaces.find((namespace) => namespace.type === 'network' && !namespace.path)
  if (driver.run) {
    stack.defer('processes', () => driver.delete(id))
    const container = { id, bundle, spec, rootfs, network: newNetns ? network : undefined, shim }
    if (park) await driver.create(container)
    else if (prepare) {
      const { pid } = await driver.create(container)
      prepare({ pid })
      await driver.start(id)
    } else await driver.run(container)
    return { mountedRootfs: undefined, netns: undefined }
  }
  const mountedRootfs = `${ctx.config.execRoot}/rootfs/${shim.id}`
  const netns = newNetns ? `${ctx.config.execRoot}/netns/${shim.id}` : undefined
  const resources: LedgerResource[] = [{ kind: 'mount', key: mountedRootfs }]
  if (netns) resources.push({ kind: 'netns', key: netns })
  ctx.ledger.intend(owner, resources)
  stack.defer('ledger', () => ctx.ledger.released(owner, resources))
  if (netns && newNetns) {
    stack.defer('network namespace', () => ctx.netns.remove(netns))
    await ctx.netns.create(netns, network)
    newNetns.path = netns
    prepare?.({ path: netns })
  }
  stack.defer('root file system', () => unmountRootfs(ctx, mountedRootfs))
  await mkdir(mountedRootfs, { recursive: true, mode: 0o700 })
  await ctx.mounter.mount(rootfs, mountedRootfs)
  spec.root.path = mountedRootfs
  stack.defer('processes', () => driver.delete(id))
  await driver.create({ id, bundle, spec, rootfs: [], shim })
  if (!park) await driver.start(id)
  ctx.ledger.fact(owner, resources)
  return { mountedRootfs, netns }
}

import { rm, rmdir } from 'node:fs/promises'
import { messageOf } from '../../sdk/errors.js'
import type { Container, Running } from './container.js'
import type { ContainersContext } from './context.js'

export async function unmountRootfs(ctx: ContainersContext, path: string): Promise<void> {
  await ctx.mounter.unmount(path)
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

/**
 * Releases what one run of a container held. What frees names for others (addresses, ports) goes first; a step that fails stays in the
 * ledger, is reported, and does not keep the others from being done.
 */
export async function releaseRun(ctx: ContainersContext, container: Container, running: Running): Promise<void> {
  const owner = container.id
  const step = async (what: string, action: () => Promise<void> | void): Promise<boolean> => {
    try {
      await action()
      return true
    } catch (error) {
      ctx.logger.warn(`could not release ${what} of container ${owner}: ${messageOf(error)}`, { container: owner })
      return false
    }
  }
  const done = (kind: string, key: string): void => ctx.ledger.released(owner, [{ kind, key }])

  for (const endpoint of running.endpoints)
    await step(`network ${endpoint.networkName}`, () => ctx.networks.disconnect(endpoint.networkId, endpoint.endpointId, owner))
  if (await step('processes', () => running.exec.driver.delete(owner))) done('exec', owner)
  if (running.mountedRootfs) {
    const path = running.mountedRootfs
    if (await step('root file system', () => unmountRootfs(ctx, path))) done('mount', path)
  }
  if (running.sharedMemory) {
    const path = running.sharedMemory
    if (await step('shared memory', () => unmountRootfs(ctx, path))) done('mount', path)
  }
  if (running.netns) {
    const path = running.netns
    if (await step('network namespace', () => ctx.netns.remove(path))) done('netns', path)
  }
  await running.shim.released
  if (await step('layer', () => running.graph.driver.release(owner, running.holder))) done('snapshot', running.holder)
  for (const { name, holder } of running.volumeHolders)
    await step(`volume ${name}`, () => ctx.volumes.unmount({ name, holder, attributes: { container: owner } }, owner))
  await step('log', () => ctx.logs.stop(container.record.logConfig.Type, running.logInfo))
  await running.shim.ended
  running.shim.close()
  if (await step('shim', () => rm(running.shimDir, { recursive: true, force: true }))) done('shim', running.shim.id)
  running.exec.release()
  running.graph.release()
}

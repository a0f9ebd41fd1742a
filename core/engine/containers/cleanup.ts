import { rmdir } from 'node:fs/promises'
import { removeFiles } from '../../base/remove-files.js'
import { messageOf } from '../../sdk/errors.js'
import type { Container, Running } from './container.js'
import type { ContainersContext } from './context.js'
import { closeNames } from './name-server.js'

export async function unmountRootfs(ctx: ContainersContext, path: string): Promise<void> {
  await ctx.mounter.unmount(path)
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

/**
 * Releases what one run of a container held, side by side where one thing does not stand on another. A step that fails stays in the ledger, is
 * reported, and does not keep the others from being done.
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
  const unmounted = async (what: string, path: string | undefined): Promise<void> => {
    if (path !== undefined && (await step(what, () => unmountRootfs(ctx, path)))) done('mount', path)
  }

  const networks = async (): Promise<void> => {
    closeNames(ctx, container)
    for (const endpoint of running.endpoints)
      await step(`network ${endpoint.networkName}`, () => ctx.networks.disconnect(endpoint.networkId, endpoint.endpointId, owner))
  }
  const processes = async (): Promise<void> => {
    if (await step('processes', () => running.exec.driver.delete(owner))) done('exec', owner)
    await unmounted('root file system', running.mountedRootfs)
    await unmounted('shared memory', running.sharedMemory)
    const path = running.netns
    if (path !== undefined && (await step('network namespace', () => ctx.netns.remove(path)))) done('netns', path)
  }
  const files = async (ended: Promise<void>): Promise<void> => {
    // What shares its process namespace with others may outlive its first process, and has these files open until it is killed.
    await Promise.all([ended, running.shim.released])
    await ctx.visits.over(owner)
    if (await step('layer', () => running.graph.driver.release(owner, running.holder))) done('snapshot', running.holder)
    for (const { name, holder } of running.volumeHolders)
      await step(`volume ${name}`, () => ctx.volumes.unmount({ name, holder, attributes: { container: owner } }, owner))
  }
  const output = async (): Promise<void> => {
    await running.shim.ended
    await step('log', () => ctx.logs.stop(container.record.logConfig.Type, running.logInfo))
  }
  const ended = processes()
  await Promise.all([networks(), ended, files(ended), output()])
  running.shim.close()
  if (await step('shim', () => removeFiles(running.shimDir))) done('shim', running.shim.id)
  running.exec.release()
  running.graph.release()
}

import { removeFiles } from '../../base/remove-files.js'
import { conflict, messageOf } from '../../sdk/errors.js'
import type { Container } from './container.js'
import { containerDir, publish, type ContainersContext } from './context.js'
import { cancelRestart } from './exit.js'
import { logInfoOf } from './log-info.js'
import { killContainer, settled } from './stop.js'

export interface RemoveOptions {
  force: boolean
  volumes: boolean
}

/** Called with the container's lock held. After it, name, addresses and ports can be used again. */
export async function removeContainer(ctx: ContainersContext, container: Container, options: RemoveOptions): Promise<void> {
  const { record } = container
  if (ctx.registry.find(record.id) !== container) return
  if (container.isRunning) {
    const { status } = record.state
    const advice = status === 'paused' ? 'unpause and then stop' : 'stop'
    if (!options.force)
      throw conflict(
        `cannot remove container "/${record.name}": container is ${status}: ${advice} the container before removing or force remove`,
      )
    if (status === 'restarting') {
      record.manuallyStopped = true
      await cancelRestart(ctx, container)
    } else {
      await killContainer(ctx, container, 'SIGKILL')
    }
  }
  await settled(container)
  record.state.status = 'removing'
  // Found with this status at boot, the removal is carried on.
  await ctx.registry.save(container, { sync: false })
  await finishRemoval(ctx, container, options.volumes)
}

/** Every step is safe to repeat. */
export async function finishRemoval(ctx: ContainersContext, container: Container, volumes: boolean): Promise<void> {
  const { record } = container
  try {
    await Promise.all([
      ctx.logs.remove(record.logConfig.Type, logInfoOf(ctx, record)).then(() => removeFiles(containerDir(ctx, record.id))),
      ctx.layers.removeContainerLayer(record.id),
    ])
  } catch (error) {
    record.state.status = 'dead'
    record.state.error = messageOf(error)
    await ctx.registry.save(container, { sync: true })
    throw error
  }
  await ctx.registry.delete(container)
  for (const point of record.mounts) {
    if (point.type !== 'volume') continue
    ctx.volumes.unreference(point.name, record.id)
    if (volumes && point.anonymous && ctx.volumes.usedBy(point.name).length === 0)
      await ctx.volumes
        .remove(point.name, { force: false })
        .catch((error: unknown) => ctx.logger.warn(`anonymous volume ${point.name} of container ${record.id} remains: ${messageOf(error)}`))
  }
  container.hub.release()
  container.removedNow()
  publish(ctx, container, 'destroy')
}

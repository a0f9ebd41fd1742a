import { messageOf } from '../../sdk/errors.js'
import type { ShimExit } from '../ports/index.js'
import { releaseRun } from './cleanup.js'
import type { Container, Running } from './container.js'
import { publish, type ContainersContext } from './context.js'
import { unwatchHealth } from './health.js'
import { forgetAddresses } from './networking.js'
import { nextDelay, shouldRestart } from './restart-policy.js'

export interface AfterExit {
  /** Starts the container again; called with no lock held. */
  restart(container: Container): Promise<void>
  /** Applies --rm; called with no lock held. */
  remove(container: Container): Promise<void>
}

/** As a shell reports it: 128 and the signal's number for a process that was killed. */
export const exitCodeOf = (exit: ShimExit): number => (exit.signal > 0 ? 128 + exit.signal : exit.code)

/** Records the end of a process, releases what it held and applies restart policy and --rm. */
export async function handleExit(
  ctx: ContainersContext,
  container: Container,
  running: Running,
  exit: ShimExit,
  after: AfterExit,
): Promise<void> {
  if (container.running !== running) return
  const { record } = container
  const { state, hostConfig } = record
  const exitCode = exitCodeOf(exit)
  const ranMs = Math.max(0, ctx.clock.now() - running.startedMs)
  const restart = shouldRestart({ hostConfig, exitCode, restartCount: record.restartCount, manuallyStopped: record.manuallyStopped })
  record.state = {
    ...state,
    status: restart ? 'restarting' : 'exited',
    pid: 0,
    exitCode,
    oomKilled: state.oomKilled || exit.oom,
    finishedAt: exit.time,
    logBytesDropped: running.shim.droppedLogBytes,
  }
  container.running = undefined
  unwatchHealth(container)
  for (const name of Object.keys(record.networks)) record.networks[name] = forgetAddresses(record.networks[name] ?? {})
  const seconds = Math.floor((Date.parse(exit.time) - Date.parse(state.startedAt)) / 1000)
  publish(ctx, container, 'die', { exitCode: String(exitCode), execDuration: String(Math.max(0, seconds)) })
  const cleaning = releaseRun(ctx, container, running)
    .catch((error: unknown) => ctx.logger.error(`cleaning up after container ${record.id}: ${messageOf(error)}`))
    .finally(() => {
      if (container.cleaning === cleaning) container.cleaning = undefined
    })
  container.cleaning = cleaning
  await ctx.registry.save(container, { sync: false })
  await cleaning
  container.exitedNow()
  // A stop may have come while it was cleaned up.
  if (restart && container.record.state.status === 'restarting') scheduleRestart(ctx, container, ranMs, after)
  else if (!restart && hostConfig.AutoRemove && !container.keepOnExit) await after.remove(container)
}

function scheduleRestart(ctx: ContainersContext, container: Container, ranMs: number, after: AfterExit): void {
  container.restartDelayMs = nextDelay(container.restartDelayMs, ranMs)
  container.restartTimer = setTimeout(() => {
    container.restartTimer = undefined
    container.record.restartCount += 1
    after.restart(container).catch((error: unknown) => ctx.logger.warn(`restarting container ${container.id}: ${messageOf(error)}`))
  }, container.restartDelayMs)
}

/** Stops waiting to restart: the container counts as exited from now. Answers false when it was not waiting. */
export async function cancelRestart(ctx: ContainersContext, container: Container): Promise<boolean> {
  if (container.record.state.status !== 'restarting') return false
  clearTimeout(container.restartTimer)
  container.restartTimer = undefined
  container.record.state.status = 'exited'
  await ctx.registry.save(container, { sync: true })
  container.exitedNow()
  return true
}

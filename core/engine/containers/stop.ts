import { conflict, isTsdError, notModified, systemError } from '../../sdk/errors.js'
import type { Container, Running } from './container.js'
import { publish, type ContainersContext } from './context.js'
import { cancelRestart } from './exit.js'
import { unwatchHealth, watchHealth } from './health.js'
import { parseSignal } from './signals.js'

const sigkill = 9
const sigterm = 15
const defaultTimeoutSeconds = 10

const notRunning = (container: Container) => conflict(`container ${container.id} is not running`)

async function signalInit(container: Container, running: Running, signal: number): Promise<void> {
  try {
    await running.exec.driver.kill(container.id, signal)
  } catch (error) {
    // It ended by itself in the meantime.
    if (!(isTsdError(error) && error.category === 'NotFound')) throw error
  }
}

const exitedWithin = (running: Running, seconds: number): Promise<boolean> => {
  if (seconds < 0) return running.shim.exited.then(() => true)
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), seconds * 1000)
    void running.shim.exited.then(() => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}

async function markStopped(ctx: ContainersContext, container: Container): Promise<void> {
  if (container.record.manuallyStopped) return
  container.record.manuallyStopped = true
  await ctx.registry.save(container, { sync: true })
}

/** Called with the container's lock held. Resolves when the process is gone and what it held is released. */
export async function stopContainer(
  ctx: ContainersContext,
  container: Container,
  options: { signal?: string; timeout?: number },
): Promise<void> {
  const { record } = container
  if (!container.isRunning) throw notModified(`container ${record.name} is already stopped`)
  const signal = parseSignal(options.signal || record.config.StopSignal || 'SIGTERM')
  const timeout = options.timeout ?? record.config.StopTimeout ?? defaultTimeoutSeconds
  await markStopped(ctx, container)
  if (await cancelRestart(ctx, container)) {
    publish(ctx, container, 'stop')
    return
  }
  const { running } = container
  if (running) {
    if (record.state.status === 'paused') await unpauseContainer(ctx, container)
    await signalInit(container, running, signal)
    if (!(await exitedWithin(running, timeout))) {
      await running.exec.driver.kill(container.id, sigkill, { all: true }).catch((error: unknown) => {
        if (!(isTsdError(error) && error.category === 'NotFound')) throw error
      })
      publish(ctx, container, 'kill', { signal: String(sigkill) })
      await running.shim.exited
    }
  }
  await settled(container)
  publish(ctx, container, 'stop')
}

/** Resolves once the exit is recorded and cleaned up after. */
export async function settled(container: Container): Promise<void> {
  while (container.isLive) await container.waitFor('next-exit', new AbortController().signal)
  await container.cleaning
}

/** Takes no lock: a kill never waits behind a stop. */
export async function killContainer(ctx: ContainersContext, container: Container, signalText: string | undefined): Promise<void> {
  const signal = parseSignal(signalText || 'SIGKILL')
  if (container.record.state.status === 'restarting') {
    await markStopped(ctx, container)
    await cancelRestart(ctx, container)
    return
  }
  const { running } = container
  if (!running || !container.isLive)
    throw conflict(`cannot kill container: ${container.record.name}: container ${container.id} is not running`)
  const stopSignal = parseSignal(container.record.config.StopSignal || 'SIGTERM')
  if (signal === sigkill || signal === sigterm || signal === stopSignal) await markStopped(ctx, container)
  if (signal === sigkill) {
    // A frozen process does not die before it is thawed.
    if (container.record.state.status === 'paused') await unpauseContainer(ctx, container)
    await signalInit(container, running, sigkill)
    publish(ctx, container, 'kill', { signal: String(signal) })
    await running.shim.exited
    await settled(container)
    return
  }
  await signalInit(container, running, signal)
  publish(ctx, container, 'kill', { signal: String(signal) })
}

export async function pauseContainer(ctx: ContainersContext, container: Container): Promise<void> {
  const { running, record } = container
  if (record.state.status === 'paused') throw conflict(`container ${record.id} is already paused`)
  if (record.state.status === 'restarting') throw conflict(`container ${record.id} is restarting, wait until the container is running`)
  if (!running || !container.isLive) throw notRunning(container)
  await running.exec.driver.pause(record.id)
  // A kill waits for no lock: what has ended meanwhile must not count as paused.
  if (container.running !== running) throw notRunning(container)
  record.state.status = 'paused'
  unwatchHealth(container)
  await ctx.registry.save(container, { sync: true })
  publish(ctx, container, 'pause')
}

export async function unpauseContainer(ctx: ContainersContext, container: Container): Promise<void> {
  const { running, record } = container
  if (record.state.status !== 'paused' || !running) throw systemError(`Container ${record.id} is not paused`)
  await running.exec.driver.resume(record.id)
  if (container.running !== running) return
  record.state.status = 'running'
  await ctx.registry.save(container, { sync: true })
  watchHealth(ctx, container)
  publish(ctx, container, 'unpause')
}

import { messageOf } from '../../sdk/errors.js'
import type { Container, Running } from './container.js'
import { publish, type ContainersContext } from './context.js'
import { probeOf, runProbe, type Probe, type ProbeResult } from './health-probe.js'
import type { HealthRecord } from './record.js'

const logEntries = 5

/** At a start: nothing is known yet. */
export function initialHealth(container: Container): HealthRecord | undefined {
  return probeOf(container.record.config) ? { status: 'starting', failingStreak: 0, log: [] } : undefined
}

/** Probes a running container until it is stopped. */
class HealthMonitor {
  private readonly stopping = new AbortController()
  private timer: NodeJS.Timeout | undefined

  constructor(
    private readonly ctx: ContainersContext,
    private readonly container: Container,
    private readonly running: Running,
    private readonly probe: Probe,
  ) {}

  schedule(): void {
    if (this.stopping.signal.aborted) return
    this.timer = setTimeout(() => void this.turn(), this.delay())
    this.timer.unref()
  }

  stop(): void {
    this.stopping.abort()
    clearTimeout(this.timer)
  }

  private get sinceStart(): number {
    return this.ctx.clock.now() - this.running.startedMs
  }

  private delay(): number {
    const { startPeriodMs, startIntervalMs, intervalMs } = this.probe
    const starting = this.container.record.state.health?.status === 'starting' && this.sinceStart < startPeriodMs
    return starting ? startIntervalMs : intervalMs
  }

  private async turn(): Promise<void> {
    const { signal } = this.stopping
    const start = this.ctx.clock.timestamp()
    const withinStart = this.sinceStart < this.probe.startPeriodMs
    let result: ProbeResult
    try {
      result = await runProbe(this.ctx, this.container, this.running, this.probe, signal)
    } catch (error) {
      result = { exitCode: -1, output: messageOf(error) }
    }
    if (signal.aborted) return
    await this.record(result, start, withinStart).catch((error: unknown) =>
      this.ctx.logger.warn(`health of container ${this.container.id}: ${messageOf(error)}`),
    )
    this.schedule()
  }

  private async record({ exitCode, output }: ProbeResult, start: string, withinStart: boolean): Promise<void> {
    const { ctx, container } = this
    const { state } = container.record
    const before = state.health ?? { status: 'starting', failingStreak: 0, log: [] }
    const log = [...before.log, { Start: start, End: ctx.clock.timestamp(), ExitCode: exitCode, Output: output }].slice(-logEntries)
    const next: HealthRecord = { ...before, log }
    if (exitCode === 0) Object.assign(next, { status: 'healthy', failingStreak: 0 })
    else if (!(before.status === 'starting' && withinStart)) {
      next.failingStreak += 1
      if (next.failingStreak >= this.probe.retries) next.status = 'unhealthy'
    }
    state.health = next
    await ctx.registry.save(container, { sync: false })
    if (next.status !== before.status) publish(ctx, container, `health_status: ${next.status}`)
  }
}

/** Begins, or goes on after a pause or in the next daemon's life: what was known stays known. */
export function watchHealth(ctx: ContainersContext, container: Container): void {
  const probe = probeOf(container.record.config)
  const { running } = container
  if (!probe || !running || container.record.state.status !== 'running') return
  container.health?.stop()
  const monitor = new HealthMonitor(ctx, container, running, probe)
  container.health = monitor
  monitor.schedule()
}

/** What is not watched does not count as healthy: Docker says unhealthy, without an event. */
export function unwatchHealth(container: Container): void {
  container.health?.stop()
  container.health = undefined
  const { state } = container.record
  if (state.health) state.health = { ...state.health, status: 'unhealthy' }
}

import type { Lease, ShimConnection } from '../ports/index.js'
import type { ExecDriver } from '../../sdk/kinds/exec.js'
import type { GraphDriver } from '../../sdk/kinds/graph.js'
import type { LogInfo } from '../../sdk/kinds/log.js'
import type { Endpoint } from '../networks/index.js'
import type { WaitResult } from './contract.js'
import type { ContainerRecord } from './record.js'
import { StdioHub } from './stdio-hub.js'

/** What a started container holds; rebuilt from the ledger after a restart of the daemon. */
export interface Running {
  /** Unique for this start: names the shim, the layer's holder and the volumes' holders. */
  holder: string
  shim: ShimConnection
  shimDir: string
  exec: Lease<ExecDriver>
  graph: Lease<GraphDriver>
  endpoints: Endpoint[]
  volumeHolders: { name: string; holder: string }[]
  logInfo: LogInfo
  /** Host path where the rootfs is mounted, for exec drivers that need one. */
  mountedRootfs: string | undefined
  netns: string | undefined
  /** Host mount of /dev/shm, when shareable. */
  sharedMemory: string | undefined
  startedMs: number
}

interface Waiter {
  resolve(result: WaitResult): void
  condition: 'not-running' | 'next-exit' | 'removed'
}

/** A container in memory: its record, and what only lives while the daemon does. */
export class Container {
  readonly hub = new StdioHub()
  running: Running | undefined
  /** Set while the remains of the last run are being released. */
  cleaning: Promise<void> | undefined
  /** A restart waiting for its delay. */
  restartTimer: NodeJS.Timeout | undefined
  restartDelayMs = 0
  /** A restart is under way: --rm must not take the container between its stop and its start. */
  keepOnExit = false
  /** Runs while its health is watched. */
  health: { stop(): void } | undefined
  /** Exec ids started in this life of the container. */
  readonly execs = new Set<string>()
  private readonly waiters = new Set<Waiter>()

  constructor(public record: ContainerRecord) {}

  get id(): string {
    return this.record.id
  }

  /** As Docker counts it: a restarting container is running. */
  get isRunning(): boolean {
    const status = this.record.state.status
    return status === 'running' || status === 'paused' || status === 'restarting'
  }

  /** True while there is a process. */
  get isLive(): boolean {
    const status = this.record.state.status
    return status === 'running' || status === 'paused'
  }

  waitFor(condition: Waiter['condition'], signal: AbortSignal): Promise<WaitResult> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { resolve, condition }
      this.waiters.add(waiter)
      signal.addEventListener(
        'abort',
        () => {
          this.waiters.delete(waiter)
          reject(signal.reason instanceof Error ? signal.reason : new Error('wait was cancelled'))
        },
        { once: true },
      )
    })
  }

  exitedNow(): void {
    const restarting = this.record.state.status === 'restarting'
    this.settle((waiter) => waiter.condition === 'next-exit' || (waiter.condition === 'not-running' && !restarting))
  }

  removedNow(): void {
    this.settle(() => true)
  }

  private settle(due: (waiter: Waiter) => boolean): void {
    for (const waiter of [...this.waiters]) {
      if (!due(waiter)) continue
      this.waiters.delete(waiter)
      const { exitCode, error } = this.record.state
      // Who waits for the removal is told of a failed start by the start itself.
      const told = error !== '' && waiter.condition !== 'removed'
      waiter.resolve(told ? { StatusCode: exitCode, Error: { Message: error } } : { StatusCode: exitCode })
    }
  }
}

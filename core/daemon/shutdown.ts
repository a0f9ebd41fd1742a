import { messageOf } from '../sdk/errors.js'
import type { DaemonLogger } from '../platform/logger.js'
import type { Daemon } from './boot.js'

/** As dockerd: whoever asks three times does not want to wait. */
const impatient = 3

/** The clean way out: containers first, unless they are to be left running. */
export class Shutdown {
  private requests = 0

  constructor(
    private readonly daemon: Daemon,
    private readonly logger: DaemonLogger,
  ) {}

  request(signal: NodeJS.Signals): void {
    this.requests += 1
    if (this.requests === 1)
      this.run(signal).then(
        () => this.exit(0),
        (error: unknown) => this.fail(error),
      )
    else if (this.requests < impatient) this.logger.info(`stopping already; ${impatient - this.requests} more ends it without cleaning up`)
    else this.exit(1)
  }

  private async run(signal: NodeJS.Signals): Promise<void> {
    const { config, engine } = this.daemon
    this.logger.info(`stopping on ${signal}`, { containers: config.liveRestore ? 'are left running' : 'are stopped' })
    await engine.builds.stopAll()
    if (!config.liveRestore) await engine.containers.stopAll(config.shutdownTimeout)
    await this.daemon.stop()
  }

  private fail(error: unknown): void {
    this.logger.error(`stopping: ${messageOf(error)}`)
    this.exit(1)
  }

  private exit(code: number): void {
    this.logger.flush()
    process.exit(code)
  }
}

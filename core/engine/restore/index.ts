import { inject, injectable } from 'tsyringe'
import { messageOf } from '../../sdk/errors.js'
import type { Logger } from '../../sdk/ports.js'
import { Builds } from '../builds/index.js'
import { Containers } from '../containers/index.js'
import { Execs } from '../execs/index.js'
import { Images } from '../images/index.js'
import { Layers } from '../layers/index.js'
import { Logger as LoggerToken } from '../ports/index.js'
import { Volumes } from '../volumes/index.js'

/** The one pass at boot that adopts what lives and releases what nobody owns: the same after a clean stop and after kill -9. */
@injectable()
export class Restore {
  constructor(
    @inject(Images) private readonly images: Images,
    @inject(Layers) private readonly layers: Layers,
    @inject(Volumes) private readonly volumes: Volumes,
    @inject(Containers) private readonly containers: Containers,
    @inject(Builds) private readonly builds: Builds,
    @inject(Execs) private readonly execs: Execs,
    @inject(LoggerToken) private readonly logger: Logger,
  ) {}

  async run(): Promise<void> {
    await this.images.reconcile()
    await this.containers.restore()
    await this.layers.reconcile(new Set(this.containers.ids()))
    await this.execs.restore()
    await this.volumes.restore((owner) => this.containers.isLive(owner))
    await this.builds.reconcile()
  }

  /** After the API is served: starts what restart policies ask for, and leftovers nobody waits for. */
  settle(): void {
    this.containers.applyRestartPolicies().catch((error: unknown) => this.logger.error(`restart policies: ${messageOf(error)}`))
  }
}

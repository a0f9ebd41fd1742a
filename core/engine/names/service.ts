import { randomInt } from 'node:crypto'
import { inject, injectable } from 'tsyringe'
import type { NetOp } from '../../sdk/kinds/network.js'
import { Networks } from '../networks/index.js'
import { Logger, NamespaceSockets, type HeldSandbox, type LoggerPort, type NameServerPorts } from '../ports/index.js'
import { answerQuestion } from './answer.js'
import type { NameServerRequest, Names } from './contract.js'
import { NameServer } from './server.js'
import { Upstream } from './upstream.js'

const FIRST_PORT = 32_768
const LAST_PORT = 60_999
/** A container that holds that many ports of chance means it. */
const mostTries = 20

interface Open {
  server: NameServer
  upstream: Upstream
  sandbox: HeldSandbox
}

@injectable()
export class NamesService implements Names {
  private readonly serving = new Map<string, Open>()
  private hostNamespace: HeldSandbox | undefined

  constructor(
    @inject(Networks) private readonly networks: Networks,
    @inject(NamespaceSockets) private readonly sockets: NamespaceSockets,
    @inject(Logger) private readonly logger: LoggerPort,
  ) {}

  plan(): { ports: NameServerPorts; steps: NetOp[] } {
    const ports = { udp: randomInt(FIRST_PORT, LAST_PORT + 1), tcp: randomInt(FIRST_PORT, LAST_PORT + 1) }
    return { ports, steps: this.sockets.redirect(ports) }
  }

  open(request: NameServerRequest): { ports: NameServerPorts; steps: NetOp[]; moved: boolean } {
    this.close(request.owner)
    this.hostNamespace ??= this.sockets.hold(undefined)
    const sandbox = this.sockets.hold(request.target)
    const upstream = new Upstream(sandbox, this.hostNamespace, request.upstream)
    try {
      let { ports } = request
      for (let tries = 1; ; tries++) {
        const server = new NameServer((query, kind) => answerQuestion(this.networks, request, upstream, query, kind), this.logger)
        try {
          server.open(sandbox, ports)
        } catch (error) {
          server.close()
          if ((error as { code?: string }).code !== 'EADDRINUSE' || tries === mostTries) throw error
          ;({ ports } = this.plan())
          continue
        }
        this.serving.set(request.owner, { server, upstream, sandbox })
        return { ports, steps: this.sockets.redirect(ports), moved: ports !== request.ports }
      }
    } catch (error) {
      sandbox.close()
      throw error
    }
  }

  close(owner: string): void {
    const open = this.serving.get(owner)
    if (!open) return
    this.serving.delete(owner)
    open.server.close()
    open.upstream.close()
    open.sandbox.close()
  }

  serves(owner: string): boolean {
    return this.serving.has(owner)
  }
}

import fs from 'node:fs'
import path from 'node:path'
import { type EndpointAnswer, forbidden, type JoinPlan, type NetworkDriver, type NetworkSpec } from 'tsd-engine/sdk'

/** Sandboxes of their own with nothing in them but the loopback. */
export class NoNetwork implements NetworkDriver {
  readonly #file: string

  constructor(runDir: string) {
    this.#file = path.join(runDir, 'network')
  }

  async capabilities(): Promise<{ scope: 'local' }> {
    return { scope: 'local' }
  }

  /** As with Docker, the one that is predefined is all there is. */
  async createNetwork(spec: NetworkSpec): Promise<void> {
    const existing = fs.existsSync(this.#file) ? fs.readFileSync(this.#file, 'utf8') : ''
    if (existing !== '' && existing !== spec.networkId) throw forbidden('only one instance of "null" network is allowed')
    if (existing === '') fs.writeFileSync(this.#file, spec.networkId)
  }

  async deleteNetwork(networkId: string): Promise<void> {
    if (fs.existsSync(this.#file) && fs.readFileSync(this.#file, 'utf8') === networkId) fs.rmSync(this.#file)
  }

  async createEndpoint(): Promise<EndpointAnswer> {
    return {}
  }

  async deleteEndpoint(): Promise<void> {}

  async join(): Promise<JoinPlan> {
    return { host: [], container: [{ op: 'up', link: 'lo' }], links: [], gateway: '', gatewayIPv6: '' }
  }

  async leave(): Promise<void> {}
}

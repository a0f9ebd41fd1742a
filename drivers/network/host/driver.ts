import fs from 'node:fs'
import path from 'node:path'
import { type EndpointAnswer, forbidden, type JoinPlan, type NetworkDriver, type NetworkSpec } from 'tsd-engine/sdk'

/** Sandboxes that are the host's own: nothing is made, nothing is published. */
export class HostNetwork implements NetworkDriver {
  readonly #file: string

  constructor(runDir: string) {
    this.#file = path.join(runDir, 'network')
  }

  async capabilities(): Promise<{ scope: 'local' }> {
    return { scope: 'local' }
  }

  /** There is one host, so there is one network. */
  async createNetwork(spec: NetworkSpec): Promise<void> {
    const existing = fs.existsSync(this.#file) ? fs.readFileSync(this.#file, 'utf8') : ''
    if (existing !== '' && existing !== spec.networkId) throw forbidden('only one instance of "host" network is allowed')
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
    return { host: [], container: [], links: [], gateway: '', gatewayIPv6: '' }
  }

  async leave(): Promise<void> {}
}

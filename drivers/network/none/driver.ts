import type { EndpointAnswer, JoinPlan, NetworkDriver } from 'tsd-engine/sdk'

/** Sandboxes of their own with nothing in them but the loopback. */
export class NoNetwork implements NetworkDriver {
  async capabilities(): Promise<{ scope: 'local' }> {
    return { scope: 'local' }
  }

  /** That there is one network of this driver is the engine's to keep: nothing is remembered here. */
  async createNetwork(): Promise<void> {}

  async deleteNetwork(): Promise<void> {}

  async createEndpoint(): Promise<EndpointAnswer> {
    return {}
  }

  async deleteEndpoint(): Promise<void> {}

  async join(): Promise<JoinPlan> {
    return { host: [], container: [{ op: 'up', link: 'lo' }], links: [], gateway: '', gatewayIPv6: '' }
  }

  async leave(): Promise<void> {}
}

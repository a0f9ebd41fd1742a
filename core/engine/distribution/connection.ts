import { Authorizer } from './authorizer.js'
import type { CertificateDirectory } from './certificates.js'
import { anonymous, type RegistryCredentials } from './credentials.js'
import { endpointsOf, type Endpoint, type RegistrySettings } from './endpoints.js'
import { ConnectionFault } from './faults.js'
import { Repository } from './registry.js'
import { Transport, type Patience } from './transport.js'

export interface ConnectorOptions {
  settings: RegistrySettings
  certificates: CertificateDirectory
  patience: Patience
  userAgent: string
}

/** Reaches registries: tries the addresses of one in order, with connections that end with the work. */
export class Connector {
  constructor(private readonly options: ConnectorOptions) {}

  /** Works on a repository at the first of its addresses that serves. Of a mirror any failure leads on, else only that nobody is there. */
  async withRepository<T>(
    target: { domain: string; path: string; actions: 'pull' | 'pull,push' },
    credentials: RegistryCredentials,
    signal: AbortSignal,
    work: (repository: Repository) => Promise<T>,
  ): Promise<T> {
    return this.withEndpoints(target.domain, target.actions === 'pull', signal, (endpoint, transport) => {
      const authorizer = new Authorizer(transport, endpoint, endpoint.mirror ? anonymous : credentials)
      return work(new Repository(transport, authorizer, endpoint, target.path, target.actions))
    })
  }

  /** Asks whether the credentials are good. Answers the token that stands for them from now on; empty: there is none. */
  async login(domain: string, credentials: RegistryCredentials, signal: AbortSignal): Promise<string> {
    return this.withEndpoints(domain, false, signal, async (endpoint, transport) => {
      const authorizer = new Authorizer(transport, endpoint, credentials, true)
      await new Repository(transport, authorizer, endpoint, '', '').ping(signal)
      return authorizer.identityToken
    })
  }

  private async withEndpoints<T>(
    domain: string,
    mirrors: boolean,
    signal: AbortSignal,
    work: (endpoint: Endpoint, transport: Transport) => Promise<T>,
  ): Promise<T> {
    const { settings, certificates, patience, userAgent } = this.options
    const endpoints = (await endpointsOf(domain, settings, (host) => certificates.has(host))).filter(({ mirror }) => mirrors || !mirror)
    for (const [index, endpoint] of endpoints.entries()) {
      const transport = new Transport(certificates, patience, userAgent)
      try {
        return await work(endpoint, transport)
      } catch (error) {
        const leadsOn = endpoint.mirror || error instanceof ConnectionFault
        if (signal.aborted || !leadsOn || index === endpoints.length - 1) throw error
      } finally {
        await transport.close()
      }
    }
    throw new ConnectionFault(`no address of ${domain} is known`, false)
  }
}

import type { NetOp } from '../../sdk/kinds/network.js'
import type { Endpoint } from '../networks/index.js'
import type { NameServerPorts, SandboxTarget } from '../ports/index.js'

/** A name server that is asked for what no network of the container knows. */
export interface UpstreamServer {
  address: string
  /** Asked from the host's network: what the host calls 127.0.0.1 is not what the container calls so. */
  fromHost: boolean
}

export interface NameServerRequest {
  /** Container id. */
  owner: string
  target: SandboxTarget
  ports: NameServerPorts
  /** Its endpoints at the time of a question, the one that gives the default route first. */
  endpoints: () => readonly Endpoint[]
  upstream: UpstreamServer[]
  /** A name without a dot is not asked for outside: the user's `ndots` has the client add a domain first. */
  keepSingleLabels: boolean
}

/** Names of containers, for the containers of user networks. */
export interface Names {
  /** Ports for a name server in a sandbox, and the steps that lead questions to them. */
  plan(): { ports: NameServerPorts; steps: NetOp[] }
  /** Answers from now on. Ports that are taken are replaced by others: the answer says which, and then the steps have to be taken again. */
  open(request: NameServerRequest): { ports: NameServerPorts; steps: NetOp[]; moved: boolean }
  /** The sandbox ends: everything that stands in it is closed. Closing what is not open is success. */
  close(owner: string): void
  serves(owner: string): boolean
}
export const Names = Symbol.for('tsd.Names')

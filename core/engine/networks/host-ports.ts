import dgram from 'node:dgram'
import net from 'node:net'
import { invalidParameter, systemError } from '../../sdk/errors.js'
import type { PortProtocol, PublishedPort } from '../../sdk/kinds/network.js'
import type { PortRequest } from './contract.js'

const FIRST_EPHEMERAL = 32768
const LAST_EPHEMERAL = 60999

const shown = (hostIp: string): string => (hostIp === '' ? '0.0.0.0' : hostIp)
const isWild = (hostIp: string): boolean => hostIp === '0.0.0.0' || hostIp === '::'
const sameFamily = (a: string, b: string): boolean => a.includes(':') === b.includes(':')

/** The host addresses of a published port: without one, all of either family that the endpoint has. */
const spans = (hostIp: string, dual: boolean): string[] => (hostIp !== '' ? [hostIp] : dual ? ['0.0.0.0', '::'] : ['0.0.0.0'])

type HostPort = Pick<PublishedPort, 'protocol' | 'hostIp' | 'hostPort'>

/** Why a port cannot be had; empty when it can. */
async function bindProblem(protocol: PortProtocol, hostIp: string, port: number): Promise<string> {
  const problem = (code: string | undefined): string => {
    if (code === 'EADDRINUSE') return 'address already in use'
    if (code === 'EADDRNOTAVAIL') return 'cannot assign requested address'
    return ''
  }
  const host = hostIp
  if (protocol === 'tcp') {
    return await new Promise((resolve) => {
      const server = net.createServer()
      server.once('error', (error: NodeJS.ErrnoException) => resolve(problem(error.code)))
      server.listen({ port, host, exclusive: true, ipv6Only: host.includes(':') }, () => server.close(() => resolve('')))
    })
  }
  if (protocol === 'udp') {
    return await new Promise((resolve) => {
      const socket = dgram.createSocket(host.includes(':') ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' })
      socket.once('error', (error: NodeJS.ErrnoException) => {
        socket.close()
        resolve(problem(error.code))
      })
      socket.bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve('')))
    })
  }
  return ''
}

/** Host ports that our endpoints publish. What other programs of the host hold is found by trying. */
export class HostPorts {
  /** `tcp:80` to the host addresses in use (`0.0.0.0` and `::` for all of a family), with their endpoints. */
  readonly #taken = new Map<string, Map<string, string>>()
  #next = FIRST_EPHEMERAL

  #conflicts(protocol: PortProtocol, address: string, port: number): boolean {
    const holders = this.#taken.get(`${protocol}:${port}`)
    return [...(holders?.keys() ?? [])].some((held) => sameFamily(held, address) && (held === address || isWild(held) || isWild(address)))
  }

  /** Notes what is known to be published, without trying. */
  adopt(port: HostPort, endpointId: string, dual: boolean): void {
    const key = `${port.protocol}:${port.hostPort}`
    let holders = this.#taken.get(key)
    if (!holders) this.#taken.set(key, (holders = new Map()))
    for (const address of spans(port.hostIp, dual)) holders.set(address, endpointId)
  }

  release(port: HostPort, endpointId: string): void {
    const key = `${port.protocol}:${port.hostPort}`
    const holders = this.#taken.get(key)
    if (!holders) return
    for (const address of spans(port.hostIp, true)) if (holders.get(address) === endpointId) holders.delete(address)
    if (holders.size === 0) this.#taken.delete(key)
  }

  /** Takes the port before trying it, so that nobody else takes it meanwhile. */
  async #take(request: PortRequest, hostPort: number, endpointId: string, dual: boolean): Promise<PublishedPort | string> {
    const { protocol, containerPort, hostIp } = request
    const addresses = spans(hostIp, dual)
    if (addresses.some((address) => this.#conflicts(protocol, address, hostPort)))
      return `Bind for ${shown(hostIp)}:${hostPort} failed: port is already allocated`
    const port = { protocol, containerPort, hostIp, hostPort }
    this.adopt(port, endpointId, dual)
    for (const address of addresses) {
      const problem = await bindProblem(protocol, address, hostPort)
      if (problem === '') continue
      this.release(port, endpointId)
      return `failed to bind host port for ${address}:${hostPort}/${protocol}: ${problem}`
    }
    return port
  }

  async #choose(request: PortRequest, endpointId: string, dual: boolean): Promise<PublishedPort> {
    let problem = ''
    if (request.hostPortStart === 0) {
      for (let tries = 0; tries <= LAST_EPHEMERAL - FIRST_EPHEMERAL; tries++) {
        const port = this.#next
        this.#next = port >= LAST_EPHEMERAL ? FIRST_EPHEMERAL : port + 1
        const taken = await this.#take(request, port, endpointId, dual)
        if (typeof taken !== 'string') return taken
        problem = taken
        if (problem.endsWith('cannot assign requested address')) break
      }
      throw systemError(problem)
    }
    const end = Math.max(request.hostPortEnd, request.hostPortStart)
    if (request.hostPortStart < 0 || end > 65535) throw invalidParameter(`invalid port specification: ${request.hostPortStart}-${end}`)
    for (let port = request.hostPortStart; port <= end; port++) {
      const taken = await this.#take(request, port, endpointId, dual)
      if (typeof taken !== 'string') return taken
      problem = taken
    }
    throw systemError(end > request.hostPortStart ? `${problem} (and all other ports of ${request.hostPortStart}-${end})` : problem)
  }

  /** All of them or none. */
  async choose(requests: readonly PortRequest[], endpointId: string, dual: boolean): Promise<PublishedPort[]> {
    const chosen: PublishedPort[] = []
    try {
      for (const request of requests) chosen.push(await this.#choose(request, endpointId, dual))
      return chosen
    } catch (error) {
      for (const port of chosen) this.release(port, endpointId)
      throw error
    }
  }
}

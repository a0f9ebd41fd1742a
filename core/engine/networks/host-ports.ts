import dgram from 'node:dgram'
import net from 'node:net'
import { invalidParameter, systemError } from '../../sdk/errors.js'
import type { PortProtocol, PublishedPort } from '../../sdk/kinds/network.js'
import type { PortRequest } from './contract.js'

const FIRST_EPHEMERAL = 32768
const LAST_EPHEMERAL = 60999

const isWild = (hostIp: string): boolean => hostIp === '' || hostIp === '0.0.0.0'
const shown = (hostIp: string): string => (hostIp === '' ? '0.0.0.0' : hostIp)

/** Why a port cannot be had; empty when it can. */
async function bindProblem(protocol: PortProtocol, hostIp: string, port: number): Promise<string> {
  const problem = (code: string | undefined): string => {
    if (code === 'EADDRINUSE') return 'address already in use'
    if (code === 'EADDRNOTAVAIL') return 'cannot assign requested address'
    return ''
  }
  const host = shown(hostIp)
  if (protocol === 'tcp') {
    return await new Promise((resolve) => {
      const server = net.createServer()
      server.once('error', (error: NodeJS.ErrnoException) => resolve(problem(error.code)))
      server.listen({ port, host, exclusive: true }, () => server.close(() => resolve('')))
    })
  }
  if (protocol === 'udp') {
    return await new Promise((resolve) => {
      const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4')
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
  /** `tcp:80` to the host addresses in use, with their endpoints. */
  readonly #taken = new Map<string, Map<string, string>>()
  #next = FIRST_EPHEMERAL

  #conflicts(protocol: PortProtocol, hostIp: string, port: number): boolean {
    const holders = this.#taken.get(`${protocol}:${port}`)
    if (!holders || holders.size === 0) return false
    return isWild(hostIp) || holders.has('') || holders.has(hostIp)
  }

  /** Notes what is known to be published, without trying. */
  adopt(port: Pick<PublishedPort, 'protocol' | 'hostIp' | 'hostPort'>, endpointId: string): void {
    const key = `${port.protocol}:${port.hostPort}`
    let holders = this.#taken.get(key)
    if (!holders) this.#taken.set(key, (holders = new Map()))
    holders.set(isWild(port.hostIp) ? '' : port.hostIp, endpointId)
  }

  release(port: Pick<PublishedPort, 'protocol' | 'hostIp' | 'hostPort'>, endpointId: string): void {
    const key = `${port.protocol}:${port.hostPort}`
    const holders = this.#taken.get(key)
    const hostIp = isWild(port.hostIp) ? '' : port.hostIp
    if (holders?.get(hostIp) !== endpointId) return
    holders.delete(hostIp)
    if (holders.size === 0) this.#taken.delete(key)
  }

  /** Takes the port before trying it, so that nobody else takes it meanwhile. */
  async #take(request: PortRequest, hostPort: number, endpointId: string): Promise<PublishedPort | string> {
    const { protocol, containerPort, hostIp } = request
    if (this.#conflicts(protocol, hostIp, hostPort)) return `Bind for ${shown(hostIp)}:${hostPort} failed: port is already allocated`
    const port = { protocol, containerPort, hostIp, hostPort }
    this.adopt(port, endpointId)
    const problem = await bindProblem(protocol, hostIp, hostPort)
    if (problem === '') return port
    this.release(port, endpointId)
    return `failed to bind host port for ${shown(hostIp)}:${hostPort}/${protocol}: ${problem}`
  }

  async #choose(request: PortRequest, endpointId: string): Promise<PublishedPort> {
    let problem = ''
    if (request.hostPortStart === 0) {
      for (let tries = 0; tries <= LAST_EPHEMERAL - FIRST_EPHEMERAL; tries++) {
        const port = this.#next
        this.#next = port >= LAST_EPHEMERAL ? FIRST_EPHEMERAL : port + 1
        const taken = await this.#take(request, port, endpointId)
        if (typeof taken !== 'string') return taken
        problem = taken
        if (problem.endsWith('cannot assign requested address')) break
      }
      throw systemError(problem)
    }
    const end = Math.max(request.hostPortEnd, request.hostPortStart)
    if (request.hostPortStart < 0 || end > 65535) throw invalidParameter(`invalid port specification: ${request.hostPortStart}-${end}`)
    for (let port = request.hostPortStart; port <= end; port++) {
      const taken = await this.#take(request, port, endpointId)
      if (typeof taken !== 'string') return taken
      problem = taken
    }
    throw systemError(end > request.hostPortStart ? `${problem} (and all other ports of ${request.hostPortStart}-${end})` : problem)
  }

  /** All of them or none. */
  async choose(requests: readonly PortRequest[], endpointId: string): Promise<PublishedPort[]> {
    const chosen: PublishedPort[] = []
    try {
      for (const request of requests) chosen.push(await this.#choose(request, endpointId))
      return chosen
    } catch (error) {
      for (const port of chosen) this.release(port, endpointId)
      throw error
    }
  }
}

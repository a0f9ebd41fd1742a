import dgram from 'node:dgram'
import net from 'node:net'
import type { Logger, PublishedPort } from 'tsd-engine/sdk'
import type { BridgeEndpoint } from './state.js'

const LOOPBACK = '::1'
/** Of one port at a time. */
const mostConnections = 1_024
const mostFlows = 256
/** As long as a resolver or a game may be silent. */
const FLOW_IDLE = 90_000

interface Listener {
  close(): void
}

/** Whether a port is one of [::1]: every address, every address of IPv6, or that one. */
const listensThere = ({ hostIp, protocol }: PublishedPort): boolean => ['', '::', LOOPBACK].includes(hostIp) && protocol !== 'sctp'

const keyOf = ({ protocol, hostPort, containerPort }: PublishedPort): string => `${protocol}:${hostPort}:${containerPort}`

/**
 * Published ports on [::1]. Packets from there cannot be led into a container by rules, so they are passed on by hand, for as long as this
 * process lives: everything else that is published needs nobody.
 */
export class LoopbackProxy {
  readonly #byEndpoint = new Map<string, Map<string, Listener>>()

  constructor(private readonly logger: Logger) {}

  /** Listens for exactly these ports of the endpoint. */
  publish(endpoint: BridgeEndpoint): void {
    const wanted = new Map(endpoint.ports.filter(listensThere).map((port) => [keyOf(port), port]))
    const open = this.#byEndpoint.get(endpoint.endpointId) ?? new Map<string, Listener>()
    for (const [key, listener] of open) {
      if (wanted.has(key)) continue
      listener.close()
      open.delete(key)
    }
    const [address = ''] = (endpoint.addressIPv6 || endpoint.address).split('/')
    for (const [key, port] of wanted) {
      if (open.has(key)) continue
      const failed = (error: Error): void =>
        this.logger.info(`port ${port.hostPort}/${port.protocol} is not published on [::1]`, { error: error.message })
      open.set(key, (port.protocol === 'tcp' ? listenTcp : listenUdp)(port, address, failed))
    }
    if (open.size > 0) this.#byEndpoint.set(endpoint.endpointId, open)
    else this.#byEndpoint.delete(endpoint.endpointId)
  }

  withdraw(endpointId: string): void {
    for (const listener of this.#byEndpoint.get(endpointId)?.values() ?? []) listener.close()
    this.#byEndpoint.delete(endpointId)
  }

  close(): void {
    for (const endpointId of [...this.#byEndpoint.keys()]) this.withdraw(endpointId)
  }
}

function listenTcp(port: PublishedPort, address: string, failed: (error: Error) => void): Listener {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const container = net.connect({ host: address, port: port.containerPort, allowHalfOpen: true, noDelay: true })
    for (const [one, other] of [
      [client, container],
      [container, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.resetAndDestroy())
      one.on('close', () => {
        sockets.delete(one)
        // What ended well has told the other side by pipe.
        if (!one.readableEnded) other.destroy()
      })
      one.pipe(other)
    }
  })
  server.maxConnections = mostConnections
  server.on('error', failed)
  server.listen({ host: LOOPBACK, port: port.hostPort, ipv6Only: true })
  server.unref()
  return {
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function listenUdp(port: PublishedPort, address: string, failed: (error: Error) => void): Listener {
  const server = dgram.createSocket({ type: 'udp6', ipv6Only: true })
  /** By port of the client: all are on one host. */
  const flows = new Map<number, { socket: dgram.Socket; timer: NodeJS.Timeout }>()
  let open = true
  const end = (client: number): void => {
    const flow = flows.get(client)
    if (!flow) return
    flows.delete(client)
    clearTimeout(flow.timer)
    flow.socket.close()
  }
  const begin = (client: number): dgram.Socket => {
    const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4')
    const flow = { socket, timer: setTimeout(() => end(client), FLOW_IDLE).unref() }
    flows.set(client, flow)
    socket.on('error', () => end(client))
    socket.on('message', (message) => {
      flow.timer.refresh()
      if (open) server.send(message, client, LOOPBACK, () => undefined)
    })
    socket.unref()
    return socket
  }
  server.on('error', (error) => {
    failed(error)
  })
  server.on('message', (message, { port: client }) => {
    const known = flows.get(client)
    if (!known && flows.size >= mostFlows) return
    known?.timer.refresh()
    ;(known?.socket ?? begin(client)).send(message, port.containerPort, address, () => undefined)
  })
  server.bind({ address: LOOPBACK, port: port.hostPort, exclusive: true })
  server.unref()
  return {
    close() {
      if (!open) return
      open = false
      for (const client of [...flows.keys()]) end(client)
      server.close()
    },
  }
}

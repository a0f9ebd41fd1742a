import dgram from 'node:dgram'
import dns from 'node:dns/promises'
import net from 'node:net'
import { messageOf, unavailable } from '../../errors.js'

/** Sends UDP datagrams to one receiver. Nobody can tell whether they arrive. */
export class Datagrams {
  private constructor(
    private readonly socket: dgram.Socket,
    private readonly host: string,
    private readonly port: number,
  ) {}

  static async open(host: string, port: number): Promise<Datagrams> {
    let address = host
    let family = net.isIP(host)
    if (family === 0) {
      try {
        ;({ address, family } = await dns.lookup(host))
      } catch (error) {
        throw unavailable(`dial udp ${host}:${port}: ${messageOf(error)}`, { cause: error })
      }
    }
    const socket = dgram.createSocket(family === 6 ? 'udp6' : 'udp4')
    socket.on('error', () => undefined)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(0, resolve)
    })
    socket.unref()
    return new Datagrams(socket, address, port)
  }

  send(data: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.send(data, this.port, this.host, (error: NodeJS.ErrnoException | null) => {
        if (error) reject(unavailable(`udp ${this.host}:${this.port}: ${error.message}`, { cause: error, code: error.code ?? '' }))
        else resolve()
      })
    })
  }

  close(): void {
    this.socket.close()
  }
}

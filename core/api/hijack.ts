import type { Duplex } from 'node:stream'
import type { StdioClient, StdioSession } from '../engine/containers/index.js'
import { BoundedOutput } from './output.js'
import type { ApiContext } from './services.js'
import { frame, type OutputSource } from './stdcopy.js'
import { takeOver, type RawConnection } from './take-over.js'

/** How long a client may go on sending after its output has ended. */
const lingering = 2_000

export interface HijackOptions {
  tty: boolean
  /** Whether bytes of the client are input. */
  stdin: boolean
  /** Opens the connection where it is not Docker's own stream. */
  open?: (ctx: ApiContext) => RawConnection
  /** Wires the client to a process. A rejection before any output becomes an HTTP error, unless `failure` says otherwise. */
  start(client: StdioClient): Promise<StdioSession | undefined>
  /** Text to show on the stream in place of an HTTP error. */
  failure?(error: unknown): string | undefined
}

/** The stream of one attached client, over the connection taken from HTTP. */
class HijackedClient implements StdioClient {
  private connection: RawConnection | undefined
  private out: BoundedOutput | undefined
  private ended = false
  private endWanted = false
  private settled = false

  constructor(
    private readonly ctx: ApiContext,
    private readonly tty: boolean,
    private readonly opening: (ctx: ApiContext) => RawConnection,
  ) {}

  get opened(): boolean {
    return this.connection !== undefined
  }

  /** Output may come before the process is known to be wired in: the first of both opens the stream. */
  open(): RawConnection {
    if (this.connection === undefined) {
      this.connection = this.opening(this.ctx)
      this.out = new BoundedOutput(this.connection.socket)
    }
    return this.connection
  }

  output(source: OutputSource, data: Uint8Array): Promise<void> | undefined {
    if (this.ended || data.length === 0) return undefined
    this.open()
    const out = this.out as BoundedOutput
    return this.tty ? out.write(data) : out.write(...frame(source, data))
  }

  /** The start has succeeded or failed: before that, an end must not close the stream under a failure yet to be told. */
  settle(): void {
    this.settled = true
    if (this.endWanted) this.end()
  }

  end(): void {
    this.endWanted = true
    if (this.ended || !this.settled) return
    this.ended = true
    close(this.open().socket)
  }
}

/** Ends our side, reads on for a while so that the client sees all output before the connection is reset. */
function close(socket: Duplex): void {
  if (socket.destroyed) return
  const destroyLater = (): void => {
    const timer = setTimeout(() => socket.destroy(), lingering)
    timer.unref()
    socket.once('close', () => clearTimeout(timer))
  }
  socket.once('finish', destroyLater)
  socket.end()
  socket.resume()
}

export async function hijack(ctx: ApiContext, options: HijackOptions): Promise<void> {
  const client = new HijackedClient(ctx, options.tty, options.open ?? (() => takeOver(ctx, options.tty)))
  let session: StdioSession | undefined
  try {
    session = await options.start(client)
  } catch (error) {
    const text = options.failure?.(error)
    if (text === undefined && !client.opened) throw error
    if (text !== undefined) await client.output('stdout', Buffer.from(text))
    client.end()
    client.settle()
    return
  }
  const { socket, first } = client.open()
  client.settle()
  if (session === undefined) client.end()
  else pump(socket, first, session, options.stdin, () => client.end())
}

function pump(socket: Duplex, first: Buffer, session: StdioSession, stdin: boolean, end: () => void): void {
  let over = false
  const detach = (): void => {
    if (over) return
    over = true
    session.detach()
  }
  const receive = (data: Buffer): void => {
    if (over || !stdin) return
    socket.pause()
    session.input(data).then(
      (attached) => {
        if (attached) {
          socket.resume()
          return
        }
        // The detach keys: the session has let go already.
        over = true
        end()
      },
      () => {
        // The process takes no more input; its output may go on.
        stdin = false
        socket.resume()
      },
    )
  }
  if (socket.destroyed) {
    detach()
    return
  }
  socket.on('close', detach)
  socket.on('data', receive)
  socket.on('end', () => {
    if (!over && stdin) session.inputEnd()
  })
  if (first.length > 0 && stdin) receive(first)
  else socket.resume()
}

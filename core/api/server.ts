import type http from 'node:http'
import Koa from 'koa'
import { setTimeout as delay } from 'node:timers/promises'
import { invalidParameter, messageOf } from '../sdk/errors.js'
import { chain } from './chain.js'
import { createHttpServer } from './http-server.js'
import type { ApiOptions, ApiServices } from './services.js'
import { endRawConnections } from './take-over.js'
import { chooseActivated, listenFd, listenTcp, parseTcpHost, tcpServer } from './tcp-socket.js'
import { listenUnix } from './unix-socket.js'

export type { ApiOptions, ApiServices } from './services.js'

export interface ApiServer {
  /** `unix:///path`, `tcp://address:port` or `fd://`; call once for each host. Conflict when somebody answers there. */
  listen(host: string): Promise<void>
  /** Refuses new connections, lets requests in hand finish for `grace` milliseconds, then ends streams too. */
  close(grace?: number): Promise<void>
  readonly hosts: readonly string[]
}

const nothing = (): Promise<void> => Promise.resolve()

interface Listener {
  host: string
  server: http.Server
  remove(): Promise<void>
}

/** Docker's API over the engine's services. */
export function createApi(services: ApiServices, options: ApiOptions = {}): ApiServer {
  const { logger } = services
  const app = new Koa()
  for (const middleware of chain(services, options)) app.use(middleware as Koa.Middleware)
  // A client that went away mid-answer: nothing to be done, nothing to be printed.
  app.on('error', (error: unknown) => logger.debug('a client connection failed', { error: messageOf(error) }))
  const handle = app.callback()
  const listener: http.RequestListener = (request, response) => void handle(request, response)
  const listeners: Listener[] = []

  return {
    get hosts() {
      return listeners.map(({ host }) => host)
    },

    async listen(host) {
      const [, scheme = '', rest = ''] = /^([a-z]+):\/\/(.*)$/.exec(host) ?? []
      const serve = (server: http.Server, remove: () => Promise<void>): void => {
        server.on('error', (error) => logger.error(`listening on ${host} failed`, { error: error.message }))
        listeners.push({ host, server, remove })
      }
      const overTcp = (): Promise<http.Server> => tcpServer(listener, options.tls, host, logger)
      if (scheme === 'unix') {
        const server = createHttpServer(listener, { lenient: true })
        return serve(server, await listenUnix(server, rest, options.group ?? '', logger))
      }
      if (scheme === 'tcp') {
        const server = await overTcp()
        await listenTcp(server, parseTcpHost(host, options.tls !== undefined))
        return serve(server, nothing)
      }
      if (scheme !== 'fd')
        throw invalidParameter(`cannot listen on "${host}": hosts are unix:///absolute/path, tcp://ADDRESS:PORT and fd://`)
      for (const { fd, family } of chooseActivated(host, rest, options.activated ?? [])) {
        const server = family === 'unix' ? createHttpServer(listener, { lenient: true }) : await overTcp()
        await listenFd(server, fd)
        serve(server, nothing)
      }
    },

    async close(grace = 2_000) {
      const closing = listeners.splice(0)
      const closed = Promise.all(
        closing.map(async ({ server, remove }) => {
          await remove()
          await new Promise<void>((resolve) => {
            server.close(() => resolve())
            server.closeIdleConnections()
          })
        }),
      )
      const over = new AbortController()
      await Promise.race([closed, delay(grace, undefined, { signal: over.signal }).catch(() => undefined)])
      over.abort()
      for (const { server } of closing) server.closeAllConnections()
      endRawConnections(closing.map(({ server }) => server))
      await closed
    },
  }
}

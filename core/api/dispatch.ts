import { buildRoutes } from './routers/builds.js'
import { containerArchiveRoutes } from './routers/container-archive.js'
import { commitRoutes } from './routers/commit.js'
import { containerRoutes } from './routers/containers.js'
import { containerStreamRoutes } from './routers/container-streams.js'
import { distributionRoutes } from './routers/distribution.js'
import { driverRoutes } from './routers/drivers.js'
import { execRoutes } from './routers/execs.js'
import { imageRoutes } from './routers/images.js'
import { networkRoutes } from './routers/networks.js'
import { pluginRoutes } from './routers/plugins.js'
import { systemRoutes } from './routers/system.js'
import { volumeRoutes } from './routers/volumes.js'
import type { ApiMiddleware, ApiRouter, ApiServices } from './services.js'

const headRoutes = /^\/(_ping|containers\/.+\/archive)$/

/** Chooses the router by the first part of the path: a router tries its routes one by one. */
export function dispatch(services: ApiServices): ApiMiddleware {
  const byNoun = new Map<string, ApiMiddleware[]>()
  const add = (router: ApiRouter, ...nouns: string[]): void => {
    const handler = router.routes() as ApiMiddleware
    for (const noun of nouns) byNoun.set(noun, [...(byNoun.get(noun) ?? []), handler])
  }
  add(containerRoutes(services), 'containers')
  add(containerStreamRoutes(services), 'containers')
  add(containerArchiveRoutes(services), 'containers')
  add(commitRoutes(services), 'commit')
  add(execRoutes(services), 'containers', 'exec')
  add(distributionRoutes(services), 'images', 'distribution', 'auth')
  add(imageRoutes(services), 'images')
  add(buildRoutes(services), 'build')
  add(volumeRoutes(services), 'volumes')
  add(networkRoutes(services), 'networks')
  add(pluginRoutes(), 'plugins')
  add(systemRoutes(services), '_ping', 'version', 'info', 'events', 'system', 'build')
  add(driverRoutes(services), 'tsd')
  return (ctx, next) => {
    const url = ctx.req.url ?? '/'
    const handlers = byNoun.get(/^\/([^/?]*)/.exec(url)?.[1] ?? '')
    // The router answers HEAD for every GET, which would open streams that nobody reads.
    if (handlers === undefined || (ctx.method === 'HEAD' && !headRoutes.test(ctx.path))) return next()
    const run = (index: number): Promise<unknown> => {
      const handler = handlers[index]
      return Promise.resolve(handler === undefined ? next() : handler(ctx, () => run(index + 1) as Promise<void>))
    }
    return run(0)
  }
}

import Router from '@koa/router'
import type { Kind } from '../../engine/ports/index.js'
import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import { json } from '../answers.js'
import type { ApiRouter, ApiServices, RequestState } from '../services.js'

const kinds: readonly Kind[] = ['graph', 'volume', 'network', 'ipam', 'exec', 'log']

/** Our own routes: what the Engine API has no word for. */
export function driverRoutes({ drivers, timings }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true, prefix: '/tsd/v1' })

  router.get('/drivers', async (ctx) => json(ctx, await drivers.list()))

  router.get('/drivers/why/:kind', async (ctx) => {
    const asked = ctx.params['kind'] as string
    const kind = kinds.find((known) => known === asked)
    if (kind === undefined) throw invalidParameter(`unknown kind of driver "${asked}": must be one of ${kinds.join(', ')}`)
    json(ctx, await drivers.why(kind))
  })

  router.get('/drivers/*name', async (ctx) => json(ctx, await drivers.inspect(ctx.params['name'] as string)))

  router.get('/daemon/timings', (ctx) => {
    if (timings === undefined) throw notImplemented('this daemon keeps no boot timings: start it with tsd daemon')
    json(ctx, timings())
  })

  return router
}

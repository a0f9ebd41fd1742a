import Router from '@koa/router'
import { notFound } from '../../sdk/errors.js'
import { json } from '../answers.js'
import { filters, queryOf } from '../query.js'
import type { ApiRouter, RequestState } from '../services.js'

/** Managed plugins cannot be installed yet, so there are none: clients that ask for one by name are told so, as `docker inspect` expects. */
export function pluginRoutes(): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.get('/plugins', (ctx) => {
    filters(queryOf(ctx))
    json(ctx, [])
  })

  router.get(/^\/plugins\/(.+)\/json$/, (ctx) => {
    const [, name = ''] = /^\/plugins\/(.+)\/json$/.exec(ctx.path) ?? []
    throw notFound(`plugin "${decodeURIComponent(name)}" not found`)
  })

  return router
}

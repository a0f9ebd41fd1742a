import Router from '@koa/router'
import { notImplemented } from '../../sdk/errors.js'
import { json } from '../answers.js'
import { requireJson } from '../body.js'
import { progress } from '../progress.js'
import { queryOf } from '../query.js'
import { credentialsOf, registryAuth } from '../registry-auth.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'
import { clientGone } from '../streams.js'

const reference = (ctx: RouteContext): string => ctx.params['ref'] as string

/** Images from and to registries. */
export function distributionRoutes({ distribution }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.post('/images/create', async (ctx, next) => {
    const query = queryOf(ctx)
    const image = query.get('fromImage') ?? ''
    if (image === '') return next()
    const options = { image, tag: query.get('tag') ?? '', platform: query.get('platform') ?? '', credentials: registryAuth(ctx) }
    await progress(ctx, distribution.pull({ ...options, signal: clientGone(ctx, { halfClosed: true }) }))
  })

  router.post('/images/*ref/push', async (ctx) => {
    const query = queryOf(ctx)
    if (query.get('platform')) {
      throw notImplemented(
        'pushing a chosen platform of an image (platform) is not supported: an image here is of one platform; leave platform out',
      )
    }
    const options = { image: reference(ctx), tag: query.get('tag') ?? '', credentials: registryAuth(ctx) }
    await progress(ctx, distribution.push({ ...options, signal: clientGone(ctx, { halfClosed: true }) }))
  })

  router.get('/images/search', (ctx) => {
    const term = queryOf(ctx).get('term') ?? ''
    throw notImplemented(
      `cannot search for ${JSON.stringify(term)}: search is a service of Docker Hub alone, which tsd does not ask; look at https://hub.docker.com/search, then pull by name`,
    )
  })

  router.get('/distribution/*ref/json', async (ctx) => {
    const signal = clientGone(ctx, { halfClosed: true })
    json(ctx, await distribution.inspect(reference(ctx), registryAuth(ctx), signal))
  })

  router.post('/auth', async (ctx) => {
    const credentials = credentialsOf(await requireJson<Record<string, unknown>>(ctx, 'AuthConfig'))
    const token = await distribution.login(credentials, clientGone(ctx, { halfClosed: false }))
    json(ctx, { Status: 'Login Succeeded', IdentityToken: token })
  })

  return router
}

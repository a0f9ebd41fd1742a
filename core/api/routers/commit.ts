import Router from '@koa/router'
import type { ContainerConfig } from '../../schema/engine-api.js'
import { invalidParameter } from '../../sdk/errors.js'
import { json } from '../answers.js'
import { readJson } from '../body.js'
import { flag, queryOf } from '../query.js'
import type { ApiRouter, ApiServices, RequestState } from '../services.js'
import { clientGone } from '../streams.js'

export function commitRoutes({ containers }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.post('/commit', async (ctx) => {
    const query = queryOf(ctx)
    const container = query.get('container') ?? ''
    if (container === '') throw invalidParameter('bad parameter: container is needed: name the container that is to become an image')
    const signal = clientGone(ctx, { halfClosed: false })
    const config = await readJson<ContainerConfig>(ctx, 'ContainerCreateRequest')
    const options = {
      repo: query.get('repo') ?? '',
      tag: query.get('tag') ?? '',
      author: query.get('author') ?? '',
      comment: query.get('comment') ?? '',
      pause: query.get('pause') ? flag(query, 'pause') : true,
      instructions: query.getAll('changes'),
      config,
      signal,
    }
    json(ctx, await containers.commit(container, options), 201)
  })

  return router
}

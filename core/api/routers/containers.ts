import Router from '@koa/router'
import type { ContainerCreateBody } from '../../schema/engine-api.js'
import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import { empty, json } from '../answers.js'
import { readJson, requireJson } from '../body.js'
import type { UpdateRequest } from '../../engine/containers/index.js'
import { adaptCreate } from '../older-clients.js'
import { filters, flag, integer, queryOf, terminalSize, type Query } from '../query.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'

const reference = (ctx: RouteContext): string => ctx.params['ref'] as string

const noCheckpoints = () => notImplemented('checkpoints are not supported by tsd: stop the container, or commit it to keep its files')

/** Signal and patience of stop and restart. */
function stopping(query: Query): { signal?: string; timeout?: number } {
  const timeout = integer(query, 't')
  const signal = query.get('signal')
  return { ...(signal ? { signal } : {}), ...(timeout === undefined ? {} : { timeout }) }
}

export function containerRoutes({ containers }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.get('/containers/json', async (ctx) => {
    const query = queryOf(ctx)
    const limit = integer(query, 'limit') ?? 0
    const list = await containers.list({
      all: flag(query, 'all'),
      limit: Math.max(limit, 0),
      size: flag(query, 'size'),
      filters: filters(query),
    })
    json(ctx, list)
  })

  router.post('/containers/*ref/start', async (ctx) => {
    const detachKeys = queryOf(ctx).get('detachKeys')
    await containers.start(reference(ctx), detachKeys === null ? {} : { detachKeys })
    empty(ctx)
  })

  router.post('/containers/create', async (ctx) => {
    const query = queryOf(ctx)
    const body = await readJson<ContainerCreateBody>(ctx, 'ContainerCreateRequest')
    if (body === undefined) throw invalidParameter('config cannot be empty in order to create a container')
    adaptCreate(body, ctx.state.api)
    const name = (query.get('name') ?? '').replace(/^\//, '')
    json(ctx, await containers.create(name === '' ? undefined : name, body, query.get('platform') || undefined), 201)
  })

  router.post('/containers/prune', async (ctx) => json(ctx, await containers.prune(filters(queryOf(ctx)))))

  router.get('/containers/*ref/json', async (ctx) => {
    json(ctx, await containers.inspect(reference(ctx), { size: flag(queryOf(ctx), 'size') }))
  })

  router.post('/containers/*ref/stop', async (ctx) => {
    await containers.stop(reference(ctx), stopping(queryOf(ctx)))
    empty(ctx)
  })

  router.post('/containers/*ref/restart', async (ctx) => {
    await containers.restart(reference(ctx), stopping(queryOf(ctx)))
    empty(ctx)
  })

  router.post('/containers/*ref/kill', async (ctx) => {
    await containers.kill(reference(ctx), queryOf(ctx).get('signal') || undefined)
    empty(ctx)
  })

  router.post('/containers/*ref/pause', async (ctx) => {
    await containers.pause(reference(ctx))
    empty(ctx)
  })

  router.post('/containers/*ref/unpause', async (ctx) => {
    await containers.unpause(reference(ctx))
    empty(ctx)
  })

  router.post('/containers/*ref/rename', async (ctx) => {
    await containers.rename(reference(ctx), queryOf(ctx).get('name') ?? '')
    empty(ctx)
  })

  router.post('/containers/*ref/update', async (ctx) => {
    json(ctx, await containers.update(reference(ctx), await requireJson<UpdateRequest>(ctx, 'ContainerUpdateRequest')))
  })

  for (const method of ['get', 'post'] as const)
    router[method]('/containers/*ref/checkpoints', () => {
      throw noCheckpoints()
    })
  router.delete('/containers/*ref/checkpoints/:checkpoint', () => {
    throw noCheckpoints()
  })

  router.post('/containers/*ref/resize', async (ctx) => {
    const { height, width } = terminalSize(queryOf(ctx))
    await containers.resize(reference(ctx), height, width)
    empty(ctx, 200)
  })

  router.get('/containers/*ref/top', async (ctx) => {
    json(ctx, await containers.top(reference(ctx), queryOf(ctx).get('ps_args') || '-ef'))
  })

  router.delete('/containers/*ref', async (ctx) => {
    const query = queryOf(ctx)
    await containers.remove(reference(ctx), { force: flag(query, 'force'), volumes: flag(query, 'v'), link: flag(query, 'link') })
    empty(ctx)
  })

  return router
}

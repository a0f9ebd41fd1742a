import Router from '@koa/router'
import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import { empty, json } from '../answers.js'
import { adaptImage, adaptImageList } from '../older-clients.js'
import { progress } from '../progress.js'
import { filters, flag, queryOf, type Query } from '../query.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'
import { bodyStream, clientGone, sendTar } from '../streams.js'

const reference = (ctx: RouteContext): string => ctx.params['ref'] as string

function refusePlatform(query: Query): void {
  if (query.get('platform')) throw notImplemented('platform is not supported here: an image of tsd has one platform; leave it out')
}

export function imageRoutes({ images }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.get('/images/json', async (ctx) => {
    const query = queryOf(ctx)
    const wanted = filters(query)
    const legacy = query.get('filter')
    if (ctx.state.api < 41 && legacy) wanted['reference'] = [...(wanted['reference'] ?? []), legacy]
    const list = await images.list({ all: flag(query, 'all'), digests: flag(query, 'digests'), filters: wanted })
    json(ctx, adaptImageList(list, ctx.state.api))
  })

  router.post('/images/load', async (ctx) => {
    const signal = clientGone(ctx, { halfClosed: false })
    await progress(ctx, images.load(bodyStream(ctx), { quiet: flag(queryOf(ctx), 'quiet', true), signal }))
  })

  router.post('/images/create', async (ctx, next) => {
    const query = queryOf(ctx)
    const source = query.get('fromSrc') ?? ''
    if (query.get('fromImage')) return next()
    if (source !== '-')
      throw notImplemented(
        `cannot import from "${source}": this tsd imports only what the client sends (fromSrc=-); download it, then docker import FILE`,
      )
    const signal = clientGone(ctx, { halfClosed: false })
    const messages = images.import(bodyStream(ctx), {
      repo: query.get('repo') ?? '',
      tag: query.get('tag') ?? '',
      message: query.get('message') ?? '',
      changes: query.getAll('changes'),
      platform: query.get('platform') ?? '',
      signal,
    })
    await progress(ctx, messages)
  })

  router.post('/images/prune', async (ctx) => json(ctx, await images.prune(filters(queryOf(ctx)))))

  router.get('/images/get', async (ctx) => {
    const names = queryOf(ctx)
      .getAll('names')
      .flatMap((list) => list.split(','))
      .filter(Boolean)
    refusePlatform(queryOf(ctx))
    if (names.length === 0) throw invalidParameter('no images were named: add names=IMAGE')
    await sendTar(ctx, await images.save(names))
  })

  router.get('/images/*ref/get', async (ctx) => {
    refusePlatform(queryOf(ctx))
    await sendTar(ctx, await images.save([reference(ctx)]))
  })

  router.get('/images/*ref/history', async (ctx) => {
    refusePlatform(queryOf(ctx))
    json(ctx, await images.history(reference(ctx)))
  })

  router.get('/images/*ref/json', async (ctx) => json(ctx, adaptImage(await images.inspect(reference(ctx)), ctx.state.api)))

  router.post('/images/*ref/tag', async (ctx) => {
    const query = queryOf(ctx)
    await images.tag(reference(ctx), query.get('repo') ?? '', query.get('tag') ?? '')
    empty(ctx, 201)
  })

  router.delete('/images/*ref', async (ctx) => {
    const query = queryOf(ctx)
    json(ctx, await images.remove(reference(ctx), { force: flag(query, 'force'), noPrune: flag(query, 'noprune') }))
  })

  return router
}

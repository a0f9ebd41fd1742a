import Router from '@koa/router'
import { invalidParameter } from '../../sdk/errors.js'
import { empty, json } from '../answers.js'
import { flag, queryOf } from '../query.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'
import { bodyStream, clientGone, sendTar } from '../streams.js'

const reference = (ctx: RouteContext): string => ctx.params['ref'] as string

function pathOf(ctx: RouteContext): string {
  const path = queryOf(ctx).get('path') ?? ''
  if (path === '') throw invalidParameter('bad parameter: name and path are needed: path is empty')
  return path
}

const statHeader = 'X-Docker-Container-Path-Stat'
const encoded = (stat: unknown): string => Buffer.from(JSON.stringify(stat)).toString('base64')

export function containerArchiveRoutes({ containers }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.head('/containers/*ref/archive', async (ctx) => {
    const signal = clientGone(ctx, { halfClosed: false })
    ctx.set(statHeader, encoded(await containers.statPath(reference(ctx), pathOf(ctx), signal)))
    empty(ctx, 200)
  })

  router.get('/containers/*ref/archive', async (ctx) => {
    const signal = clientGone(ctx, { halfClosed: true })
    const { stat, tar } = await containers.readArchive(reference(ctx), pathOf(ctx), signal)
    await sendTar(ctx, tar, { [statHeader]: encoded(stat) })
  })

  router.get('/containers/*ref/export', async (ctx) => {
    const tar = await containers.export(reference(ctx), clientGone(ctx, { halfClosed: true }))
    await sendTar(ctx, tar)
  })

  router.get('/containers/*ref/changes', async (ctx) => json(ctx, await containers.changes(reference(ctx))))

  router.put('/containers/*ref/archive', async (ctx) => {
    const query = queryOf(ctx)
    const path = pathOf(ctx)
    const signal = clientGone(ctx, { halfClosed: false })
    await containers.writeArchive(reference(ctx), {
      path,
      tar: bodyStream(ctx),
      keepKinds: flag(query, 'noOverwriteDirNonDir'),
      toUser: flag(query, 'copyUIDGID'),
      signal,
    })
    empty(ctx, 200)
  })

  return router
}

import Router from '@koa/router'
import type { DiskUsageType } from '../../engine/system/index.js'
import { invalidParameter } from '../../sdk/errors.js'
import { json } from '../answers.js'
import { filters, queryOf, timeOf } from '../query.js'
import type { ApiRouter, ApiServices, RequestState } from '../services.js'
import { clientGone, line, openStream } from '../streams.js'

const usageTypes: readonly DiskUsageType[] = ['container', 'image', 'volume', 'build-cache']

export function systemRoutes({ system, events, logger }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.get('/_ping', (ctx) => {
    ctx.set('Cache-Control', 'no-cache, no-store, must-revalidate')
    ctx.set('Pragma', 'no-cache')
    ctx.set('Swarm', 'inactive')
    // The classic builder: docker build with DOCKER_BUILDKIT=0.
    ctx.set('Builder-Version', '1')
    ctx.set('Content-Type', 'text/plain; charset=utf-8')
    ctx.status = 200
    if (ctx.method === 'HEAD') ctx.set('Content-Length', '0')
    ctx.body = ctx.method === 'HEAD' ? '' : 'OK'
  })

  router.get('/version', async (ctx) => json(ctx, await system.version()))

  router.get('/info', async (ctx) => {
    const info = await system.info()
    if (ctx.state.api >= 49) return json(ctx, info)
    // Gone in 1.49; older clients compare the two.
    const expected = (commit: { ID?: string } | undefined) => ({ ...commit, Expected: commit?.ID ?? '' })
    json(ctx, {
      ...info,
      ContainerdCommit: expected(info.ContainerdCommit),
      RuncCommit: expected(info.RuncCommit),
      InitCommit: expected(info.InitCommit),
    })
  })

  router.get('/system/df', async (ctx) => {
    const asked = queryOf(ctx).getAll('type')
    const unknown = asked.find((type) => !usageTypes.includes(type as DiskUsageType))
    if (unknown !== undefined) throw invalidParameter(`unknown object type: ${unknown}: must be one of ${usageTypes.join(', ')}`)
    json(ctx, await system.diskUsage(new Set(asked.length === 0 ? usageTypes : (asked as DiskUsageType[]))))
  })

  router.get('/events', async (ctx) => {
    const query = queryOf(ctx)
    const [since, until] = [timeOf(query, 'since'), timeOf(query, 'until')]
    const signal = clientGone(ctx, { halfClosed: true })
    const subscription = events.subscribe({
      filters: filters(query),
      signal,
      ...(since === undefined ? {} : { since }),
      ...(until === undefined ? {} : { until }),
    })
    const out = openStream(ctx, 'application/json')
    try {
      for await (const event of subscription) {
        await out.write(line(event))
        if (out.gone) break
      }
    } catch (error) {
      if (!signal.aborted) logger.warn('an event stream was cut off', { error: String(error) })
    }
    ctx.res.end()
  })

  return router
}

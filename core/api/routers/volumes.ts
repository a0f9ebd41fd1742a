import Router from '@koa/router'
import type { VolumeCreateOptions } from '../../schema/engine-api.js'
import { notImplemented, unavailable } from '../../sdk/errors.js'
import { empty, json } from '../answers.js'
import { requireJson } from '../body.js'
import { filters, flag, queryOf } from '../query.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'

const reference = (ctx: RouteContext): string => ctx.params['ref'] as string

export function volumeRoutes({ volumes, drivers }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.get('/volumes', async (ctx) => json(ctx, await volumes.list(filters(queryOf(ctx)))))

  router.post('/volumes/create', async (ctx) => {
    const body = await requireJson<VolumeCreateOptions>(ctx, 'VolumeCreateRequest')
    if (body.ClusterVolumeSpec !== undefined)
      throw notImplemented(
        'cluster volumes (ClusterVolumeSpec) need swarm mode, which tsd does not have: leave it out to create a local volume',
      )
    const request = {
      name: body.Name ?? '',
      driver: body.Driver || drivers.defaultName('volume'),
      driverOpts: body.DriverOpts ?? {},
      labels: body.Labels ?? {},
    }
    json(ctx, await volumes.create(request), 201)
  })

  router.post('/volumes/prune', async (ctx) => {
    const wanted = filters(queryOf(ctx))
    // Before 1.42 named volumes were pruned too.
    if (ctx.state.api < 42 && wanted['all'] === undefined) wanted['all'] = ['true']
    json(ctx, await volumes.prune(wanted))
  })

  router.get('/volumes/*ref', async (ctx) => json(ctx, await volumes.inspect(reference(ctx))))

  router.put('/volumes/*ref', () => {
    throw unavailable('only cluster volumes can be updated, and this node is not part of a swarm: remove the volume and create it anew')
  })

  router.delete('/volumes/*ref', async (ctx) => {
    await volumes.remove(reference(ctx), { force: flag(queryOf(ctx), 'force') })
    empty(ctx)
  })

  return router
}

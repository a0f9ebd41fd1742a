import Router from '@koa/router'
import type { NetworkCreateRequest } from '../../engine/networks/index.js'
import type { ConfigReference, EndpointSettings, IPAM } from '../../schema/engine-api.js'
import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import { empty, json } from '../answers.js'
import { requireJson } from '../body.js'
import { filters, flag, queryOf } from '../query.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'

interface CreateBody {
  Name?: string
  Driver?: string
  Scope?: string
  Internal?: boolean
  Attachable?: boolean
  Ingress?: boolean
  ConfigOnly?: boolean
  ConfigFrom?: ConfigReference
  IPAM?: IPAM
  EnableIPv4?: boolean
  EnableIPv6?: boolean
  Options?: Record<string, string> | null
  Labels?: Record<string, string> | null
}

const reference = (ctx: RouteContext): string => ctx.params['ref'] as string

function requestOf(body: CreateBody, defaultDriver: string): NetworkCreateRequest {
  if (body.ConfigOnly === true || body.ConfigFrom?.Network)
    throw notImplemented('ConfigOnly and ConfigFrom are not supported: give the settings in the network itself')
  if (body.Scope && body.Scope !== 'local')
    throw notImplemented(`networks of scope "${body.Scope}" need swarm mode, which tsd does not have: leave Scope out or set it to local`)
  return {
    name: body.Name ?? '',
    driver: body.Driver || defaultDriver,
    internal: body.Internal ?? false,
    attachable: body.Attachable ?? false,
    ingress: body.Ingress ?? false,
    enableIPv4: body.EnableIPv4 ?? true,
    enableIPv6: body.EnableIPv6 ?? false,
    options: body.Options ?? {},
    labels: body.Labels ?? {},
    ipam: {
      driver: body.IPAM?.Driver || 'default',
      options: body.IPAM?.Options ?? {},
      config: (body.IPAM?.Config ?? []).map((config) => ({
        subnet: config.Subnet ?? '',
        ipRange: config.IPRange ?? '',
        gateway: config.Gateway ?? '',
        auxAddresses: config.AuxiliaryAddresses ?? {},
      })),
    },
  }
}

export function networkRoutes({ networks, containers, drivers }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.get('/networks', async (ctx) => json(ctx, await networks.list(filters(queryOf(ctx)))))

  router.post('/networks/create', async (ctx) => {
    const body = await requireJson<CreateBody>(ctx, 'NetworkCreateRequest')
    json(ctx, await networks.create(requestOf(body, drivers.defaultName('network'))), 201)
  })

  router.post('/networks/prune', async (ctx) => json(ctx, await networks.prune(filters(queryOf(ctx)))))

  router.post('/networks/*ref/connect', async (ctx) => {
    const body = await requireJson<{ Container?: string; EndpointConfig?: EndpointSettings }>(ctx, 'NetworkConnectRequest')
    if (!body.Container) throw invalidParameter(`connecting to network ${reference(ctx)}: the request names no Container`)
    await containers.connectNetwork(reference(ctx), body.Container, body.EndpointConfig ?? {})
    empty(ctx, 200)
  })

  router.post('/networks/*ref/disconnect', async (ctx) => {
    const body = await requireJson<{ Container?: string; Force?: boolean }>(ctx, 'NetworkDisconnectRequest')
    if (!body.Container) throw invalidParameter(`disconnecting from network ${reference(ctx)}: the request names no Container`)
    await containers.disconnectNetwork(reference(ctx), body.Container, body.Force ?? false)
    empty(ctx, 200)
  })

  router.get('/networks/*ref', async (ctx) => {
    const query = queryOf(ctx)
    const scope = query.get('scope')
    json(ctx, await networks.inspect(reference(ctx), { verbose: flag(query, 'verbose'), ...(scope ? { scope } : {}) }))
  })

  router.delete('/networks/*ref', async (ctx) => {
    await networks.remove(reference(ctx))
    empty(ctx)
  })

  return router
}

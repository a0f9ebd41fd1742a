import Router from '@koa/router'
import type { BuildOptions } from '../../engine/builds/index.js'
import type { HostConfig } from '../../schema/engine-api.js'
import { invalidParameter, notImplemented } from '../../sdk/errors.js'
import { json } from '../answers.js'
import { progress } from '../progress.js'
import { filters, flag, integer, queryOf } from '../query.js'
import type { Query } from '../query.js'
import { registryConfig } from '../registry-auth.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'
import { bodyStream, clientGone } from '../streams.js'

/** A parameter that holds JSON. */
function parsed(query: Query, name: string): unknown {
  const text = query.get(name) ?? ''
  if (text === '') return undefined
  try {
    return JSON.parse(text) ?? undefined
  } catch {
    throw invalidParameter(`invalid value for query parameter ${name}: it is no JSON`)
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function strings(query: Query, name: string): string[] {
  const value = parsed(query, name) ?? []
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
    throw invalidParameter(`invalid value for query parameter ${name}: must be a JSON list of strings`)
  return value
}

function map(query: Query, name: string, nulls: boolean): Record<string, string | null> {
  const value = parsed(query, name) ?? {}
  if (!isObject(value) || !Object.values(value).every((one) => typeof one === 'string' || (nulls && one === null)))
    throw invalidParameter(`invalid value for query parameter ${name}: must be a JSON object of strings`)
  return value as Record<string, string | null>
}

function ulimits(query: Query): NonNullable<HostConfig['Ulimits']> {
  const value = parsed(query, 'ulimits') ?? []
  const valid = (one: unknown): boolean =>
    isObject(one) && typeof one['Name'] === 'string' && ['Soft', 'Hard'].every((key) => Number.isSafeInteger(one[key] ?? 0))
  if (!Array.isArray(value) || !value.every(valid))
    throw invalidParameter('invalid value for query parameter ulimits: must be a JSON list of {"Name","Soft","Hard"}')
  return value as NonNullable<HostConfig['Ulimits']>
}

/** What only other builders do, by name, with the way out. */
function refuse(query: Query): void {
  if ((query.get('version') ?? '1') === '2')
    throw notImplemented('BuildKit (version=2) is not supported by tsd: build with DOCKER_BUILDKIT=0 docker build, or with tsd build')
  if (flag(query, 'squash')) throw notImplemented('squash is not supported by tsd: use a multi-stage build to leave layers out')
  const remote = query.get('remote') ?? ''
  if (remote !== '')
    throw notImplemented(
      `cannot build from ${remote}: remote contexts (git, URL) are not supported by tsd: fetch it, and send the directory as the context`,
    )
  const outputs = parsed(query, 'outputs')
  if (Array.isArray(outputs) ? outputs.length > 0 : outputs !== undefined)
    throw notImplemented('outputs need BuildKit, which tsd does not have: build the image, then docker cp or docker export what is wanted')
  const isolation = query.get('isolation') ?? ''
  if (isolation !== '' && isolation !== 'default')
    throw invalidParameter(`invalid isolation ${JSON.stringify(isolation)} on linux: only "default" is there`)
}

function hostConfigOf(query: Query): HostConfig {
  const number = (name: string): number => integer(query, name) ?? 0
  const shmSize = number('shmsize')
  const given = (name: string): string[] => query.getAll(name).filter((one) => one !== '')
  return {
    Memory: number('memory'),
    MemorySwap: number('memswap'),
    CpuShares: number('cpushares'),
    CpuPeriod: number('cpuperiod'),
    CpuQuota: number('cpuquota'),
    CpusetCpus: query.get('cpusetcpus') ?? '',
    CpusetMems: query.get('cpusetmems') ?? '',
    CgroupParent: query.get('cgroupparent') ?? '',
    NetworkMode: query.get('networkmode') ?? '',
    ...(shmSize === 0 ? {} : { ShmSize: shmSize }),
    Ulimits: ulimits(query),
    SecurityOpt: given('securityopt'),
    ExtraHosts: given('extrahosts'),
  }
}

const mostSecrets = 64

/** Our own client gives secrets in a header: base64 of a JSON object, id to base64 of the value. */
function secretsOf(ctx: RouteContext): Map<string, Buffer> {
  const text = ctx.get('X-Tsd-Build-Secrets')
  if (text === '') return new Map()
  const invalid = (): Error => invalidParameter('invalid X-Tsd-Build-Secrets header: must be base64 of {"id":"base64"}')
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(text, 'base64').toString())
  } catch {
    throw invalid()
  }
  if (!isObject(value)) throw invalid()
  const entries = Object.entries(value)
  if (entries.length > mostSecrets || !entries.every(([, one]) => typeof one === 'string')) throw invalid()
  return new Map(entries.map(([id, one]) => [id, Buffer.from(one as string, 'base64')]))
}

function optionsOf(ctx: RouteContext): BuildOptions {
  const query = queryOf(ctx)
  refuse(query)
  const forceRemove = flag(query, 'forcerm')
  return {
    dockerfile: query.get('dockerfile') ?? '',
    tags: query.getAll('t').filter((tag) => tag !== ''),
    quiet: flag(query, 'q'),
    noCache: flag(query, 'nocache'),
    cacheFrom: strings(query, 'cachefrom'),
    pull: flag(query, 'pull'),
    remove: forceRemove || (query.get('rm') ?? '') === '' || flag(query, 'rm'),
    forceRemove,
    buildArgs: map(query, 'buildargs', true),
    labels: map(query, 'labels', false) as Record<string, string>,
    target: query.get('target') ?? '',
    platform: query.get('platform') ?? '',
    hostConfig: hostConfigOf(query),
    secrets: secretsOf(ctx),
    credentials: registryConfig(ctx),
  }
}

export function buildRoutes({ builds }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.post('/build', async (ctx) => {
    const options = optionsOf(ctx)
    const signal = clientGone(ctx, { halfClosed: true })
    await progress(ctx, builds.build(bodyStream(ctx), options, signal))
  })

  router.post('/build/prune', async (ctx) => {
    const query = queryOf(ctx)
    for (const name of ['keep-storage', 'reserved-space', 'max-used-space', 'min-free-space'])
      if ((integer(query, name) ?? 0) !== 0)
        throw notImplemented(`build prune with ${name} is not supported by tsd: use the filters until and id`)
    json(ctx, await builds.prune(filters(query)))
  })

  return router
}

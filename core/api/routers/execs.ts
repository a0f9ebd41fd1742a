import Router from '@koa/router'
import type { ExecConfig } from '../../schema/engine-api.js'
import { categoryOf, messageOf, type ErrorCategory } from '../../sdk/errors.js'
import { empty, json } from '../answers.js'
import { readJson, requireJson } from '../body.js'
import { hijack } from '../hijack.js'
import { queryOf, terminalSize } from '../query.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'

interface ExecStart {
  Detach?: boolean
  Tty?: boolean
  ConsoleSize?: number[]
}

const reference = (ctx: RouteContext): string => ctx.params['ref'] as string

/** Refusals of the call itself; every other failure is one of the process, told on its stream with the exit code in inspect, as dockerd does. */
const refusals = new Set<ErrorCategory>(['Conflict', 'Unavailable', 'NotImplemented', 'Cancelled'])

export function execRoutes({ execs }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.post('/containers/*ref/exec', async (ctx) => {
    const config = await requireJson<ExecConfig>(ctx, 'ExecCreateRequest')
    if (ctx.state.api < 42) delete config.ConsoleSize
    json(ctx, await execs.create(reference(ctx), config), 201)
  })

  router.post('/exec/*ref/start', async (ctx) => {
    const id = reference(ctx)
    const request = (await readJson<ExecStart>(ctx, 'ExecStartRequest')) ?? {}
    const tty = await execs.hasTty(id)
    const size = ctx.state.api >= 42 && tty && request.ConsoleSize?.length === 2 ? (request.ConsoleSize as [number, number]) : undefined
    const options = { detach: request.Detach ?? false, tty, ...(size === undefined ? {} : { consoleSize: size }) }
    if (options.detach) {
      await execs.start(id, options, undefined)
      empty(ctx, 200)
      return
    }
    await hijack(ctx, {
      tty,
      stdin: true,
      start: (client) => execs.start(id, options, client),
      failure: (error) => (refusals.has(categoryOf(error)) ? undefined : `${messageOf(error)}\r\n`),
    })
  })

  router.post('/exec/*ref/resize', async (ctx) => {
    const { height, width } = terminalSize(queryOf(ctx))
    await execs.resize(reference(ctx), height, width)
    empty(ctx, 200)
  })

  router.get('/exec/*ref/json', async (ctx) => json(ctx, await execs.inspect(reference(ctx))))

  return router
}

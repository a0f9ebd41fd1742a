import { engineRoutes } from '../../schema/routes.js'
import { notFound, notImplemented } from '../../sdk/errors.js'
import type { ApiMiddleware } from '../services.js'

interface Known {
  method: string
  template: string
  path: RegExp
}

let known: Known[] | undefined

/** Names and ids may hold slashes (`library/hello`), so that the longest template decides. */
function compile(): Known[] {
  const parts = (template: string): number => template.split('/').length
  known ??= engineRoutes
    .map((route) => {
      const [method, template] = route.split(' ') as [string, string]
      return { method, template, path: new RegExp(`^${template.replace(/\{[^}]+\}/g, '.+')}$`) }
    })
    .sort((a, b) => parts(b.template) - parts(a.template))
  return known
}

/** The last word: a route of the Engine API that tsd lacks says so, anything else does not exist. */
export const notBuilt: ApiMiddleware = (ctx) => {
  const route = compile().find(({ method, path }) => method === ctx.method && path.test(ctx.path))
  if (route === undefined) throw notFound('page not found')
  throw notImplemented(`${route.method} ${route.template} is not built into this tsd yet: see the operator's guide for what is`)
}

import type { ApiMiddleware } from '../services.js'

export const newestApi = 51
export const oldestApi = 24

export const identityHeaders = ['Api-Version', 'Docker-Experimental', 'Ostype', 'Server'] as const

/** Headers by which clients know whom they talk to, on every answer. */
export function identity(version: string): ApiMiddleware {
  const server = `tsd/${version} (linux)`
  return (ctx, next) => {
    const { res } = ctx
    res.setHeader('Api-Version', `1.${newestApi}`)
    res.setHeader('Docker-Experimental', 'false')
    res.setHeader('Ostype', 'linux')
    res.setHeader('Server', server)
    return next()
  }
}

import { invalidParameter } from '../../sdk/errors.js'
import type { ApiMiddleware } from '../services.js'
import { newestApi, oldestApi } from './identity.js'

const prefix = /^\/v([0-9.]+)(?=\/)/

/** Negative, zero or positive as `text` is older than, equal to or newer than 1.minor. */
function compare(text: string, minor: number): number {
  const [first = 0, second = 0, ...rest] = text.split('.').map((part) => Number(part === '' ? 0 : part))
  if (first !== 1) return first - 1
  if (second !== minor) return second - minor
  return rest.some((part) => part > 0) ? 1 : 0
}

/** Takes `/v1.xx` off the path and refuses versions that tsd does not speak. */
export const version: ApiMiddleware = (ctx, next) => {
  ctx.state.api = newestApi
  const url = ctx.req.url ?? '/'
  const match = prefix.exec(url)
  if (match === null) return next()
  const asked = match[1] as string
  if (compare(asked, newestApi) > 0)
    throw invalidParameter(`client version ${asked} is too new. Maximum supported API version is 1.${newestApi}`)
  if (compare(asked, oldestApi) < 0)
    throw invalidParameter(
      `client version ${asked} is too old. Minimum supported API version is 1.${oldestApi}, please upgrade your client to a newer version`,
    )
  ctx.state.api = Number(asked.split('.')[1])
  ctx.req.url = url.slice(match[0].length)
  return next()
}

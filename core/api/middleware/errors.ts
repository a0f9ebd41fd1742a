import { categoryOf } from '../../sdk/errors.js'
import type { Logger } from '../../sdk/ports.js'
import { json } from '../answers.js'
import type { ApiMiddleware } from '../services.js'
import { errorText, statusOf } from '../status.js'

/** Whatever a route throws becomes an answer here. */
export function errors(logger: Logger): ApiMiddleware {
  return async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      const status = statusOf(error)
      const text = errorText(error)
      const fields = { method: ctx.method, path: ctx.originalUrl.slice(0, 512), status }
      if (status >= 500 && status !== 501 && categoryOf(error) !== 'Cancelled')
        logger.error(text, { ...fields, stack: error instanceof Error ? error.stack : undefined })
      else logger.debug(text, fields)
      if (ctx.respond === false || ctx.res.headersSent) {
        ctx.respond = false
        ctx.res.destroy()
      } else if (status === 304) {
        ctx.status = 304
        ctx.body = null
      } else json(ctx, { message: text }, status)
    }
  }
}

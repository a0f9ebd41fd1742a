import type { ApiContext } from './services.js'

/** Answers JSON as Go's encoder frames it, with a newline at the end. */
export function json(ctx: ApiContext, value: unknown, status = 200): void {
  ctx.status = status
  ctx.set('Content-Type', 'application/json')
  ctx.body = JSON.stringify(value) + '\n'
}

/** Answers a status without a body. */
export function empty(ctx: ApiContext, status = 204): void {
  ctx.status = status
  // Koa turns a null body into 204.
  ctx.body = status === 204 ? null : ''
  ctx.remove('Content-Type')
}

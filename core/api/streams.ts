import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { cancelled } from '../sdk/errors.js'
import { BoundedOutput } from './output.js'
import type { ApiContext } from './services.js'

/**
 * Aborted when the client has gone. A stream's client has nothing more to say, so that the end of its side counts too: a unix socket
 * whose peer died looks just like that.
 */
export function clientGone(ctx: ApiContext, options: { halfClosed: boolean }): AbortSignal {
  const controller = new AbortController()
  const { socket } = ctx.req
  const abort = (): void => controller.abort()
  ctx.res.once('close', () => {
    socket.off('end', abort)
    abort()
  })
  if (options.halfClosed) {
    if (socket.readableEnded || socket.destroyed) abort()
    else socket.on('end', abort)
  }
  return controller.signal
}

/** Starts an answer of unknown length: headers leave at once, koa is out of it. */
export function openStream(ctx: ApiContext, contentType: string): BoundedOutput {
  ctx.respond = false
  ctx.res.statusCode = 200
  ctx.res.setHeader('Content-Type', contentType)
  ctx.res.flushHeaders()
  return new BoundedOutput(ctx.res)
}

/** A client that is sent a cut archive must see that it is one: the connection breaks. */
export async function sendTar(ctx: ApiContext, tar: Readable, headers: Record<string, string> = {}): Promise<void> {
  ctx.respond = false
  ctx.res.writeHead(200, { 'Content-Type': 'application/x-tar', ...headers })
  await pipeline(tar, ctx.res).catch(() => undefined)
}

export const line = (value: unknown): Buffer => Buffer.from(JSON.stringify(value) + '\n')

/** The request body for one who may stop reading it: doing so must not take the connection down before it is answered. */
export function bodyStream(ctx: ApiContext): Readable {
  const { req } = ctx
  const copy = new PassThrough({ highWaterMark: 256 * 1024 })
  // Listened to here so that a failure nobody reads any more is not fatal.
  copy.on('error', () => undefined)
  copy.on('close', () => {
    req.unpipe(copy)
    req.resume()
  })
  req.on('error', () => undefined)
  req.on('close', () => {
    if (!req.complete) copy.destroy(cancelled('the client went away before its upload was complete'))
  })
  req.pipe(copy)
  return copy
}

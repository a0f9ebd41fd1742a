import Router from '@koa/router'
import type { LogsOptions, WaitResult } from '../../engine/containers/index.js'
import { invalidParameter, messageOf } from '../../sdk/errors.js'
import type { LogEntry } from '../../sdk/kinds/log.js'
import { json } from '../answers.js'
import { hijack } from '../hijack.js'
import { formatEntries, type LogFormat } from '../log-stream.js'
import { flag, queryOf, timeOf, type Query } from '../query.js'
import type { ApiRouter, ApiServices, RequestState, RouteContext } from '../services.js'
import { frame } from '../stdcopy.js'
import { clientGone, line, openStream } from '../streams.js'
import { streamType } from '../take-over.js'
import { checkHandshake, openWebSocket } from '../websocket.js'

const reference = (ctx: RouteContext): string => ctx.params['ref'] as string

const conditions = ['not-running', 'next-exit', 'removed'] as const

/** Zero means "not given", as clients send it. */
const moment = (query: Query, name: string): bigint | undefined => timeOf(query, name) || undefined

/** Line by line only where something is put before each line. */
async function logBytes(
  containers: ApiServices['containers'],
  ref: string,
  options: LogsOptions,
  format: { timestamps: boolean; details: boolean },
): Promise<{ tty: boolean; chunks: AsyncIterable<Uint8Array> }> {
  if (!format.timestamps && !format.details) {
    const { tty, frames } = await containers.logFrames(ref, options)
    return { tty, chunks: frames }
  }
  const { tty, entries } = await containers.logs(ref, options)
  return { tty, chunks: formatted(entries, { ...format, multiplexed: !tty, stdout: options.stdout, stderr: options.stderr }) }
}

async function* formatted(entries: AsyncIterable<LogEntry[]>, format: LogFormat): AsyncGenerator<Uint8Array> {
  for await (const batch of entries) yield formatEntries(batch, format)
}

export function containerStreamRoutes({ containers, logger }: ApiServices): ApiRouter {
  const router = new Router<RequestState>({ sensitive: true })

  router.post('/containers/*ref/attach', async (ctx) => {
    const query = queryOf(ctx)
    const detachKeys = query.get('detachKeys')
    const tty = await containers.hasTty(reference(ctx))
    const options = {
      stdin: flag(query, 'stdin'),
      stdout: flag(query, 'stdout'),
      stderr: flag(query, 'stderr'),
      logs: flag(query, 'logs'),
      stream: flag(query, 'stream'),
      ...(detachKeys ? { detachKeys } : {}),
    }
    await hijack(ctx, {
      tty,
      stdin: options.stdin && options.stream,
      start: (client) => containers.attach(reference(ctx), options, client),
    })
  })

  router.get('/containers/*ref/attach/ws', async (ctx) => {
    const query = queryOf(ctx)
    checkHandshake(ctx)
    const detachKeys = query.get('detachKeys')
    // Before 1.42 all three were always attached.
    const side = (name: string): boolean => ctx.state.api < 42 || flag(query, name)
    const options = {
      stdin: side('stdin'),
      stdout: side('stdout'),
      stderr: side('stderr'),
      logs: flag(query, 'logs'),
      stream: flag(query, 'stream'),
      ...(detachKeys ? { detachKeys } : {}),
    }
    await hijack(ctx, {
      // Both outputs in one, as they come.
      tty: true,
      stdin: options.stdin && options.stream,
      open: openWebSocket,
      start: (client) => containers.attach(reference(ctx), options, client),
    })
  })

  router.get('/containers/*ref/stats', async (ctx) => {
    const query = queryOf(ctx)
    const signal = clientGone(ctx, { halfClosed: true })
    if (!flag(query, 'stream', true)) return json(ctx, await containers.stats(reference(ctx), { oneShot: flag(query, 'one-shot'), signal }))
    const records = containers.streamStats(reference(ctx), signal)
    const out = openStream(ctx, 'application/json')
    try {
      for await (const record of records) {
        await out.write(line(record))
        if (out.gone) break
      }
    } catch (error) {
      if (!signal.aborted) logger.warn('statistics of a container end', { container: reference(ctx), error: messageOf(error) })
    }
    ctx.res.end()
  })

  router.post('/containers/*ref/wait', async (ctx) => {
    const asked = queryOf(ctx).get('condition') || 'not-running'
    const condition = conditions.find((known) => known === asked)
    if (condition === undefined) throw invalidParameter(`invalid condition: "${asked}": must be one of ${conditions.join(', ')}`)
    const signal = clientGone(ctx, { halfClosed: true })
    const { result } = await containers.wait(reference(ctx), condition, signal)
    // The client starts the container once it sees these headers.
    const out = openStream(ctx, 'application/json')
    let answer: WaitResult
    try {
      answer = await result
    } catch (error) {
      answer = { StatusCode: -1, Error: { Message: messageOf(error) } }
    }
    if (!signal.aborted) await out.write(line(answer))
    ctx.res.end()
  })

  router.get('/containers/*ref/logs', async (ctx) => {
    const query = queryOf(ctx)
    const [stdout, stderr] = [flag(query, 'stdout'), flag(query, 'stderr')]
    if (!stdout && !stderr) throw invalidParameter('Bad parameters: you must choose at least one stream')
    const [since, until, tail] = [moment(query, 'since'), moment(query, 'until'), query.get('tail') ?? '']
    const signal = clientGone(ctx, { halfClosed: true })
    const options = {
      stdout,
      stderr,
      follow: flag(query, 'follow'),
      signal,
      ...(since === undefined ? {} : { since }),
      ...(until === undefined ? {} : { until }),
      ...(/^\d{1,15}$/.test(tail) ? { tail: Number(tail) } : {}),
    }
    const { tty, chunks } = await logBytes(containers, reference(ctx), options, {
      timestamps: flag(query, 'timestamps'),
      details: flag(query, 'details'),
    })
    const out = openStream(ctx, streamType(ctx, tty))
    try {
      for await (const chunk of chunks) {
        await out.write(chunk)
        if (out.gone) break
      }
    } catch (error) {
      if (!signal.aborted) {
        logger.warn('reading logs failed', { container: reference(ctx), error: messageOf(error) })
        const text = Buffer.from(`Error grabbing logs: ${messageOf(error)}\n`)
        await out.write(...(tty ? [text] : frame('stderr', text)))
      }
    }
    ctx.res.end()
  })

  return router
}

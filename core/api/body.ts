import { invalidParameter, deadlineExceeded } from '../sdk/errors.js'
import type { RequestBody } from '../schema/request-bodies.js'
import { decode } from './decode.js'
import { upgradeOf } from './upgrade.js'
import type { ApiContext } from './services.js'

export const bodyLimit = 4 * 1024 * 1024
const slowest = 60_000

/** True when the request announces a body. */
export function hasBody(ctx: ApiContext): boolean {
  const { headers } = ctx.req
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Reads and checks a JSON body. Undefined when there is none. */
export async function readJson<T>(ctx: ApiContext, shape: RequestBody): Promise<T | undefined> {
  const type = ctx.req.headers['content-type'] ?? ''
  if (!hasBody(ctx) && type === '') return undefined
  const mime = (type.split(';')[0] as string).trim().toLowerCase()
  if (mime === '') throw invalidParameter(`malformed Content-Type header (${type}): mime: no media type`)
  if (mime !== 'application/json') throw invalidParameter(`unsupported Content-Type header (${type}): must be 'application/json'`)
  const text = await readText(ctx)
  if (text === '') return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalidParameter(`invalid JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  return decode(value, shape) as T | undefined
}

/** As readJson, for calls that cannot do without a body. */
export async function requireJson<T>(ctx: ApiContext, shape: RequestBody): Promise<T> {
  const value = await readJson<T>(ctx, shape)
  if (value === undefined) throw invalidParameter('invalid JSON: got EOF while reading request body')
  return value
}

async function readText(ctx: ApiContext): Promise<string> {
  const tooLarge = () => {
    ctx.set('Connection', 'close')
    return invalidParameter(`invalid JSON: request body is larger than ${bodyLimit} bytes`)
  }
  if (Number(ctx.req.headers['content-length'] ?? 0) > bodyLimit) throw tooLarge()
  const upgrade = upgradeOf(ctx.req)
  const source: AsyncIterable<Buffer> = upgrade === undefined ? chunksOf(ctx) : upgrade.body()
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > bodyLimit) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8').trim()
}

/** Breaking off an iteration over the request itself would destroy the connection before an answer is sent. */
async function* chunksOf(ctx: ApiContext): AsyncGenerator<Buffer> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      ctx.set('Connection', 'close')
      reject(deadlineExceeded(`the request body did not arrive within ${slowest / 1000} seconds`))
    }, slowest)
  })
  const chunks = ctx.req.iterator({ destroyOnReturn: false })
  try {
    for (;;) {
      const next = (await Promise.race([chunks.next(), late])) as IteratorResult<Buffer>
      if (next.done === true) return
      yield next.value
    }
  } finally {
    clearTimeout(timer)
    late.catch(() => undefined)
  }
}

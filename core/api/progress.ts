import type { ProgressMessage } from '../engine/images/index.js'
import { messageOf } from '../sdk/errors.js'
import type { ApiContext } from './services.js'
import { line, openStream } from './streams.js'

/** Sends progress as it comes. A failure before the first message is an HTTP error, a later one the last message. */
export async function progress(ctx: ApiContext, messages: AsyncIterable<ProgressMessage>): Promise<void> {
  const iterator = messages[Symbol.asyncIterator]()
  const first = await iterator.next()
  const out = openStream(ctx, 'application/json')
  try {
    for (let next = first; next.done !== true; next = await iterator.next()) {
      await out.write(line(next.value))
      if (out.gone) break
    }
  } catch (error) {
    const message = messageOf(error)
    await out.write(line({ errorDetail: { message }, error: message }))
  } finally {
    await iterator.return?.()
  }
  ctx.res.end()
}

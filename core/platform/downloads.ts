import { open, unlink } from 'node:fs/promises'
import { Digester } from '../base/digest.js'
import { cancelled, invalidParameter, isTsdError, messageOf, unavailable } from '../sdk/errors.js'

const mostRedirects = 10
/** Milliseconds that a server may be silent. */
const silence = 30_000

export interface Downloaded {
  digest: string
  size: number
  lastModified: Date | undefined
}

/** Fetches files over http and https. The client is loaded with the first of them. */
export class HttpDownloads {
  async fetch(url: string, file: string, { limit, signal }: { limit: number; signal: AbortSignal }): Promise<Downloaded> {
    const handle = await open(file, 'wx', 0o600)
    try {
      return await this.follow(url, handle, limit, signal)
    } catch (error) {
      await unlink(file)
      if (signal.aborted) throw isTsdError(signal.reason) ? signal.reason : cancelled(`the download of ${url} was cancelled`)
      throw isTsdError(error) ? error : unavailable(`cannot download ${url}: ${messageOf(error)}`, { cause: error })
    } finally {
      await handle.close()
    }
  }

  private async follow(
    url: string,
    handle: { writeFile(data: Uint8Array): Promise<void> },
    limit: number,
    signal: AbortSignal,
  ): Promise<Downloaded> {
    const { request } = await import('undici')
    let at = url
    for (let hops = 0; hops <= mostRedirects; hops++) {
      const { statusCode, headers, body } = await request(at, { signal, headersTimeout: silence, bodyTimeout: silence, reset: true })
      const location = headers['location']
      if (statusCode >= 300 && statusCode < 400 && typeof location === 'string') {
        await body.dump({ limit: 64 << 10 })
        const next = new URL(location, at)
        if (next.protocol !== 'http:' && next.protocol !== 'https:')
          throw invalidParameter(`cannot download ${url}: it redirects to ${next.protocol}, only http and https are followed`)
        at = next.href
        continue
      }
      if (statusCode !== 200) {
        await body.dump({ limit: 64 << 10 })
        throw invalidParameter(`failed to GET ${url} with status ${statusCode}`)
      }
      const digester = new Digester()
      for await (const chunk of body as AsyncIterable<Buffer>) {
        digester.update(chunk)
        if (digester.size > limit) throw invalidParameter(`cannot download ${url}: it has more than ${limit} bytes`)
        await handle.writeFile(chunk)
      }
      const modified = headers['last-modified']
      const time = typeof modified === 'string' ? Date.parse(modified) : NaN
      return { digest: digester.digest(), size: digester.size, lastModified: Number.isNaN(time) ? undefined : new Date(time) }
    }
    throw invalidParameter(`cannot download ${url}: it redirects more than ${mostRedirects} times`)
  }
}

import type { Dispatcher } from 'undici'
import { isTsdError, messageOf } from '../../sdk/errors.js'
import type { CertificateDirectory } from './certificates.js'
import { systemAuthorities } from './certificates.js'
import { ConnectionFault, RegistryFault } from './faults.js'
import { proxyFor } from './proxy.js'

/** Milliseconds. */
export interface Patience {
  connect: number
  /** From the request to the header of its answer. */
  header: number
  /** A body that brings less than `leastBytes` in this time is given up. */
  idle: number
  /** For a small answer as a whole: a manifest, a token. */
  small: number
}

export const usualPatience: Patience = { connect: 30_000, header: 120_000, idle: 30_000, small: 120_000 }
const leastBytes = 1024
const maxHeader = 64 * 1024
const maxRedirects = 5

export interface Request {
  method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  url: URL
  headers: Record<string, string>
  /** Made anew for each attempt. */
  body?: () => string | Buffer | AsyncIterable<Uint8Array>
  signal: AbortSignal
  /** The certificate of this host is not checked. */
  unverified?: string
}

export interface Answer {
  status: number
  statusText: string
  /** First value of a header, empty when there is none. */
  header(name: string): string
  body: Dispatcher.ResponseData['body']
  /** Where it came from, after redirects. */
  url: URL
}

const wordsOf: Record<string, string> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'x509: certificate signed by unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'x509: certificate signed by unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'x509: certificate signed by unknown authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'x509: certificate signed by unknown authority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'x509: certificate signed by unknown authority',
  CERT_HAS_EXPIRED: 'x509: certificate has expired or is not yet valid',
  CERT_NOT_YET_VALID: 'x509: certificate has expired or is not yet valid',
}

/** What the network says, as Go programs say it where clients know the words. */
function connectionWords(error: unknown, url: URL): { text: string; temporary: boolean } {
  const code = (error as { code?: string }).code ?? ''
  const message = messageOf(error)
  const unknown = wordsOf[code]
  if (unknown !== undefined)
    return {
      text: `tls: failed to verify certificate: ${unknown} (put the authority in certs.d/${url.host}/ca.crt, or list the registry in insecure-registries)`,
      temporary: false,
    }
  switch (code) {
    case 'ENOTFOUND':
      return { text: `dial tcp: lookup ${url.hostname}: no such host`, temporary: false }
    case 'EAI_AGAIN':
      return { text: `dial tcp: lookup ${url.hostname}: the name cannot be resolved now`, temporary: true }
    case 'ECONNREFUSED':
      return { text: `dial tcp ${url.host}: connect: connection refused`, temporary: true }
    case 'UND_ERR_CONNECT_TIMEOUT':
      return { text: `dial tcp ${url.host}: i/o timeout`, temporary: true }
    case 'UND_ERR_HEADERS_TIMEOUT':
      return { text: 'net/http: timeout awaiting response headers', temporary: true }
    case 'UND_ERR_BODY_TIMEOUT':
      return { text: 'the answer stalled', temporary: true }
    case 'UND_ERR_HEADERS_OVERFLOW':
      return { text: `its header has more than ${maxHeader} bytes`, temporary: false }
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return { text: `tls: failed to verify certificate: x509: ${message}`, temporary: false }
    case 'UND_ERR_SOCKET':
      return {
        text: `the connection was closed${url.protocol === 'https:' ? ` (a registry that wants a client certificate finds it in certs.d/${url.host}/client.cert and client.key)` : ''}`,
        temporary: true,
      }
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return { text: 'http: server gave HTTP response to HTTPS client', temporary: false }
  }
  return { text: message, temporary: true }
}

/** HTTP for one pull or push: connections, trust, redirects and deadlines. To be closed. */
export class Transport {
  private readonly agents = new Map<string, Promise<Dispatcher>>()

  constructor(
    private readonly certificates: CertificateDirectory,
    readonly patience: Patience,
    private readonly userAgent: string,
  ) {}

  async close(): Promise<void> {
    const agents = await Promise.allSettled(this.agents.values())
    for (const agent of agents) if (agent.status === 'fulfilled') await agent.value.destroy().catch(() => undefined)
  }

  private agent(url: URL, unverified: boolean): Promise<Dispatcher> {
    const key = `${unverified} ${url.origin}`
    const known = this.agents.get(key)
    if (known !== undefined) return known
    const made = this.makeAgent(url, unverified)
    this.agents.set(key, made)
    return made
  }

  private async makeAgent(url: URL, unverified: boolean): Promise<Dispatcher> {
    // Loaded on first use: an idle daemon talks to no registry.
    const { Agent, ProxyAgent } = await import('undici')
    const { connect, header, idle } = this.patience
    const secure = url.protocol === 'https:' ? await this.trust(url.host, unverified) : {}
    const limits = { headersTimeout: header, bodyTimeout: idle, maxHeaderSize: maxHeader, keepAliveTimeout: 10_000, pipelining: 1 }
    const proxy = proxyFor(url, process.env)
    if (proxy === undefined) return new Agent({ ...limits, connect: { timeout: connect, ...secure } })
    if (!URL.canParse(proxy))
      throw new RegistryFault(`the proxy of the daemon's environment for ${url.protocol.replace(':', '')} is no URL`)
    const proxyTls = { timeout: connect, ca: await systemAuthorities() }
    return new ProxyAgent({ ...limits, uri: proxy, proxyTls, requestTls: { timeout: connect, ...secure } })
  }

  private async trust(host: string, unverified: boolean): Promise<object> {
    const { ca, cert, key } = await this.certificates.read(host)
    return {
      ca: [...(await systemAuthorities()), ...ca],
      ...(cert.length > 0 ? { cert, key } : {}),
      rejectUnauthorized: !unverified,
    }
  }

  /** One exchange. Redirects of GET and HEAD are followed; what authorizes us stays with the host it was meant for. */
  async send(request: Request): Promise<Answer> {
    let { url, headers } = request
    for (let hops = 0; ; hops++) {
      const answer = await this.exchange({ ...request, url, headers })
      const redirected = [301, 302, 303, 307, 308].includes(answer.status) && (request.method === 'GET' || request.method === 'HEAD')
      if (!redirected) return answer
      await answer.body.dump()
      if (hops >= maxRedirects) throw new RegistryFault(`${request.url.origin} redirects more than ${maxRedirects} times`)
      const next = target(answer.header('location'), url)
      if (next.origin !== url.origin) headers = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'))
      url = next
    }
  }

  private async exchange(request: Request): Promise<Answer> {
    const { method, url, headers, body, signal } = request
    const agent = await this.agent(url, request.unverified === url.host)
    try {
      const answer = await agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: { 'user-agent': this.userAgent, ...headers },
        signal,
        ...(body === undefined ? {} : { body: toBody(body()) }),
      })
      // Nobody may read it to its end: a failure then is no one's.
      answer.body.on('error', () => undefined)
      return {
        status: answer.statusCode,
        statusText: answer.statusText,
        header: (name) => [answer.headers[name] ?? ''].flat()[0] ?? '',
        body: answer.body,
        url,
      }
    } catch (error) {
      throw faultOf(error, method, url, signal)
    }
  }

  /** The chunks of a body that come at a pace. */
  async *paced(answer: Answer, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { idle } = this.patience
    let [since, seen] = [Date.now(), 0]
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        seen += chunk.length
        const now = Date.now()
        if (now - since >= idle) {
          if (seen < leastBytes)
            throw new ConnectionFault(
              `Get "${shown(answer.url)}": only ${seen} bytes came in ${Math.round((now - since) / 1000)} seconds`,
              true,
            )
          ;[since, seen] = [now, 0]
        }
        yield chunk
      }
    } catch (error) {
      throw faultOf(error, 'GET', answer.url, signal)
    } finally {
      answer.body.destroy()
    }
  }

  /** A small body whole. */
  async whole(answer: Answer, limit: number, what: string, signal: AbortSignal): Promise<Buffer> {
    const announced = Number(answer.header('content-length') || 0)
    const tooLarge = (): RegistryFault => new RegistryFault(`${what} from ${answer.url.host} has more than ${limit} bytes`)
    const timer = setTimeout(
      () => answer.body.destroy(new ConnectionFault(`Get "${shown(answer.url)}": ${what} did not arrive in time`, true)),
      this.patience.small,
    )
    try {
      if (announced > limit) throw tooLarge()
      const chunks: Buffer[] = []
      let size = 0
      for await (const chunk of this.paced(answer, signal)) {
        size += chunk.length
        if (size > limit) throw tooLarge()
        chunks.push(chunk)
      }
      return Buffer.concat(chunks)
    } finally {
      clearTimeout(timer)
      answer.body.destroy()
    }
  }
}

type Body = string | Buffer | AsyncIterable<Uint8Array>

function toBody(body: Body): NonNullable<Dispatcher.DispatchOptions['body']> {
  return body as NonNullable<Dispatcher.DispatchOptions['body']>
}

/** A URL without what may be secret in it. */
export const shown = (url: URL): string => url.origin + url.pathname

const verbs: Record<Request['method'], string> = { GET: 'Get', HEAD: 'Head', POST: 'Post', PUT: 'Put', PATCH: 'Patch', DELETE: 'Delete' }

function faultOf(error: unknown, method: Request['method'], url: URL, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (isTsdError(error)) return error
  const { text, temporary } = connectionWords(error, url)
  return new ConnectionFault(`${verbs[method]} "${shown(url)}": ${text}`, temporary, { cause: error })
}

/** Where an answer sends us. Never from TLS to a line that anybody can read. */
export function target(location: string, from: URL): URL {
  if (location === '' || !URL.canParse(location, from.href)) throw new RegistryFault(`${from.host} redirects to no valid address`)
  const to = new URL(location, from)
  if (to.protocol !== 'https:' && to.protocol !== 'http:')
    throw new RegistryFault(`${from.host} redirects to the scheme ${to.protocol.replace(/:$/, '')}, which is refused`)
  if (from.protocol === 'https:' && to.protocol === 'http:')
    throw new RegistryFault(`${from.host} redirects from https to http://${to.host}, which is refused`)
  to.username = ''
  to.password = ''
  return to
}

import { digestOf, parseDigest } from '../../base/digest.js'
import type { Authorizer } from './authorizer.js'
import type { Endpoint } from './endpoints.js'
import { printable, refusalOf, RegistryFault } from './faults.js'
import { parseObject } from './hostile-json.js'
import { acceptedManifests, maxManifestBytes } from './manifest.js'
import { target, type Answer, type Request, type Transport } from './transport.js'

const maxError = 64 * 1024
const maxTags = 1024 * 1024
const maxTagPages = 1000

export interface RawManifest {
  /** Of `Content-Type`, without parameters. */
  mediaType: string
  bytes: Buffer
  /** `Docker-Content-Digest`: what the registry says. */
  digest: string
}

export interface BlobPart {
  from: number
  total: number | undefined
  chunks: AsyncGenerator<Buffer>
}

interface Call extends Partial<Pick<Request, 'headers' | 'body'>> {
  method: Request['method']
  /** Below the repository, or a whole URL that the registry gave. */
  path: string | URL
  scopes: string[]
  signal: AbortSignal
}

/** The calls of the distribution specification on one repository at one endpoint. */
export class Repository {
  constructor(
    private readonly transport: Transport,
    private readonly authorizer: Authorizer,
    readonly endpoint: Endpoint,
    /** `library/busybox` */
    readonly path: string,
    /** With what it asks for access: `pull`, `pull,push`. */
    private readonly actions: string,
  ) {}

  get scopes(): string[] {
    return [`repository:${this.path}:${this.actions}`]
  }

  /** An answer of one of the expected statuses; any other is thrown. */
  private async call(call: Call, expected: number[]): Promise<Answer> {
    const { endpoint } = this
    const origin = new URL(endpoint.url).origin
    const url = typeof call.path === 'string' ? new URL(`${endpoint.url}/v2/${this.path}/${call.path}`) : call.path
    for (let attempt = 0; ; attempt++) {
      const authorization = url.origin === origin ? this.authorizer.header(call.scopes) : undefined
      const answer = await this.transport.send({
        method: call.method,
        url,
        headers: { ...call.headers, ...(authorization === undefined ? {} : { authorization }) },
        signal: call.signal,
        ...(call.body === undefined ? {} : { body: call.body }),
        ...(endpoint.unverified ? { unverified: endpoint.host } : {}),
      })
      if (expected.includes(answer.status)) return answer
      const text = await this.transport.whole(answer, maxError, 'an error', call.signal)
      // Once: a registry that goes on asking after it was answered gets no more.
      const challenge = answer.header('www-authenticate')
      if (answer.status === 401 && attempt === 0 && answer.url.origin === origin && challenge !== '') {
        if (await this.authorizer.meet(challenge, call.scopes, call.signal)) continue
      }
      throw refusalOf(
        answer.status,
        answer.statusText,
        text.toString('utf8'),
        answer.header('retry-after'),
        `${call.method} ${url.pathname}`,
      )
    }
  }

  async manifest(reference: string, signal: AbortSignal): Promise<RawManifest> {
    const headers = { accept: acceptedManifests.join(', ') }
    const answer = await this.call({ method: 'GET', path: `manifests/${reference}`, headers, scopes: this.scopes, signal }, [200])
    const bytes = await this.transport.whole(answer, maxManifestBytes, 'the manifest', signal)
    return { ...described(answer), bytes }
  }

  /** A blob from an offset on. `from`: where the answer really begins; `total`: the size of the blob, where the registry tells it. */
  async blob(digest: string, offset: number, signal: AbortSignal): Promise<BlobPart> {
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` }
    const expected = offset === 0 ? [200] : [200, 206, 416]
    const answer = await this.call({ method: 'GET', path: `blobs/${digest}`, headers, scopes: this.scopes, signal }, expected)
    if (answer.status === 416) {
      await answer.body.dump()
      return this.blob(digest, 0, signal)
    }
    try {
      const encoding = answer.header('content-encoding')
      if (encoding !== '' && encoding !== 'identity')
        throw new RegistryFault(
          `${answer.url.host} sends ${digest} with the content encoding ${printable(encoding)}, which was not asked for`,
        )
      const chunks = this.transport.paced(answer, signal)
      if (answer.status === 200) return { from: 0, total: wholeNumber(answer.header('content-length')), chunks }
      const [, first, total = ''] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.header('content-range')) ?? []
      if (Number(first) !== offset) throw new RegistryFault(`${answer.url.host} answered another part of ${digest} than it was asked for`)
      return { from: offset, total: wholeNumber(total), chunks }
    } catch (error) {
      answer.body.destroy()
      throw error
    }
  }

  /** A small blob whole, its size and digest checked. */
  async smallBlob(blob: { digest: string; size: number }, signal: AbortSignal): Promise<Buffer> {
    const answer = await this.call({ method: 'GET', path: `blobs/${blob.digest}`, scopes: this.scopes, signal }, [200])
    const bytes = await this.transport.whole(answer, blob.size, `blob ${blob.digest}`, signal)
    if (bytes.length !== blob.size || digestOf(bytes) !== blob.digest)
      throw new RegistryFault(`blob ${blob.digest} from ${answer.url.host} has another content than its digest and size say`)
    return bytes
  }

  async hasBlob(digest: string, signal: AbortSignal): Promise<boolean> {
    const answer = await this.call({ method: 'HEAD', path: `blobs/${digest}`, scopes: this.scopes, signal }, [200, 404])
    await answer.body.dump()
    return answer.status === 200
  }

  async tags(signal: AbortSignal): Promise<string[]> {
    const tags: string[] = []
    let path: string | URL = 'tags/list'
    for (let page = 0; page < maxTagPages; page++) {
      const answer: Answer = await this.call({ method: 'GET', path, scopes: this.scopes, signal }, [200])
      const list = parseObject(await this.transport.whole(answer, maxTags, 'the list of tags', signal), 'list of tags')['tags'] ?? []
      if (!Array.isArray(list) || !list.every((tag) => typeof tag === 'string'))
        throw new RegistryFault('invalid list of tags: it has no tags')
      tags.push(...(list as string[]))
      const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.header('link'))?.[1]
      if (next === undefined) return tags
      path = target(next, answer.url)
    }
    throw new RegistryFault(`the list of tags of ${this.path} has no end`)
  }

  /** Begins an upload. `from`: a repository of the same registry that has the blob. Answers where to send it, or that it is there already. */
  async startUpload(digest: string, from: string | undefined, signal: AbortSignal): Promise<URL | 'mounted'> {
    const mount = from === undefined ? '' : `?${new URLSearchParams({ mount: digest, from }).toString()}`
    const scopes = from === undefined ? this.scopes : [...this.scopes, `repository:${from}:pull`]
    const call: Call = { method: 'POST', path: `blobs/uploads/${mount}`, headers: { 'content-length': '0' }, scopes, signal }
    const answer = await this.call(call, [202, 201])
    await answer.body.dump()
    return answer.status === 201 ? 'mounted' : target(answer.header('location'), answer.url)
  }

  /** Sends a part. Answers where the rest goes. */
  async sendPart(
    upload: URL,
    part: { body: () => AsyncIterable<Uint8Array>; offset: number; size: number },
    signal: AbortSignal,
  ): Promise<URL> {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(part.size),
      ...(part.offset === 0 ? {} : { 'content-range': `${part.offset}-${part.offset + part.size - 1}` }),
    }
    const answer = await this.call({ method: 'PATCH', path: upload, headers, body: part.body, scopes: this.scopes, signal }, [202])
    await answer.body.dump()
    return target(answer.header('location'), answer.url)
  }

  /** Ends an upload, with all of its content where no part was sent before. */
  async finishUpload(
    upload: URL,
    digest: string,
    content: { body: () => AsyncIterable<Uint8Array>; size: number } | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const url = new URL(upload)
    url.searchParams.set('digest', digest)
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(content?.size ?? 0) }
    const body = content === undefined || content.size === 0 ? {} : { body: content.body }
    const answer = await this.call({ method: 'PUT', path: url, headers, ...body, scopes: this.scopes, signal }, [201, 204])
    await answer.body.dump()
  }

  async putManifest(reference: string, mediaType: string, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const headers = { 'content-type': mediaType, 'content-length': String(bytes.length) }
    const call: Call = { method: 'PUT', path: `manifests/${reference}`, headers, body: () => bytes, scopes: this.scopes, signal }
    const answer = await this.call(call, [201])
    await answer.body.dump()
  }

  /** The question that a login asks. */
  async ping(signal: AbortSignal): Promise<void> {
    const answer = await this.call({ method: 'GET', path: new URL(`${this.endpoint.url}/v2/`), scopes: [], signal }, [200])
    await this.transport.whole(answer, maxError, 'an answer', signal)
  }
}

function described(answer: Answer): { mediaType: string; digest: string } {
  const mediaType = (answer.header('content-type').split(';')[0] ?? '').trim().toLowerCase()
  const digest = answer.header('docker-content-digest')
  if (digest !== '') parseDigest(digest)
  return { mediaType, digest }
}

const wholeNumber = (text: string): number | undefined => (/^\d{1,15}$/.test(text) ? Number(text) : undefined)

import type { RegistryCredentials } from './credentials.js'
import type { Endpoint } from './endpoints.js'
import { parseChallenges, type Challenge } from './challenges.js'
import { printable, refusalOf, RegistryFault, RegistryRefusal } from './faults.js'
import { parseObject } from './hostile-json.js'
import { shown, type Transport } from './transport.js'

const maxToken = 64 * 1024
const maxTokenAnswer = 256 * 1024
const clientId = 'docker'

/** Proves to one endpoint who we are. Credentials go to it, and to the token server that it names, and nowhere else. */
export class Authorizer {
  /** By scopes. A registry that takes passwords has one entry for all. */
  private readonly known = new Map<string, string>()
  /** The refresh token that a login brought. */
  identityToken = ''

  constructor(
    private readonly transport: Transport,
    private readonly endpoint: Endpoint,
    private readonly credentials: RegistryCredentials,
    /** A login also asks for a token that lasts. */
    private readonly offline = false,
  ) {
    if (credentials.registryToken !== '') this.known.set('', `Bearer ${credentials.registryToken}`)
  }

  /** The header to send with a request of these scopes, as far as one is known. */
  header(scopes: string[]): string | undefined {
    return this.known.get(scopes.join(' ')) ?? this.known.get('')
  }

  /** Meets a challenge. False: it cannot be met. */
  async meet(header: string, scopes: string[], signal: AbortSignal): Promise<boolean> {
    const challenges = parseChallenges(header)
    const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters['realm'] !== undefined)
    if (bearer !== undefined) {
      if (this.credentials.registryToken !== '') return false
      this.known.set(scopes.join(' '), `Bearer ${await this.token(bearer, scopes, signal)}`)
      return true
    }
    if (!challenges.some(({ scheme }) => scheme === 'basic')) return false
    const { username, password } = this.credentials
    if (username === '' && password === '') throw new RegistryRefusal(401, '', `${this.url('/v2/')}: no basic auth credentials`, undefined)
    this.known.set('', basic(username, password))
    return true
  }

  private url(path: string): string {
    return `Get "${this.endpoint.url}${path}"`
  }

  private realm({ parameters }: Challenge): URL {
    const text = parameters['realm'] ?? ''
    const from = new URL(this.endpoint.url)
    const realm = URL.canParse(text, from.href) ? new URL(text, from) : undefined
    if (realm === undefined || !['http:', 'https:'].includes(realm.protocol))
      throw new RegistryFault(
        `${from.host} names ${JSON.stringify(printable(text).slice(0, 200))} as its token server, which is no http or https URL`,
      )
    if (from.protocol === 'https:' && realm.protocol === 'http:')
      throw new RegistryFault(`${from.host} names the token server ${realm.origin}: from https to http, which is refused`)
    realm.username = ''
    realm.password = ''
    return realm
  }

  private async token(challenge: Challenge, scopes: string[], signal: AbortSignal): Promise<string> {
    const realm = this.realm(challenge)
    const { username } = this.credentials
    const identityToken = this.identityToken || this.credentials.identityToken
    const service = challenge.parameters['service'] ?? ''
    const answer =
      identityToken === '' ? this.get(realm, service, scopes, signal) : this.exchange(realm, service, scopes, identityToken, signal)
    const { status, statusText, body } = await answer
    if (status !== 200) {
      // Wrong credentials are told from missing ones by whether any were sent.
      const refusal = refusalOf(status, statusText, body.toString('utf8'), undefined, `token from ${realm.origin}`)
      if (status === 401 && refusal.reason === '' && (username !== '' || identityToken !== ''))
        throw new RegistryRefusal(401, '', `Get "${shown(realm)}": unauthorized: incorrect username or password`, undefined)
      throw refusal
    }
    const given = parseObject(body, `token from ${realm.origin}`)
    if (typeof given['refresh_token'] === 'string' && this.offline) this.identityToken = checked(given['refresh_token'], realm)
    const token = given['token'] ?? given['access_token']
    if (typeof token !== 'string' || token === '')
      throw new RegistryFault(`authorization server ${realm.origin} did not include a token in the response`)
    return checked(token, realm)
  }

  private async get(realm: URL, service: string, scopes: string[], signal: AbortSignal): Promise<TokenAnswer> {
    const { username, password } = this.credentials
    const url = new URL(realm)
    if (service !== '') url.searchParams.set('service', service)
    for (const scope of scopes) url.searchParams.append('scope', scope)
    if (this.offline) {
      url.searchParams.set('offline_token', 'true')
      url.searchParams.set('client_id', clientId)
    }
    if (username !== '') url.searchParams.set('account', username)
    return this.ask({ method: 'GET', url, headers: username === '' ? {} : { authorization: basic(username, password) } }, signal)
  }

  private async exchange(realm: URL, service: string, scopes: string[], refreshToken: string, signal: AbortSignal): Promise<TokenAnswer> {
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken, service, client_id: clientId })
    if (scopes.length > 0) form.set('scope', scopes.join(' '))
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    return this.ask({ method: 'POST', url: realm, headers, body: () => form.toString() }, signal)
  }

  private async ask(
    request: Pick<Parameters<Transport['send']>[0], 'method' | 'url' | 'headers' | 'body'>,
    signal: AbortSignal,
  ): Promise<TokenAnswer> {
    const { unverified, host } = this.endpoint
    const answer = await this.transport.send({ ...request, signal, ...(unverified ? { unverified: host } : {}) })
    const body = await this.transport.whole(answer, maxTokenAnswer, 'the answer to a request for a token', signal)
    return { status: answer.status, statusText: answer.statusText, body }
  }
}

interface TokenAnswer {
  status: number
  statusText: string
  body: Buffer
}

const basic = (username: string, password: string): string => `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

/** A token becomes part of a header. */
function checked(token: string, realm: URL): string {
  if (token.length > maxToken) throw new RegistryFault(`the token from ${realm.origin} has more than ${maxToken} bytes`)
  if (!/^[\x21-\x7e]+$/.test(token)) throw new RegistryFault(`the token from ${realm.origin} has characters that no header can carry`)
  return token
}

import { readConfig, writeConfig, type ClientConfig } from './config-file.js'
import { eraseSecret, getSecret, storeSecret } from './helper.js'

/** What the engine takes as X-Registry-Auth and as the body of /auth. */
export interface Credentials {
  username?: string
  password?: string
  identitytoken?: string
  serveraddress: string
}

/** As Docker Hub stands in the file. */
export const hubAddress = 'https://index.docker.io/v1/'
/** User name that a helper answers where the secret is an identity token. */
const tokenUser = '<token>'

/** Key of a registry in the file, from what a user writes or a reference names. */
export function addressOf(registry: string): string {
  const host = registry.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  return ['', 'docker.io', 'index.docker.io', 'registry-1.docker.io'].includes(host) ? hubAddress : host
}

const helperOf = (config: ClientConfig, address: string): string | undefined =>
  config.credHelpers?.[address] ?? (config.credsStore === undefined || config.credsStore === '' ? undefined : config.credsStore)

function fromFile(config: ClientConfig, address: string): Credentials {
  const entry = config.auths?.[address] ?? Object.entries(config.auths ?? {}).find(([key]) => addressOf(key) === address)?.[1]
  const [, username = '', password = ''] = /^([^:]*):([^\0]*)/s.exec(Buffer.from(entry?.auth ?? '', 'base64').toString('utf8')) ?? []
  return {
    serveraddress: address,
    ...(username === '' ? {} : { username, password }),
    ...(entry?.identitytoken === undefined ? {} : { identitytoken: entry.identitytoken }),
  }
}

/** What was stored for a registry; only its address where nothing was. */
export async function storedCredentials(registry: string): Promise<Credentials> {
  const config = readConfig()
  const address = addressOf(registry)
  const helper = helperOf(config, address)
  if (helper === undefined) return fromFile(config, address)
  const secret = await getSecret(helper, address)
  if (secret === undefined) return { serveraddress: address }
  if (secret.Username === tokenUser) return { serveraddress: address, identitytoken: secret.Secret }
  return { serveraddress: address, username: secret.Username, password: secret.Secret }
}

/** Answers where they were put: a helper's name, or undefined for the file. */
export async function storeCredentials(credentials: Credentials): Promise<string | undefined> {
  const config = readConfig()
  const { serveraddress: address, username = '', password = '', identitytoken = '' } = credentials
  const helper = helperOf(config, address)
  if (helper !== undefined) {
    await storeSecret(
      helper,
      address,
      identitytoken === '' ? { Username: username, Secret: password } : { Username: tokenUser, Secret: identitytoken },
    )
    writeConfig({ ...config, auths: { ...config.auths, [address]: {} } })
    return helper
  }
  // With a token that stands for it, the password is not kept.
  const auth = Buffer.from(`${username}:${identitytoken === '' ? password : ''}`).toString('base64')
  writeConfig({ ...config, auths: { ...config.auths, [address]: { auth, ...(identitytoken === '' ? {} : { identitytoken }) } } })
  return undefined
}

/** Answers whether there was anything to forget. */
export async function forgetCredentials(registry: string): Promise<boolean> {
  const config = readConfig()
  const address = addressOf(registry)
  const helper = helperOf(config, address)
  const keys = Object.keys(config.auths ?? {}).filter((key) => addressOf(key) === address)
  if (helper !== undefined) await eraseSecret(helper, address)
  if (keys.length > 0)
    writeConfig({ ...config, auths: Object.fromEntries(Object.entries(config.auths ?? {}).filter(([key]) => !keys.includes(key))) })
  return keys.length > 0
}

/** Header of a request that makes the engine talk to a registry. */
export async function authHeader(registry: string): Promise<{ 'X-Registry-Auth': string }> {
  return { 'X-Registry-Auth': Buffer.from(JSON.stringify(await storedCredentials(registry))).toString('base64url') }
}

/** What is stored for every registry: a build may need any of them. */
export async function configHeader(): Promise<{ 'X-Registry-Config'?: string }> {
  const { auths = {}, credHelpers = {} } = readConfig()
  const addresses = [...new Set([...Object.keys(auths), ...Object.keys(credHelpers)].map(addressOf))]
  if (addresses.length === 0) return {}
  const stored: Record<string, Credentials> = {}
  for (const address of addresses) stored[address] = await storedCredentials(address)
  return { 'X-Registry-Config': Buffer.from(JSON.stringify(stored)).toString('base64url') }
}

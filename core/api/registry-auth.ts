import type { RegistryCredentials } from '../engine/distribution/index.js'
import { invalidParameter } from '../sdk/errors.js'
import { decode } from './decode.js'
import type { ApiContext } from './services.js'

const maxHeader = 64 * 1024

/** Docker's AuthConfig, decoded. */
export function credentialsOf(config: Record<string, unknown>): RegistryCredentials {
  const text = (key: string): string => (config[key] as string | undefined) ?? ''
  const found: RegistryCredentials = {
    username: text('username'),
    password: text('password'),
    identityToken: text('identitytoken'),
    registryToken: text('registrytoken'),
    serverAddress: text('serveraddress'),
  }
  if (found.username !== '' || text('auth') === '') return found
  const [, username = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(text('auth'), 'base64').toString('utf8')) ?? []
  return { ...found, username, password }
}

/** `X-Registry-Config`: an AuthConfig for each registry, JSON in base64. Absent: none. */
export function registryConfig(ctx: ApiContext): Map<string, RegistryCredentials> {
  const header = ctx.get('X-Registry-Config')
  if (header === '') return new Map()
  const invalid = (cause?: unknown): Error =>
    invalidParameter('invalid X-Registry-Config header: it must be a JSON object in base64url, by registry', { cause })
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(header.slice(0, maxHeader), 'base64').toString('utf8'))
  } catch (error) {
    throw invalid(error)
  }
  if (value === null) return new Map()
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid()
  return new Map(Object.entries(value).map(([registry, one]) => [registry, credentialsOf(decode(one, 'AuthConfig') ?? {})]))
}

/** `X-Registry-Auth`: JSON in base64, of either alphabet. Absent: anonymous. */
export function registryAuth(ctx: ApiContext): RegistryCredentials {
  const header = ctx.get('X-Registry-Auth')
  if (header === '') return credentialsOf({})
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(header.slice(0, maxHeader), 'base64').toString('utf8'))
  } catch (error) {
    throw invalidParameter('invalid X-Registry-Auth header: it must be JSON in base64url', { cause: error })
  }
  return credentialsOf(decode(value, 'AuthConfig') ?? {})
}

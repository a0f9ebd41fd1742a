/** What a client gave for one registry: `X-Registry-Auth`. Empty strings: not given. */
export interface RegistryCredentials {
  username: string
  password: string
  /** An OAuth refresh token, got by an earlier login. */
  identityToken: string
  /** A bearer token to be sent as it is. */
  registryToken: string
  serverAddress: string
}

export const anonymous: RegistryCredentials = { username: '', password: '', identityToken: '', registryToken: '', serverAddress: '' }

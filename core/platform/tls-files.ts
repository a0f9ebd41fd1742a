import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { invalidParameter, messageOf } from '../sdk/errors.js'
import type { Settings } from './config-schema.js'

export interface TlsMaterial {
  cert: Buffer
  key: Buffer
  /** Present: only clients with a certificate of this authority are served. */
  ca?: Buffer
}

/** Where dockerd looks for what is not named. */
const customary = (env: NodeJS.ProcessEnv, name: string): string =>
  path.join(env.DOCKER_CERT_PATH ?? path.join(os.homedir(), '.docker'), name)

async function read(flag: string, file: string): Promise<Buffer> {
  try {
    return await fs.readFile(file)
  } catch (error) {
    throw invalidParameter(`--${flag} ${file}: ${messageOf(error)}: name a PEM file with --${flag}`, { cause: error })
  }
}

/** Undefined: no TLS is wanted. `tlsverify` implies `tls`, as with dockerd. */
export async function loadTls(settings: Settings, env: NodeJS.ProcessEnv): Promise<TlsMaterial | undefined> {
  const verify = settings.tlsverify
  if (!settings.tls && !verify) return undefined
  const of = (flag: 'tlscacert' | 'tlscert' | 'tlskey', name: string): Promise<Buffer> =>
    read(flag, settings[flag] === '' ? customary(env, name) : settings[flag])
  const [cert, key] = await Promise.all([of('tlscert', 'cert.pem'), of('tlskey', 'key.pem')])
  return { cert, key, ...(verify ? { ca: await of('tlscacert', 'ca.pem') } : {}) }
}

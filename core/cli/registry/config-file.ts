// Docker's client configuration, which we share: `~/.docker/config.json`. Keys that are not ours stay as they are.
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { messageOf } from '../status.js'

export interface AuthEntry {
  /** `user:password` in base64. */
  auth?: string
  identitytoken?: string
}

export interface ClientConfig {
  auths?: Record<string, AuthEntry>
  credsStore?: string
  credHelpers?: Record<string, string>
  [other: string]: unknown
}

export const configFile = (): string => path.join(process.env.DOCKER_CONFIG || path.join(os.homedir(), '.docker'), 'config.json')

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

export function readConfig(): ClientConfig {
  const file = configFile()
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  let config: unknown
  try {
    config = text.trim() === '' ? {} : JSON.parse(text)
  } catch (error) {
    throw new Error(`${file}: ${messageOf(error)}: correct it or move it away`)
  }
  const sound =
    isObject(config) &&
    (config['auths'] === undefined || (isObject(config['auths']) && Object.values(config['auths']).every(isObject))) &&
    (config['credHelpers'] === undefined || isObject(config['credHelpers']))
  if (!sound) throw new Error(`${file}: auths and credHelpers must be objects: correct it or move it away`)
  return config as ClientConfig
}

/** Replaced whole, and readable by its owner alone: passwords stand in it. A symbolic link stays one. */
export function writeConfig(config: ClientConfig): void {
  const named = configFile()
  fs.mkdirSync(path.dirname(named), { recursive: true, mode: 0o700 })
  const file = fs.existsSync(named) ? fs.realpathSync(named) : named
  const temporary = `${file}.${randomBytes(4).toString('hex')}`
  fs.writeFileSync(temporary, `${JSON.stringify(config, undefined, '\t')}\n`, { mode: 0o600, flush: true })
  fs.renameSync(temporary, file)
}

import fs from 'node:fs/promises'
import path from 'node:path'
import { invalidParameter, messageOf } from '../sdk/errors.js'
import { fold, booleanOf, stringOf } from '../sdk/http/fold.js'
import type { PluginAddress } from '../sdk/http/client.js'

export interface DockerPlaces {
  sockets: readonly string[]
  specs: readonly string[]
}

export interface PluginFile {
  name: string
  file: string
  type: 'sock' | 'spec' | 'json'
}

const maxSpecBytes = 64 * 1024
/** sun_path with its closing NUL. */
const maxSocketPath = 107

/** A name becomes a part of a path. */
const usable = (name: string): boolean => name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name) && name.length <= 255

/** Docker's lookup of one name: the first hit wins. */
export async function findPluginFile(name: string, places: DockerPlaces): Promise<PluginFile | undefined> {
  if (!usable(name)) return undefined
  for (const directory of places.sockets) {
    for (const file of [path.join(directory, `${name}.sock`), path.join(directory, name, `${name}.sock`)]) {
      if (await isSocket(file)) return { name, file, type: 'sock' }
    }
  }
  for (const directory of places.specs) {
    for (const type of ['spec', 'json'] as const) {
      for (const file of [path.join(directory, `${name}.${type}`), path.join(directory, name, `${name}.${type}`)]) {
        if (await exists(file)) return { name, file, type }
      }
    }
  }
  return undefined
}

/** Docker's scan of all names. Found twice, a name stands for what the lookup would find. */
export async function scanPluginFiles(places: DockerPlaces): Promise<PluginFile[]> {
  const names = new Set<string>()
  for (const directory of places.sockets) {
    for (const entry of await entries(directory)) {
      if (entry.isDirectory()) {
        if (await isSocket(path.join(directory, entry.name, `${entry.name}.sock`))) names.add(entry.name)
      } else if (entry.isSocket() || entry.isSymbolicLink()) names.add(path.parse(entry.name).name)
    }
  }
  for (const directory of places.specs) {
    for (const entry of await entries(directory)) {
      if (entry.isDirectory()) {
        for (const inner of await entries(path.join(directory, entry.name))) {
          const { name, ext } = path.parse(inner.name)
          if (name === entry.name && (ext === '.spec' || ext === '.json')) names.add(name)
        }
      } else if (/\.(spec|json)$/.test(entry.name)) names.add(path.parse(entry.name).name)
    }
  }
  const files = await Promise.all([...names].sort().map((name) => findPluginFile(name, places)))
  return files.filter((file) => file !== undefined)
}

/** What a found file says about where the plugin listens. */
export async function readAddress({ file, type }: PluginFile): Promise<PluginAddress> {
  if (type === 'sock') return { socket: checkSocket(file, file) }
  const { size } = await fs.stat(file)
  if (size > maxSpecBytes) throw invalidParameter(`plugin file ${file} is larger than ${maxSpecBytes} bytes`)
  const text = await fs.readFile(file, 'utf8')
  // Docker verifies no certificates for a .spec.
  if (type === 'spec') return parseUrl(text.trim(), file, { rejectUnauthorized: false })
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    throw invalidParameter(`plugin file ${file} is not JSON: ${messageOf(error)}`)
  }
  const { Addr: address, TLSConfig: tls } = fold(content, ['Addr', 'TLSConfig'])
  return parseUrl(stringOf(address, `${file}: Addr`), file, tls === undefined ? { rejectUnauthorized: true } : await readTls(tls, file))
}

type Tls = NonNullable<PluginAddress['tls']>

async function readTls(config: unknown, file: string): Promise<Tls> {
  const { CAFile, CertFile, KeyFile, InsecureSkipVerify } = fold(config, ['CAFile', 'CertFile', 'KeyFile', 'InsecureSkipVerify'])
  const ca = stringOf(CAFile, `${file}: CAFile`)
  const cert = stringOf(CertFile, `${file}: CertFile`)
  const key = stringOf(KeyFile, `${file}: KeyFile`)
  return {
    // Docker's rule: without a CA there is nothing to verify against.
    rejectUnauthorized: ca !== '' && !booleanOf(InsecureSkipVerify, `${file}: InsecureSkipVerify`),
    ...(ca === '' ? {} : { ca: await fs.readFile(ca, 'utf8') }),
    ...(cert === '' || key === '' ? {} : { cert: await fs.readFile(cert, 'utf8'), key: await fs.readFile(key, 'utf8') }),
  }
}

function parseUrl(text: string, file: string, tls: Tls): PluginAddress {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw invalidParameter(
      `plugin file ${file}: ${JSON.stringify(text.slice(0, 200))} is not an address such as unix:///run/x.sock or tcp://host:port`,
    )
  }
  switch (url.protocol) {
    case 'unix:':
      return { socket: checkSocket(decodeURIComponent(url.host + url.pathname), file) }
    case 'tcp:':
    case 'http:':
      return { url: `http://${url.host}` }
    case 'https:':
      return { url: `https://${url.host}`, tls }
    default:
      throw invalidParameter(`plugin file ${file}: ${url.protocol.slice(0, -1)} addresses are not supported`)
  }
}

function checkSocket(socket: string, file: string): string {
  if (!path.isAbsolute(socket)) throw invalidParameter(`plugin file ${file}: the socket path ${JSON.stringify(socket)} must be absolute`)
  if (Buffer.byteLength(socket) > maxSocketPath)
    throw invalidParameter(`plugin file ${file}: a socket path has at most ${maxSocketPath} bytes`)
  return socket
}

async function entries(directory: string): Promise<import('node:fs').Dirent[]> {
  return fs.readdir(directory, { withFileTypes: true }).catch(() => [])
}

async function isSocket(file: string): Promise<boolean> {
  return (await fs.stat(file).catch(() => undefined))?.isSocket() === true
}

async function exists(file: string): Promise<boolean> {
  return (await fs.stat(file).catch(() => undefined)) !== undefined
}
